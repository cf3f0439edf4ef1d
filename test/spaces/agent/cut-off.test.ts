// Restores that are cut off. Everything around the programs is faked: no root, no network. Each test follows the advice
// that a program of ops-1 prints, and checks where it leads. The lab tests real machines (test/lab/restore.test.ts).
import { execaSync } from "execa";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openDatabase, shutDatabase } from "../../../spaces/agent/programs/close-space.ts";
import { destroyBucket, emptyBucket } from "../../../spaces/agent/programs/object-storage.ts";
import { placesIn } from "../../../spaces/agent/programs/places.ts";
import { readSpace } from "../../../spaces/agent/programs/read-space.ts";
import { beginWork, type SpaceWork } from "../../../spaces/agent/programs/space-work.ts";
import { fake, fakeCommands, onPath, sourceOf, startOf, ZSTD } from "../../support/fakes.ts";

const PROGRAMS = [
  "converge-space",
  "export-space",
  "archive-space",
  "remove-space",
  "restore-space",
  "restore-space-at",
] as const;
const FUSE_OF_PROGRAMS = join(import.meta.dirname, "../../support/fuse.cjs");
const tools = onPath("jq", "flock", "setsid");

/**
 * Kills the program that calls it, and everything that the program started, at a call that matches the pattern in
 * `fuse`.
 */
const FUSE = `if [ -e "$ROOT/fuse" ] && [[ "\${0##*/} $*" == $(<"$ROOT/fuse") ]]; then kill -KILL 0; fi`;

/** A database is a file under `db`. Each line of `versions` is one version of an object in the bucket. */
const FAKES = {
  chown: ":",
  sync: ":",
  ssh: '[[ $* != *"root@web-1 end-idle-php 300001" ]] || rm -f "$ROOT/waiting"',
  rsync: ":",
  psql: String.raw`${FUSE}
    said=$({ for word; do echo "$word"; done; [ -t 0 ] || timeout 5 cat; })
    name() { sed -E "s/^[^\"]*\"([^\"]*)\".*/\1/" <<<"$1"; }
    while IFS= read -r line; do case $line in
      "DROP DATABASE"*) rm -f "$ROOT/db/$(name "$line")" ;;
      "CREATE DATABASE"*) : >"$ROOT/db/$(name "$line")" ;;
      "ALTER DATABASE"*"RENAME TO"*) to=$(sed -E 's/.* "([^"]*)";/\1/' <<<"$line")
        [ ! -e "$ROOT/db/$to" ] || exit 3; /bin/mv "$ROOT/db/$(name "$line")" "$ROOT/db/$to" || exit 3 ;;
      "SELECT count(*) FROM pg_database"*) find "$ROOT/db" -name "$(cut -d"'" -f2 <<<"$line")" | wc -l ;;
      "SELECT count(*) FROM pg_stat_activity"*) cat "$ROOT/waiting" 2>/dev/null || cat "$ROOT/sessions" 2>/dev/null || echo 0 ;;
      *pg_terminate_backend*) rm -f "$ROOT/sessions" ;;
      "SELECT 'urn:oid:' || fileid"*) cat "$ROOT/sizes" ;;
      "SELECT to_regclass('public.framaspace')"*) echo t ;;
      "INSERT INTO framaspace VALUES ('fingerprint'"*) date +%N | md5sum | cut -c 1-32 ;;
    esac; done <<<"$said"`,
  pg_restore: String.raw`${FUSE}
    [[ $* != *--file=-* ]] || exec cat "${"${@: -1}"}"
    cat "${"${@: -1}"}" >"$ROOT/db/$(sed -E 's/.*dbname=([a-z_-]+).*/\1/' <<<"$*")"`,
  mc: String.raw`${FUSE}
    log=$ROOT/versions
    current() { awk '{ last[$1] = $0 } END { for (key in last) if (last[key] !~ / -$/) print last[key] }' "$@"; }
    shown() { awk '{ printf "{\"status\":\"success\",\"type\":\"file\",\"key\":\"%s\",\"versionId\":\"%s\",\"etag\":\"%s\",\"size\":%d,\"isDeleteMarker\":%s,\"lastModified\":\"%s\"}\n",
      $1, $2, $3, length($3), ($3 == "-" ? "true" : "false"), (substr($2, 2) + 0 > 6 ? "2099-01-01T00:00:00Z" : "2026-11-02T14:00:00Z") }'; }
    add() { echo "$1 v$(($(wc -l <"$log") + 1)) $2" >>"$log"; }
    case " $* " in
      *" version info "*) echo '{"versioning":{"status":"Enabled"}}' ;;
      *" ls "*" --rewind 2026-11-02T14:00:00Z "*) head -n "$(cat "$ROOT/moment")" "$log" | current | shown ;;
      *" ls "*" --rewind "*) exit 1 ;;
      *" ls "*" --versions "*) tac "$log" | shown ;;
      *" ls "*archive*) echo '{"status":"success","type":"file","key":"20261101T000000Z/manifest.json","size":1}' ;;
      *" ls "*) current "$log" | shown ;;
      *" cat "*manifest.json*) echo '{"format":1,"id":"lotus","bucket":"space-lotus","instanceId":"x","release":"34.0.4","version":"34.0.4.1","bytes":0,"objects":0,"rows":{},"sha256":{"database.dump":"'"$(echo exported | sha256sum | cut -d' ' -f1)"'"}}' ;;
      *" cat "*database.dump*) echo exported ;;
      *" rm "*--versions*) : >"$log" ;;
      *" rm "*--recursive*) for key in $(current "$log" | cut -d' ' -f1); do add "$key" -; done ;;
      *" rm "*) key=${"${@: -1}"}; add "${"${key##*/}"}" - ;;
      *" cp "*) key=${"${@: -1}"}; key=${"${key##*/}"}; version=$(sed -E 's/.*--version-id ([^ ]+).*/\1/' <<<"$*")
        add "$key" "$(awk -v key="$key" -v version="$version" '$1 == key && $2 == version { print $3 }' "$log")" ;;
    esac`,
  zstd: ZSTD,
  // The file `behind` has what ops-1 sees behind a maintenance, if that is not 200.
  curl: String.raw`seen=200; [ ! -e "$ROOT/srv/spaces/lotus/maintenance" ] || seen=503
    [[ $* != *Behind* ]] || seen=$(cat "$ROOT/behind" 2>/dev/null || echo 200)
    for word; do case $word in http*) echo "$word $seen" ;; esac; done`,
};

