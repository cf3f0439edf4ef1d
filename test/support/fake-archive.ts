// ops-1 as far as the programs need it that put a space's data away and back, in a folder. Databases are files under
// `db`: one line for each table, with its rows. Buckets are folders under `s3`; what is deleted goes to `old`.
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { renderProgram } from "../../infra/machine/program-file.ts";
import { FakeMachine } from "./fake-machine.ts";
import { fakeCommands } from "./fakes.ts";

const ROOT = join(import.meta.dirname, "../..");
const LIBRARY = join(ROOT, "spaces/agent/rootfs-ops/usr/local/lib/framaspace");
const PROGRAMS = join(ROOT, "spaces/agent/rootfs-ops/usr/local/sbin");

const FAKES = {
  chown: ":",
  "redis-cli": "sed 's/.*/OK/'",
  rsync: ":",
  curl: String.raw`seen=200; [ ! -e "$ROOT/srv/spaces/lotus/maintenance" ] || seen=503
    for word; do case $word in http*) echo "$word $seen" ;; esac; done`,
  zstd: 'case " $* " in *" -o "*) while [ "$1" != -o ]; do shift; done; cat >"$2" ;; *-qdc*) cat "${@: -1}" ;; esac',
  psql: String.raw`name=$PGDATABASE; for word; do case $word in *dbname=*) name=${"${word#*dbname=}"} ;; esac; done
    [ ! -e "$ROOT/no-database" ] || { echo "psql: no server" >&2; exit 2; }
    case " $* " in
      *" -1 "*) said=$(cat); [[ $said == '\if true'* && $said == *'\endif' ]] || exit 3
        sed -n 's/^-- kept: //p' <<<"$said" >"$ROOT/db/.new"; mv "$ROOT/db/.new" "$ROOT/db/$name"; exit ;;
    esac
    said=$(for word; do echo "$word"; done; case " $* " in *" -f - "*) cat ;; esac)
    quoted() { sed -E 's/^[^"]*"([^"]*)".*/\1/' <<<"$1"; }
    while IFS= read -r line; do case $line in
      "DROP DATABASE"*) rm -f "$ROOT/db/$(quoted "$line")" ;;
      "CREATE DATABASE"*) : >"$ROOT/db/$(quoted "$line")" ;;
      "ALTER ROLE"*RESET*) rm -f "$ROOT/shut" ;;
      "ALTER ROLE"*) : >"$ROOT/shut" ;;
      "SELECT count(*) FROM pg_stat_activity"*) echo 0 ;;
      "SELECT pg_database_size"*) echo 1000 ;;
      "SELECT format('SELECT %L, count(*)"*) [ -e "$ROOT/db/$name" ] || exit 2; cat "$ROOT/db/$name" ;;
      "COPY ("*) cat "$ROOT/files" ;;
      "SELECT to_regclass('public.oc_filecache') IS NOT NULL") [ -s "$ROOT/db/$name" ] && echo t || echo f ;;
      "SELECT to_regclass('public.framaspace') IS NOT NULL") [ -s "$ROOT/db/$name" ] && echo t || echo f ;;
      "SELECT (SELECT count(*) FROM oc_preferences"*) cat "$ROOT/used" 2>/dev/null || echo 0 0 ;;
      "INSERT INTO framaspace VALUES ('fingerprint'"*) echo 0123456789abcdef0123456789abcdef ;;
    esac; done <<<"$said"`,
  pg_dump: String.raw`for word; do case $word in --file=*) cp "$ROOT/db/$PGDATABASE" "${"${word#--file=}"}" ;; esac; done`,
  pg_restore: String.raw`if [[ $* == *--file=-* ]]; then exec sed 's/^/-- kept: /' "${"${@: -1}"}"; fi
    [ ! -e "$ROOT/damages" ] || { echo "pg_restore: error: could not read" >&2; exit 1; }
    name=; for word; do case $word in *dbname=*) name=${"${word#*dbname=}"} ;; esac; done
    cat "${"${@: -1}"}" >"$ROOT/db/$name"`,
  mc: String.raw`[ ! -e "$ROOT/no-storage" ] || { echo '{"status":"error","error":{"message":"x","cause":{"message":"it is down"}}}'; exit 1; }
    words=(); for word; do case $word in --*) ;; *) words+=("${"${word/#serving/$ROOT\\/s3}"}") ;; esac; done
    last=${"${words[-1]}"}
    list() { [ ! -d "$1" ] || (cd "$1" && find . -type f -printf '%P %s\n') | while read -r key size; do
      printf '{"status":"success","type":"file","key":"%s","size":%d,"etag":"%s"}\n' "$key" "$size" "$(md5sum <"$1/$key" | cut -c1-32)"; done; }
    case ${"${words[0]}"} in
      ls) list "$last"; [[ " $* " != *" --versions "* ]] || list "${"${last/s3/old}"}" ;;
      cat) exec cat "$last" ;;
      pipe) mkdir -p "$(dirname "$last")"; cat >"$last.writing"; mv "$last.writing" "$last" ;;
      rm) if [[ " $* " == *" --versions "* ]]; then rm -rf "$last" "${"${last/s3/old}"}"
          else mkdir -p "${"${last/s3/old}"}"; for file in "$last"*; do cat "$file" >>"${"${last/s3/old}"}/${"${file##*/}"}"; rm "$file"; done; fi ;;
      cp) mkdir -p "$(dirname "$last")"
        if [[ " $* " == *" --recursive "* ]]; then mkdir -p "$last"; cp "${"${words[1]}"}"/* "$last"
        else cp "${"${words[@]:1:${#words[@]}-2}"}" "$last"; fi ;;
    esac`,
};

