// ops-1 as far as converge-space needs it, in a folder: releases, settings, and fakes of the commands that it calls.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fakeWorker } from "./fake-worker.ts";
import { fakeCommands, ZSTD } from "./fakes.ts";

/** The fakes of the programs that it calls, as shell. `calls` lists the calls; other files contain the answers. */
const FAKES = {
  chown: ":",
  sync: ":",
  install: 'for word; do case $word in "$ROOT"/*) mkdir -p "$word" ;; esac; done',
  // The file `found` is the table framaspace, with one line for each key.
  psql: String.raw`did() { echo "$1" >>"$ROOT/did"; }
    # The record of what is wanted. Nobody reads it here.
    [[ $* != *"dbname=postgres -F"* ]] || { cat >/dev/null; [ ! -e "$ROOT/not-kept" ]; exit; }
    [ ! -e "$ROOT/no-database" ] || { echo "psql: FATAL: no pg_hba.conf entry" >&2; exit 2; }
    case " $* " in
      *" -1 "*) cat >/dev/null; [ ! -e "$ROOT/found" ] || { echo "loaded" >>"$ROOT/calls"; did load; }
        echo "version ${"${INSTALLS:-34.0.4.1}"}" >"$ROOT/found"; printf '%s\n' "quota 40 GB" "title Lotus" >>"$ROOT/found" ;;
      *" -f - "*) cat >/dev/null
        # With -0, rows end with a zero byte. The files have one row on each line, and \n for a new line in a value.
        case " $* " in *" -0 "*) ends='\0' ;; *) ends='\n' ;; esac
        if [ -e "$ROOT/found" ]; then cat "$ROOT/found" "$ROOT/more"; else echo tables 0; fi | tr '\n' "$ends" | sed 's/\\n/\n/g' ;;
      *) for word; do case $word in
          "ALTER ROLE"*) did "$(sed -E 's/.* (SET|RESET) .*/\1/' <<<"$word")" ;;
          *pg_terminate_backend*) did terminate; rm -f "$ROOT/sessions" ;;
          "SELECT count(*) FROM pg_stat_activity"*) cat "$ROOT/sessions" 2>/dev/null || echo 0 ;;
          "UPDATE framaspace SET value = "*) sed -i "s/^version .*/version $(cut -d"'" -f2 <<<"$word")/" "$ROOT/found" ;;
          "INSERT INTO framaspace VALUES ("*) echo "$word" | sed -E "s/.*\('([a-z]+)', ('(([^']|'')*)'|(current_date)).*/\1 \3\5/; s/''/'/g" >>"$ROOT/found" ;;
          "DELETE FROM oc_"* | "UPDATE oc_"*) echo "$word" >>"$ROOT/statements" ;;
          "DELETE FROM framaspace WHERE key = "*) sed -i "/^$(cut -d"'" -f2 <<<"$word") /d" "$ROOT/found" ;;
        esac; done ;;
    esac`,
  pg_dump: 'echo dump >>"$ROOT/did"; echo dumped',
  zstd: ZSTD,
  "prepare-release": 'echo "release $1: it lacks forms" >&2; exit 1',
  // occ: the file `asked` lists its arguments. It fails at the arguments in the file `fails`.
  php: String.raw`while [[ $1 != */occ ]]; do shift; done; shift 3; echo "$*" >>"$ROOT/asked"
    [ ! -e "$ROOT/fails" ] || [[ $* != "$(cat "$ROOT/fails")"* ]] || { [ -e "$ROOT/silent" ] || echo "no luck"; exit "$(cat "$ROOT/ends" 2>/dev/null || echo 5)"; }
    [[ $* != user:add* ]] || echo "was created successfully"
    [[ $* != user:auth-tokens:add* ]] || printf 'app password:\nof-the-app\n'
    case $* in
      user:add*framaspace-try) echo "member 1" >>"$ROOT/found" ;;
      user:delete*) grep -q ^member "$ROOT/found" && sed -i '/^member/d' "$ROOT/found" ;;
    esac
    # Nextcloud logs this to standard error where it is set up so, and ends with status 0.
    [ ! -e "$ROOT/refuses" ] || [[ $* != *--email* && $* != user:welcome* ]] || [ "$NC_log_type" != errorlog ] ||
      cat "$ROOT/refuses" >&2`,
  // It knows every user, and has none when it is asked for a list.
  "redis-cli": 'case " $* " in *" SELECT "*) echo OK ;; *" ACL LIST "*) ;; *) sed "s/.*/OK/" ;; esac',
  // One line for each copy of a space, to whichever web servers.
  rsync: '[ "${@: -1}" != root@web-1: ] || echo "distribute $(basename "${@: -2:1}")" >>"$ROOT/calls"',
  // Four answers: that of the space, which follows the maintenance file; that of a request past the maintenance; that of
  // the relay; and that of WebDAV, which keeps files. The file `refuses-dav` has a pattern of what WebDAV refuses.
  curl: String.raw`seen=$(cat "$ROOT/status"); [ ! -e "$ROOT/srv/spaces/lotus/maintenance" ] || seen=503
    case $* in
      *smtp*) [ ! -e "$ROOT/no-relay" ]; exit ;;
      *Behind*status.php*) echo "{\"installed\":true,\"maintenance\":false,\"needsDbUpgrade\":false,\"versionstring\":\"$(cat "$ROOT/served" 2>/dev/null || echo 35.0.2)\"}"; exit ;;
      *Behind*remote.php/dav/*)
        while [ "$#" -gt 1 ]; do case $1 in -o) out=$2; shift ;; -K) grep -q :of-the-app "$2" || exit; shift ;; -X) method=$2; shift ;; -T) file=$2; shift ;; Destination:*) to=${"${1#*/dav/}"} ;; esac; shift; done
        path=${"${1#*/dav/}"} dav=$ROOT/dav; mkdir -p "$dav"
        echo "$method $path" >>"$ROOT/asked-dav"
        # shellcheck disable=SC2053 # A pattern.
        if [ -e "$ROOT/refuses-dav" ] && [[ "$method $path" == $(<"$ROOT/refuses-dav") ]]; then echo "Request entity too large" >"$out"; echo 413; exit; fi
        case $method in
          MKCOL) mkdir -p "$dav/$path"; echo 201 ;;
          PUT) mkdir -p "$(dirname "$dav/$path")"; cp "$file" "$dav/$path"; echo 201 ;;
          MOVE) cat "$(dirname "$dav/$path")"/? >"$dav/$to"; echo 201 ;;
          GET) cp "$dav/$path" "$out"; [ ! -e "$ROOT/loses" ] || : >"$out"; echo 200 ;;
          DELETE) rm "$dav/$path"; echo 204 ;;
        esac; exit ;;
      *Behind*) echo 200; exit ;;
    esac
    for word; do case $word in http*) [ "$seen" = silent ] || echo "$word $seen" ;; esac; done`,
};