/** The functions of restore-space-at that read PostgreSQL's backups. */
const SCRATCH = String.raw`CLUSTER=/nowhere
scratch_start() { :; }
scratch_stop() { :; }
as_postgres() { echo then; }
scratch_psql() { case $* in *pg_database*) echo 1 ;; *) cat >/dev/null; cat "$ROOT/facts" ;; esac; }
`;

let root: string;
const at = (...path: string[]) => join(root, ...path);
const MOMENT = "2026-11-02 14:00:00";
const COMMAND = `restore-space-at lotus '${MOMENT}'`;

const LOTUS = {
  id: "lotus",
  host: "lotus.example.org",
  state: "active",
  wave: "main",
  release: "35.0.2",
  version: "35.0.2.1",
  archive: { graceDays: 0 },
  database: { name: "lotus", user: "lotus", password: "hidden" },
  redis: { database: 1 },
  s3: { bucket: "space-lotus" },
};
const MADE = ["a v1 one", "b v2 one", "c v3 one"];
const SINCE = ["a v4 two", "b v5 -", "d v6 two"];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "cut-off-"));
  for (const folder of [
    "bin",
    "db",
    "run/framaspace",
    "etc/framaspace/wanted",
    "var/lib/postgresql",
    "var/lib/framaspace",
    "srv/spaces/lotus/config",
    "srv/releases/34.0.4",
    "srv/releases/35.0.2",
  ])
    mkdirSync(at(folder), { recursive: true });
  for (const release of ["34.0.4", "35.0.2"]) writeFileSync(at("srv/releases", release, "index.php"), "");
  fakeCommands(root, FAKES);
  writeFileSync(at("empty-database.sql"), sourceOf("empty-database.sql"));
  for (const name of PROGRAMS) fake(at("bin", name), startOf(root, name, ["--require", FUSE_OF_PROGRAMS]));
  writeFileSync(at("scratch-postgres.sh"), `ROOT=${root}\nPGBIN=${at("bin")}\n${SCRATCH}`);
  writeFileSync(at("etc/framaspace/platform.json"), '{"database":{"hosts":"postgres-1"},"s3":{}}');
  writeFileSync(
    at("etc/framaspace/catalog.json"),
    '{"apps":[],"appsOptional":[],"appsOff":[],"appsRefused":[],"officeApps":{},"upgrade":{"stopAtFailedPercent":10}}',
  );
  writeFileSync(at("etc/framaspace/wanted/key"), "of-this-platform\n");
  writeFileSync(at("etc/framaspace/web-servers"), "web-1\n");
  writeFileSync(at("var/lib/framaspace/postgres.json"), '{"primary":"postgres-1"}');
  writeFileSync(at("facts"), "version 34.0.4.1\n");
  begin();
});
afterEach(() => rmSync(root, { recursive: true }));