/** A space in service. */
const LOTUS = {
  id: "lotus",
  host: "lotus.example.org",
  state: "active",
  wave: "main",
  release: "34.0.4",
  version: "34.0.4.1",
  archive: { graceDays: 0 },
  database: { name: "lotus", user: "lotus", password: "of-the-database" },
  s3: { bucket: "space-lotus", user: "lotus", secret: "of-the-bucket" },
  redis: { user: "lotus", password: "of-the-cache", prefix: "lotus", database: 3 },
  nextcloud: { instanceId: "oc1", secret: "of-nextcloud", passwordSalt: "salt" },
};

export class FakeArchive extends FakeMachine {
  /** Makes a machine with one space, of which files 101 to 104 are in the bucket. */
  constructor(root: string) {
    super(root);
    for (const folder of [
      "bin",
      "db",
      "s3/archive",
      "s3/space-lotus",
      "run",
      "etc/framaspace/redis",
      "var/lib/framaspace/redis",
      "var/lib/framaspace/wanted",
      "srv/spaces/lotus/config",
      "srv/releases/34.0.4",
    ])
      mkdirSync(this.at(folder), { recursive: true });
    writeFileSync(this.at("srv/releases/34.0.4/index.php"), "");
    symlinkSync(this.at("srv/releases/34.0.4"), this.at("srv/spaces/lotus/release"));
    fakeCommands(root, FAKES);
    for (const name of ["export-space", "archive-space", "restore-space", "remove-space"])
      this.#install(name);
    writeFileSync(
      this.at("etc/framaspace/platform.json"),
      '{"database":{"hosts":"postgres-1"},"redis":{"host":"redis-1","port":6379},"s3":{}}',
    );
    writeFileSync(this.at("etc/framaspace/redis/admin"), "of-redis\n");
    writeFileSync(this.at("var/lib/framaspace/redis/lotus"), "3 #digest ~lotus*\n");
    writeFileSync(this.at("var/lib/framaspace/wanted/lotus"), JSON.stringify(LOTUS));
    writeFileSync(this.at("etc/framaspace/catalog.json"), "{}");
    writeFileSync(this.at("etc/framaspace/web-servers"), "web-1\n");
    writeFileSync(this.at("db/lotus"), "oc_filecache 5\noc_users 2\n");
    for (let id = 101; id <= 104; id += 1)
      writeFileSync(this.at(`s3/space-lotus/urn:oid:${id}`), `file${id}\n`);
    this.files(101, 102, 103, 104);
    this.is({});
    this.keepAs("new");
  }