/** Makes an ops-1 without spaces in the folder. */
export function makeOps(root: string): void {
  const at = (...path: string[]) => join(root, ...path);
  for (const folder of [
    "bin",
    "run",
    "etc/framaspace/wanted",
    "etc/framaspace/redis",
    "srv/spaces",
    "srv/releases/34.0.4",
    "srv/releases/35.0.2",
  ])
    mkdirSync(at(folder), { recursive: true });
  for (const release of ["34.0.4", "35.0.2"]) writeFileSync(at("srv/releases", release, "index.php"), "");
  writeFileSync(at("etc/framaspace/wanted/key"), "of-this-platform\n");
  for (const [name, text] of [
    ["admin", "of-redis"],
    ["commands", "resetchannels -@all +get"],
    ["databases", "16"],
  ] as const)
    writeFileSync(at("etc/framaspace/redis", name), `${text}\n`);
  fakeWorker(root);
  fakeCommands(root, FAKES);
  writeFileSync(
    at("etc/framaspace/platform.json"),
    '{"database":{"hosts":"postgres-1,postgres-2"},"redis":{"host":"redis-1","port":6379},"mail":{"host":"relay","port":25}}',
  );
  writeFileSync(
    at("etc/framaspace/catalog.json"),
    '{"apps":["deck","office"],"appsOptional":["registration"],"appsOff":["app_api","files_external"],"appsRefused":["onlyoffice"],"officeApps":{"collabora":"office"},"upgrade":{"stopAtFailedPercent":10}}',
  );
  for (const [release, version] of [
    ["34.0.4", "34.0.4.1"],
    ["35.0.2", "35.0.2.1"],
  ] as const) {
    const prepared = at("var/lib/framaspace/releases", release);
    mkdirSync(prepared, { recursive: true });
    writeFileSync(join(prepared, "version"), `${version}\n`);
    writeFileSync(join(prepared, "apps"), "deck files office\n");
    writeFileSync(join(prepared, "schema.sql"), "");
    writeFileSync(join(prepared, "key"), "");
    const sums = ["schema.sql", "version", "apps"].map((name) => {
      const text = readFileSync(join(prepared, name));
      return `${createHash("sha256").update(text).digest("hex")}  ${name}\n`;
    });
    writeFileSync(join(prepared, "checksums"), sums.join(""));
  }
  writeFileSync(at("more"), "apps deck files office\napproval 1\naccounts 1\nused 0\ndefault-quota 40 GB\n");
  writeFileSync(at("etc/framaspace/web-servers"), "web-1\nweb-2\n");
  writeFileSync(at("status"), "200");
}

/** A space that converge-space takes. */
export const LOTUS = {
  id: "lotus",
  host: "lotus.example.org",
  name: "Lotus",
  contact: "bureau@lotus.example",
  state: "active",
  wave: "main",
  release: "34.0.4",
  apps: ["deck", "office"],
  appsOptional: ["registration"],
  appsOff: ["app_api", "files_external"],
  office: "collabora",
  limits: { accounts: 50, storageBytes: 40 * 2 ** 30 },
  database: { name: "lotus", user: "lotus", password: "hidden" },
  redis: { user: "lotus", password: "hidden", prefix: "lotus:" },
};