/** Sets up a space that was changed and upgraded after the moment. */
function begin(): void {
  for (const folder of ["restoring", "restoring-at", "undistributed"])
    rmSync(at("var/lib/framaspace", folder), { recursive: true, force: true });
  for (const file of ["maintenance", "archived", ".new.release"]) rmSync(space(file), { force: true });
  rmSync(at("db"), { recursive: true });
  mkdirSync(at("db"));
  writeFileSync(at("db/lotus"), "since\n");
  writeFileSync(space("config/space.json"), JSON.stringify(LOTUS));
  rmSync(space("release"), { force: true });
  symlinkSync(at("srv/releases/35.0.2"), space("release"));
  writeFileSync(at("versions"), `${[...MADE, ...SINCE].join("\n")}\n`);
  writeFileSync(at("moment"), String(MADE.length));
}
const space = (...path: string[]) => at("srv/spaces/lotus", ...path);

/** Runs a command line on ops-1. */
function type(command: string, input = "") {
  const { stdout, stderr, exitCode, signal } = execaSync("setsid", ["-w", "bash", "-c", command], {
    input,
    reject: false,
    env: { PATH: `${at("bin")}:${process.env.PATH}` },
  });
  return {
    stdout,
    stderr: stderr.replaceAll(root, ""),
    killed: signal === "SIGKILL" || exitCode === 137,
    exitCode,
  };
}

/** Does something with the space in this process. Resolves to what people are told. */
async function onSpace(action: (work: SpaceWork) => Promise<void>): Promise<string[]> {
  const said: string[] = [];
  const spy = vi.spyOn(console, "error").mockImplementation((line) => void said.push(String(line)));
  vi.stubEnv("PATH", `${at("bin")}:${process.env.PATH}`);
  try {
    const places = placesIn(root, root, at("bin"));
    await action(beginWork(places, readSpace(places, text("srv/spaces/lotus/config/space.json") ?? ""), 1));
    return said;
  } finally {
    vi.unstubAllEnvs();
    spy.mockRestore();
  }
}

/** Runs a command line, and kills it just before a call that matches the pattern. */
function cutOff(command: string, call: string): void {
  writeFileSync(at("fuse"), call);
  const { killed, stderr } = type(command);
  if (!killed) throw new Error(`it never reached ${call}: ${stderr}`);
  rmSync(at("fuse"));
}

/** Kills the restore while it puts the files back: one file is there. */
function cutOffInFiles(): void {
  cutOff(COMMAND, "mc *cp*space-lotus/b");
  expect(versions()).toHaveLength(MADE.length + SINCE.length + 1);
}

/** Calls of the restore, as bash patterns. The tests kill it just before each of them. */
const CALLS = [
  "pg_restore *",
  "mv *restoring-at*",
  "mv *maintenance",
  "psql *SET default_transaction_read_only*",
  "psql *DROP DATABASE IF EXISTS*before*",
  "psql *-d service=framaspace dbname=postgres",
  "mv *space.json",
  "mv *release",
  "mc *cp*space-lotus/a",
  "mc *cp*space-lotus/b",
  "mc *rm*space-lotus/d",
  "psql *RESET*",
];

const versions = () => readFileSync(at("versions"), "utf8").trim().split("\n");
/** Key → current content of the bucket. */
function bucket(): Record<string, string> {
  const now: Record<string, string> = {};
  for (const [key = "", , content = ""] of versions().map((line) => line.split(" "))) now[key] = content;
  return now;
}
const text = (path: string) => (existsSync(at(path)) ? readFileSync(at(path), "utf8").trim() : undefined);