  #install(name: string): void {
    const file = `${PROGRAMS}/${name}.ts`;
    if (!existsSync(file)) return;
    const text = renderProgram(file.replace(`${ROOT}/`, ""));
    const places = `placesIn("${this.root}", "${LIBRARY}", "${this.root}/bin")`;
    writeFileSync(this.at(`${name}.js`), text.replace('placesIn("")', places));
    writeFileSync(this.at("kill-at.cjs"), renderProgram("test/support/kill-at.ts"));
    const words = `--require ${this.at("kill-at.cjs")} ${this.at(`${name}.js`)}`;
    const script = `#!/bin/bash\n[ -n "$STEPS" ] && [ "$OF" = ${name} ] || unset KILL_AT; STEPS=\${STEPS:-/dev/null}.${name} exec ${process.execPath} ${words} "$@"\n`;
    writeFileSync(this.at(`bin/${name}`), script, { mode: 0o755 });
  }

  /** What the space's space.json says. */
  is(change: object): void {
    writeFileSync(this.at("srv/spaces/lotus/config/space.json"), JSON.stringify({ ...LOTUS, ...change }));
  }

  /** The files that Nextcloud knows. Each has 8 bytes. */
  files(...ids: number[]): void {
    const lines = ids.map((id) => `${id}\t8\tobject::user:alice\tfiles/note ${id}.txt\t1700000000\n`);
    writeFileSync(this.at("files"), lines.join(""));
  }

  /** Runs a program; kills it before a step, if that is given. Resolves to the steps until then. */
  async run(program: string, words: readonly string[], killAt = 0) {
    return this.runTo(this.at(`bin/${program}`), words, {
      killAt,
      stepsFile: `steps.${program}`,
      env: { OF: program },
    });
  }

  /** Changes what the space holds, and takes it out of service. */
  suspendChanged(): void {
    this.is({ state: "suspended", version: "34.0.4.2" });
    writeFileSync(this.at("db/lotus"), "oc_filecache 1\n");
    writeFileSync(this.at("s3/space-lotus/urn:oid:101"), "overwritten\n");
    rmSync(this.at("s3/space-lotus/urn:oid:102"));
    writeFileSync(this.at("s3/space-lotus/urn:oid:200"), "new\n");
  }

  /** What each complete export holds, without what differs from one time to the next. Checks every checksum. */
  exports() {
    const folder = this.at("s3/archive/lotus");
    if (!existsSync(folder)) return [];
    return readdirSync(folder).map((time) => {
      const at = (name: string) => join(folder, time, name);
      if (!existsSync(at("manifest.json"))) return "unfinished";
      const manifest = JSON.parse(readFileSync(at("manifest.json"), "utf8")) as {
        sha256: Record<string, string>;
        rows: object;
        files: number;
      };
      for (const [name, sum] of Object.entries(manifest.sha256))
        if (
          createHash("sha256")
            .update(readFileSync(at(name)))
            .digest("hex") !== sum
        )
          return `${name} differs`;
      const objects = readFileSync(at("objects.tsv"), "utf8").split("\n");
      return {
        rows: manifest.rows,
        files: manifest.files,
        objects: objects.filter(Boolean).map((line) => line.split(" ").slice(0, 4).join(" ")),
        settings: readFileSync(at("space.json"), "utf8"),
        dump: readFileSync(at("database.dump"), "utf8"),
      };
    });
  }

  /** All that must be the same after a run, killed or not. */
  state() {
    const times = (text: string) => text.replaceAll(/\d{4}-?\d\d-?\d\dT\d\d:?\d\d:?\d\dZ/g, "TIME");
    const records = Object.entries(this.contents("var/lib/framaspace")).map(([name, text]) => [
      times(name),
      times(text),
    ]);
    // A run that was killed after its last word is followed by another export of the same.
    const exports = new Set(this.exports().map((one) => JSON.stringify(one)));
    return {
      exports: [...exports].map((one) => JSON.parse(one) as unknown),
      databases: this.contents("db"),
      bucket: this.contents("s3/space-lotus"),
      // Of what suspendChanged wrote. A restore that was done all but one step may be followed by a second one.
      oldVersions: ["101", "200"].map((id) => this.text(`old/space-lotus/urn:oid:${id}`)?.split("\n")[0]),
      shut: existsSync(this.at("shut")),
      space: existsSync(this.at("srv/spaces/lotus")) && {
        ...this.contents("srv/spaces/lotus"),
        release: readlinkSync(this.at("srv/spaces/lotus/release")).replace(this.root, ""),
      },
      records: Object.fromEntries(records) as Record<string, string>,
    };
  }
}
