// ops-1 as far as prepare-release needs it, in a folder. PostgreSQL's databases are files under `db`: what was said to
// each of them. `asked` lists what Nextcloud's command line was asked.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderProgram } from "../../infra/machine/program-file.ts";
import { FakeMachine } from "./fake-machine.ts";
import { fakeWorker } from "./fake-worker.ts";
import { fakeCommands } from "./fakes.ts";

const ROOT = join(import.meta.dirname, "../..");
const LIBRARY = join(ROOT, "spaces/agent/rootfs-ops/usr/local/lib/framaspace");
const PREPARE = renderProgram("spaces/agent/rootfs-ops/usr/local/sbin/prepare-release.ts");
const KILL_AT = renderProgram("test/support/kill-at.ts");

const FAKES = {
  chown: ":",
  sync: ":",
  install: 'for word; do case $word in "$ROOT"/*) mkdir -p "$word" ;; esac; done',
  // Older coreutils have no --exchange.
  mv: 'mv=/usr/bin/mv; $mv -T "$3" "$3.moving"; $mv -T "$4" "$3"; $mv -T "$3.moving" "$4"',
  // The administrators' role makes and drops databases; the release's own works in one. The password must be in no
  // command line.
  psql: String.raw`echo "psql $*" >>"$ROOT/command-lines"
    if [ -z "$PGDATABASE" ]; then
      while read -r line; do case $line in
        "DROP DATABASE"*) rm -f "$ROOT/db/golden_34_0_4" ;;
        "CREATE DATABASE"*) : >"$ROOT/db/golden_34_0_4" ;;
      esac; done; exit
    fi
    [ -e "$ROOT/db/$PGDATABASE" ] || { echo "psql: no database $PGDATABASE" >&2; exit 2; }
    [[ " $* " != *" -f - "* ]] || cat >>"$ROOT/db/$PGDATABASE"
    for word; do case $word in
      "SELECT count(*) FROM oc_users") cat "$ROOT/accounts" 2>/dev/null || echo 0 ;;
      "SELECT count(*) FROM oc_appconfig"*) echo 0 ;;
      "SELECT string_agg"*) echo "deck files office" ;;
      DELETE* | CREATE* | INSERT*) echo "$word" >>"$ROOT/db/$PGDATABASE" ;;
    esac; done`,
  pg_dump: 'cat "$ROOT/db/$PGDATABASE"',
  php: String.raw`while [[ $1 != */occ ]]; do shift; done; shift 3; echo "$*" >>"$ROOT/asked"
    [ -e "$WORKER_HOME/config/config.php" ] && [ -s "$WORKER_HOME/config/pgpass" ] || { echo "no configuration"; exit 9; }
    [ ! -e "$ROOT/fails" ] || [[ $* != "$(cat "$ROOT/fails")"* ]] || { echo "no luck"; exit 5; }
    case $* in
      integrity:*) grep -q 34.0.4.1 "$WORKER_HOME/config/config.php" || { echo "not installed"; exit 9; } ;;&
      integrity:check-core*) cat "$ROOT/core" 2>/dev/null; exit "$(cat "$ROOT/core-ends" 2>/dev/null || echo 0)" ;;
      integrity:check-app*) cat "$ROOT/apps" 2>/dev/null; exit "$(cat "$ROOT/apps-ends" 2>/dev/null || echo 0)" ;;
      maintenance:install*) printf '<?php\n$CONFIG = array (\n  %s,\n);\n' "'version' => '34.0.4.1'" >"$WORKER_HOME/config/config.php"; echo installed ;;
      *) echo "done $*" ;;
    esac`,
};

export class FakeRelease extends FakeMachine {
  /** Makes a machine that has release 34.0.4. */
  constructor(root: string) {
    super(root);
    for (const folder of [
      "bin",
      "db",
      "etc/framaspace",
      "srv/spaces",
      "srv/releases/34.0.4/apps/richdocuments",
    ])
      mkdirSync(this.at(folder), { recursive: true });
    for (const app of ["deck", "office", "registration"]) this.addApp(app);
    for (const name of ["occ", "index.php"]) writeFileSync(this.at(`srv/releases/34.0.4/${name}`), "");
    writeFileSync(this.at("srv/releases/.34.0.4.sha256"), "of-the-archive\n");
    fakeWorker(root);
    fakeCommands(root, FAKES);
    this.write("etc/framaspace/platform.json", {
      domain: "example.org",
      database: { hosts: "postgres-1,postgres-2", port: 5432 },
      office: { suites: ["collabora"], url: "http://office-1:9980", clients: "10.0.41.0/24" },
    });
    this.catalog({});
    const places = `placesIn("${root}", "${LIBRARY}", "${root}/bin")`;
    writeFileSync(this.at("prepare-release"), PREPARE.replace('placesIn("")', places));
    writeFileSync(this.at("kill-at.cjs"), KILL_AT);
    this.keepAs("new");
  }

  addApp(app: string): void {
    mkdirSync(this.at(`srv/releases/34.0.4/apps/${app}/appinfo`), { recursive: true });
    writeFileSync(this.at(`srv/releases/34.0.4/apps/${app}/appinfo/info.xml`), "");
  }

  write(path: string, content: object): void {
    writeFileSync(this.at(path), JSON.stringify(content));
  }

  catalog(change: object): void {
    const apps = { apps: ["deck", "office"], appsOptional: ["registration"], appsOff: ["app_api"] };
    this.write("etc/framaspace/catalog.json", { ...apps, officeApps: { collabora: "office" }, ...change });
  }

  /** Runs the program, and kills it before a step if that is given. Resolves to the steps until then. */
  async prepare(words: readonly string[] = ["34.0.4"], killAt = 0) {
    const program = ["--require", this.at("kill-at.cjs"), this.at("prepare-release"), ...words];
    return this.runTo(process.execPath, program, { killAt });
  }

  lines(path: string): string[] {
    return this.text(path)?.trim().split("\n") ?? [];
  }

  /** Path → content of all that is left of a run. */
  state(): Record<string, string> {
    const under = (folder: string) =>
      Object.entries(this.contents(folder)).map(([name, text]) => [`${folder}/${name}`, text] as const);
    return Object.fromEntries([...under("db"), ...under("var/lib/framaspace")]);
  }
}