function expectRestored(): void {
  expect({ lotus: text("db/lotus"), before: text("db/lotus_before_restore") }).toEqual({
    lotus: "then",
    before: "since",
  });
  expect(bucket()).toEqual({ a: "one", b: "one", c: "one", d: "-" });
  expect(versions().slice(0, 6)).toEqual([...MADE, ...SINCE]);
  expect(existsSync(space("maintenance"))).toBe(false);
  expect(readlinkSync(space("release"))).toBe(at("srv/releases/34.0.4"));
  expect(JSON.parse(text("srv/spaces/lotus/config/space.json") ?? "")).toMatchObject({
    release: "34.0.4",
    version: "34.0.4.1",
    dataFingerprint: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
  });
  expect(existsSync(at("var/lib/framaspace/restoring-at/lotus"))).toBe(false);
  expect(existsSync(at("srv/releases/34.0.4/34.0.4"))).toBe(false);
}

const wanted = (change: object = {}) => JSON.stringify({ ...LOTUS, ...change });
/** Every program that works on the data of a space: its command line and its input. */
const OTHERS: [string, string][] = [
  ["converge-space", wanted()],
  ["converge-space", wanted({ state: "suspended" })],
  ["converge-space", wanted({ state: "archived" })],
  ["export-space lotus", ""],
  ["restore-space lotus", ""],
  ["restore-space lotus lotus/20261101T000000Z", ""],
];

describe.skipIf(!tools)("a restore to a moment (jq, flock and setsid on PATH)", { timeout: 120_000 }, () => {
  it("restores database, files and release, with a new fingerprint, and keeps what was there", () => {
    expect(type(COMMAND)).toMatchObject({ exitCode: 0 });
    expectRestored();
  });

  it("leaves the space closed if a web server cannot serve the release that it was on, and says what to do", () => {
    writeFileSync(at("behind"), "503");
    const { exitCode, stderr } = type(COMMAND);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      `its data is as it was at ${MOMENT}, on 34.0.4, and stays closed: web-1 answers 503. Is release 34.0.4 there (ssh web-1 ls /srv/releases)? Add 34.0.4 to spaces/catalog.yaml (state: leaving), run up for the platform, then this again`,
    );
    expect(stderr).not.toContain("is as lotus was");
    expect(existsSync(space("maintenance"))).toBe(true);
    expect(type("export-space lotus").stderr).toContain(`Finish it on ops-1: ${COMMAND};`);
    rmSync(at("behind"));
    expect(type(COMMAND)).toMatchObject({ exitCode: 0 });
    expectRestored();
  });

  it("serves nobody after a restore of a suspended space, whatever its web servers answer", () => {
    writeFileSync(space("config/space.json"), wanted({ state: "suspended" }));
    writeFileSync(at("behind"), "503");
    expect(type(COMMAND)).toMatchObject({ exitCode: 0 });
  });

  it("is finished by the same command after it was killed anywhere", () => {
    for (const call of CALLS) {
      begin();
      cutOff(COMMAND, call);
      const { exitCode, stderr } = type(COMMAND);
      expect({ call, exitCode, stderr }).toMatchObject({ call, exitCode: 0 });
      expectRestored();
    }
  });

  it("is finished by the advice of every other program, and none of them touches the space", () => {
    cutOffInFiles();
    const left = versions();
    for (const [program, input] of OTHERS) {
      const { exitCode, stderr } = type(program, input);
      expect({ program, exitCode, stderr }).toEqual({
        program,
        exitCode: 1,
        stderr: expect.stringContaining(
          `its restore to ${MOMENT} was cut off. Finish it on ops-1: ${COMMAND};`,
        ) as string,
      });
    }
    for (const program of ["archive-space lotus", "remove-space lotus"]) {
      writeFileSync(space("config/space.json"), wanted({ state: "archived" }));
      writeFileSync(space("archived"), "");
      expect(type(program).stderr).toContain(`Finish it on ops-1: ${COMMAND};`);
      rmSync(space("archived"));
      writeFileSync(space("config/space.json"), wanted());
    }
    expect(versions()).toEqual(left);
    const [, advice = ""] =
      /on ops-1: (.*); then run this again/.exec(type("export-space lotus").stderr) ?? [];
    expect(type(advice)).toMatchObject({ exitCode: 0 });
    expectRestored();
  });

  it("continues after a kill only with the same moment and the same spaces", () => {
    cutOffInFiles();
    for (const words of ["lotus '2026-11-01 09:00'", `iris '${MOMENT}' lotus`])
      expect(type(`restore-space-at ${words}`).stderr).toContain(
        `its restore to ${MOMENT} was cut off. Finish it first: ${COMMAND}; then run this again`,
      );
    expect(type("restore-space-at lotus '2026-11-02 14:00'")).toMatchObject({ exitCode: 0 });
    expectRestored();
  });

  it("into another space names both spaces in the advice", () => {
    mkdirSync(at("srv/spaces/lotus-old/config"), { recursive: true });
    const copy = { ...LOTUS, id: "lotus-old", database: { ...LOTUS.database, name: "lotus-old" } };
    writeFileSync(at("srv/spaces/lotus-old/config/space.json"), JSON.stringify(copy));
    mkdirSync(at("var/lib/framaspace/restoring-at"), { recursive: true });
    writeFileSync(at("var/lib/framaspace/restoring-at/lotus-old"), `lotus\n${MOMENT}\nchanging\n`);
    expect(type("export-space lotus-old").stderr).toContain(
      `Finish it on ops-1: restore-space-at lotus '${MOMENT}' lotus-old;`,
    );
  });

  it("of an earlier version of the program is not taken for the restore of an export", () => {
    mkdirSync(at("var/lib/framaspace/restoring"));
    writeFileSync(at("var/lib/framaspace/restoring/lotus"), "");
    writeFileSync(at("db/lotus"), "then, half of it\n");
    writeFileSync(at("db/lotus_before_restore"), "since\n");
    for (const [program, input] of OTHERS) {
      const { exitCode, stderr } = type(program, input);
      expect({ program, exitCode, stderr }).toEqual({
        program,
        exitCode: 1,
        stderr: expect.stringContaining("Finish it on ops-1 by the same restore-space-at as then") as string,
      });
    }
    expect(versions()).toEqual([...MADE, ...SINCE]);
    expect(type(COMMAND)).toMatchObject({ exitCode: 0 });
    expectRestored();
    expect(existsSync(at("var/lib/framaspace/restoring/lotus"))).toBe(false);
  });

  it("is refused before anything changes, if the space cannot go back to that moment", () => {
    const untouched = () => {
      expect(versions()).toEqual([...MADE, ...SINCE]);
      expect(existsSync(space("maintenance"))).toBe(false);
      expect(text("db/lotus")).toBe("since");
    };
    writeFileSync(at("facts"), "version 33.0.9.1\n");
    expect(type(COMMAND).stderr).toContain(
      "it was on 33.0.9, which is not on this machine. Nothing was changed. Add 33.0.9 to spaces/catalog.yaml (state: leaving)",
    );
    untouched();
    writeFileSync(at("facts"), "version 34.0.4.1\nupgrade 34.0.4.1\n");
    expect(type(COMMAND).stderr).toContain("was being upgraded at");
    untouched();
    writeFileSync(space("config/space.json"), wanted({ state: "archived" }));
    expect(type(COMMAND).stderr).toContain("it is archived.");
    untouched();
  });
});

describe.skipIf(!tools)("requests that a program ends (jq, flock and setsid on PATH)", () => {
  /** Closes the database as a program that works on the space does. Meanwhile, requests change the bucket. */
  const close = (meanwhile: string[]) => {
    writeFileSync(at("sizes"), "a 3\nc 3\nd 3\ne 8\n");
    return onSpace(async (work) => {
      await shutDatabase(work);
      for (const line of meanwhile) appendFileSync(at("versions"), `${line}\n`);
      await openDatabase(work);
    });
  };
  const OVERWRITTEN = ["a v7 unacknowledged", "c v8 -", "d v9 new", "e v10 upgraded"];

  it("leave files as the database has them: overwritten or deleted files come back", async () => {
    writeFileSync(at("sessions"), "2");
    expect(await close(OVERWRITTEN)).toEqual([
      "space lotus: 2 requests still under way after 1 s are ended; they were not acknowledged",
    ]);
    expect(bucket()).toEqual({ a: "two", b: "-", c: "one", d: "new", e: "upgraded" });
    expect(versions().slice(0, 10)).toEqual([...MADE, ...SINCE, ...OVERWRITTEN]);
  });

  it("are not those of a worker that waits for a next one, and keeps its connection: it is ended at once", async () => {
    writeFileSync(at("waiting"), "3\n");
    expect(await close([])).toEqual([]);
    expect(existsSync(at("waiting"))).toBe(false);
  });

  it("are the only reason to check a bucket", async () => {
    expect(await close(OVERWRITTEN)).toEqual([]);
    expect(versions()).toEqual([...MADE, ...SINCE, ...OVERWRITTEN]);
  });
});

describe.skipIf(!tools)(
  "the restore of an export (jq, flock and setsid on PATH)",
  { timeout: 60_000 },
  () => {
    it("is finished by the advice of every other program after it was cut off", () => {
      const begun = "lotus/20261101T000000Z";
      mkdirSync(at("var/lib/framaspace/restoring"));
      writeFileSync(at("var/lib/framaspace/restoring/lotus"), `${begun}\n`);
      for (const [program, input] of [...OTHERS.slice(0, 4), [COMMAND, ""]] as const) {
        const { exitCode, stderr } = type(program, input);
        expect({ program, exitCode, stderr }).toEqual({
          program,
          exitCode: 1,
          stderr: expect.stringContaining(
            `${begun} is half restored onto it. Finish it on ops-1: restore-space lotus ${begun};`,
          ) as string,
        });
      }
      expect(type("restore-space lotus lotus/20261102T000000Z").stderr).toContain(
        `${begun} is half restored onto it. Finish it: restore-space lotus ${begun};`,
      );
      expect(versions()).toEqual([...MADE, ...SINCE]);
    });

    it("into a suspended space keeps the old versions of its files, even after a kill", () => {
      writeFileSync(space("config/space.json"), wanted({ state: "suspended" }));
      cutOff("restore-space lotus", "mv *release");
      const { stdout, stderr } = type("restore-space lotus");
      expect(stderr).toBe("");
      expect(JSON.parse(stdout)).toMatchObject({ restored: "lotus/20261101T000000Z", release: "34.0.4" });
      expect(bucket()).toEqual({ a: "-", b: "-", c: "-", d: "-" });
      expect(versions().slice(0, 6)).toEqual([...MADE, ...SINCE]);
      expect(readlinkSync(space("release"))).toBe(at("srv/releases/34.0.4"));
      // With a leftover link, it would have been created inside the release.
      expect(existsSync(at("srv/releases/34.0.4/34.0.4"))).toBe(false);
      expect(JSON.parse(text("srv/spaces/lotus/config/space.json") ?? "")).toMatchObject({
        release: "34.0.4",
        dataFingerprint: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      });
      expect(existsSync(at("var/lib/framaspace/restoring/lotus"))).toBe(false);
    });

    it("takes no bucket for empty because object storage does not answer", async () => {
      writeFileSync(space("config/space.json"), wanted({ state: "archived" }));
      fakeCommands(root, { mc: `echo '{"error":{"message":"it is down"}}'; exit 1` });
      for (const step of [emptyBucket, destroyBucket])
        await expect(onSpace(step)).rejects.toThrow("object storage: it is down");
    });

    it("takes no database for dropped because PostgreSQL does not answer", () => {
      writeFileSync(space("config/space.json"), wanted({ state: "archived" }));
      fakeCommands(root, { psql: "echo 'psql: no server' >&2; exit 2" });
      expect(type("archive-space lotus")).toMatchObject({
        stdout: "",
        stderr: expect.stringContaining("its role cannot use its database") as string,
        exitCode: 1,
      });
      expect(text("var/lib/framaspace/archived/lotus")).not.toContain("dropped");
    });

    it("destroys old versions only of an archived space", async () => {
      writeFileSync(space("config/space.json"), wanted({ state: "suspended" }));
      await expect(onSpace(destroyBucket)).rejects.toThrow(
        "its state is suspended, so old versions of its files stay",
      );
      expect(versions()).toEqual([...MADE, ...SINCE]);
      writeFileSync(space("config/space.json"), wanted({ state: "archived" }));
      expect(await onSpace(destroyBucket)).toEqual([]);
      expect(versions()).toEqual([""]);
    });
  },
);
