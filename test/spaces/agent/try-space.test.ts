// try-space, with web servers faked. The lab tries a real Nextcloud (test/lab/releases.test.ts).
import { execaSync } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LOTUS, makeOps } from "../../support/fake-ops.ts";
import { fakeCommands, onPath, startOf } from "../../support/fakes.ts";

let root: string;
const at = (...path: string[]) => join(root, ...path);

/**
 * What a web server answers: `refuses` has patterns of requests that it refuses, `loses` patterns of those whose content
 * it loses. All web servers have the same files.
 */
const CURL = String.raw`method=GET
  while [ "$#" -gt 1 ]; do case $1 in -o) out=$2; shift ;; -X) method=$2; shift ;; -T) file=$2; shift ;; -d) method=POST; shift ;; Destination:*) to=${"${1#*/dav/}"} ;; esac; shift; done
  path=${"${1#http://*/}"} dav=$ROOT/dav; request="$method $1"; mkdir -p "$dav"; : >"$out"
  echo "$request" >>"$ROOT/requests"
  if grep -qE -f "$ROOT/refuses" <<<"$request"; then echo "no luck" >"$out"; echo 500; exit; fi
  path=${"${path#remote.php/dav/}"}
  case $request in
    *capabilities) echo '{"ocs":{"data":{"capabilities":{"files":{},"files_sharing":{"public":{"enabled":true,"password":{"enforced":false}}}}}}}' >"$out"; echo 200 ;;
    *shares) echo '{"ocs":{"data":{"token":"abc"}}}' >"$out"; echo 200 ;;
    *public.php*) cp "$dav/files/framaspace-try/whole-web-1" "$out"; echo 200 ;;
    *core/preview.png*) [ -e "$ROOT/no-picture" ] || cp "$dav/files/framaspace-try/try.png" "$out"; echo 200 ;;
    PROPFIND*) echo 207 ;;
    MKCOL*) mkdir -p "$dav/$path"; echo 201 ;;
    MKCALENDAR*) mkdir -p "$dav/$path"; echo 201 ;;
    PUT*) mkdir -p "$(dirname "$dav/$path")"; cp "$file" "$dav/$path"; echo 201 ;;
    MOVE*) cat "$(dirname "$dav/$path")"/? >"$dav/$to"; echo 201 ;;
    DELETE*) rm "$dav/$path"; echo 204 ;;
    *remote.php*) cp "$dav/$path" "$out"; echo 200 ;;
    *) echo 200 ;;
  esac
  if grep -qE -f "$ROOT/loses" <<<"$request"; then : >"$out"; fi`;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "try-space-"));
  makeOps(root);
  fakeCommands(root, {
    curl: CURL,
    // Occ, and the background job.
    php: String.raw`echo "$*" | grep -oE '(cron\.php|user:.*)$' >>"$ROOT/asked"
      [ ! -e "$ROOT/fails" ] || [[ $* != *"$(cat "$ROOT/fails")"* ]] || { echo "no luck"; exit 5; }`,
  });
  for (const name of ["refuses", "loses"]) writeFileSync(at(name), "");
  keep({ ...LOTUS, redis: { ...LOTUS.redis, database: 1 } });
});
afterEach(() => rmSync(root, { recursive: true }));

function keep(space: { id: string; redis?: object }): void {
  mkdirSync(at("srv/spaces", space.id, "config"), { recursive: true });
  writeFileSync(at("srv/spaces", space.id, "config/space.json"), JSON.stringify(space));
}

function trySpace(...ids: string[]) {
  const words = ["-c", startOf(root, "try-space").split("\n")[1] ?? "", "try-space", ...ids];
  const { stdout, stderr, exitCode } = execaSync("bash", words, {
    reject: false,
    env: { PATH: `${at("bin")}:${process.env.PATH}` },
  });
  return { stdout, stderr: stderr.replaceAll(root, ""), exitCode };
}
const requests = () => readFileSync(at("requests"), "utf8").trim().split("\n");
const problem = (line: string) => ({ stdout: `space lotus: ${line}`, stderr: "", exitCode: 1 });

describe.skipIf(!onPath("flock"))("try-space (flock on PATH)", () => {
  it("says nothing of a space that serves, and leaves nothing behind", () => {
    expect(trySpace("lotus")).toEqual({ stdout: "", stderr: "", exitCode: 0 });
    expect(requests()).toEqual(
      expect.arrayContaining([
        "GET http://web-2/remote.php/dav/files/framaspace-try/whole-web-1",
        "MOVE http://web-2/remote.php/dav/uploads/framaspace-try/new-0-web-2/.file",
        "GET http://web-1/public.php/dav/files/abc/",
        "GET http://web-1/index.php/core/preview.png?file=/try.png&x=32&y=32",
        "PUT http://web-1/remote.php/dav/calendars/framaspace-try/try/try.ics",
      ]),
    );
    expect(requests().filter((request) => request.startsWith("DELETE"))).toHaveLength(8);
    expect(readFileSync(at("asked"), "utf8").trim().split("\n")).toEqual([
      "user:delete framaspace-try",
      "user:add --password-from-env framaspace-try",
      "user:auth-tokens:add framaspace-try",
      "cron.php",
      "user:delete framaspace-try",
    ]);
    expect(existsSync(at("run/framaspace/members/lotus"))).toBe(false);
    expect(existsSync(at("var/lib/framaspace/scratch/lotus"))).toBe(false);
  });

  it.each([
    ["web-1/index.php/login", "web-1 answers the login page with 500: no luck"],
    ["PROPFIND http://web-2/", "web-2 answers a login with 500: no luck"],
    ["PUT .*/old-web-2/1", "web-2 answers chunk 1 of old clients with 500: no luck"],
    ["MOVE .*/new-0-web-1/", "web-1 answers the end of an upload in chunks by new clients with 500: no luck"],
    ["GET http://web-2/.*whole-web-1", "web-2 answers reading whole-web-1 with 500: no luck"],
    ["POST .*shares", "web-1 answers sharing a file by a link with 500: no luck"],
    ["MKCALENDAR", "web-1 answers a new calendar with 500: no luck"],
  ])("says what a web server refuses: %s", (pattern, line) => {
    writeFileSync(at("refuses"), `${pattern}\n`);
    expect(trySpace("lotus")).toEqual(problem(line));
  });

  it.each([
    ["GET http://web-1/public", "web-1 opens a link, and gives 0 of 8388608 bytes, or others"],
    [
      "GET http://web-1/.*whole-web-2",
      "web-1 acknowledged whole-web-2, and gives back 0 of 8388608 bytes, or others",
    ],
    ["GET .*try.ics", "web-1 loses what a calendar's entry says"],
  ])("says what a web server loses: %s", (pattern, line) => {
    writeFileSync(at("loses"), `${pattern}\n`);
    expect(trySpace("lotus")).toEqual(problem(line));
  });

  it("says that a preview is no picture, and that the background job fails", () => {
    writeFileSync(at("no-picture"), "");
    writeFileSync(at("fails"), "cron.php");
    expect(trySpace("lotus").stdout.split("\n")).toEqual([
      "space lotus: web-1 gives a preview that is no picture",
      "space lotus: its background job ends with status 5: no luck",
    ]);
  });

  it("says once of each release of this machine that it is not what its makers signed, unless that is accepted", () => {
    const differs = (release: string, differences: string[]) =>
      writeFileSync(
        at("var/lib/framaspace/releases", release, "integrity.json"),
        JSON.stringify({ signed: true, differences, unsignedApps: [] }),
      );
    differs("34.0.4", []);
    differs("35.0.2", ["core: FILE_MISSING dist/core-common.js"]);
    // Prepared once, and gone.
    mkdirSync(at("var/lib/framaspace/releases/33.0.1"));
    differs("33.0.1", ["core: FILE_MISSING occ"]);
    // Spaces that nobody can use: trying them takes no time.
    for (const id of ["lotus", "rose"]) keep({ ...LOTUS, id, state: "suspended" } as { id: string });
    const suspended = ["lotus", "rose"].map((id) => `space ${id}: it is suspended, so nobody can use it`);
    const { stdout, exitCode } = trySpace("lotus", "rose");
    expect(exitCode).toBe(1);
    expect(stdout.replaceAll(root, "").split("\n")).toEqual([
      'release 35.0.2: 1 differences from what its makers signed: core: FILE_MISSING dist/core-common.js. Move no wave to it; see /var/lib/framaspace/releases/35.0.2/integrity.json, and docs/releases.md: "If its files differ"',
      ...suspended,
    ]);
    const catalog = JSON.parse(readFileSync(at("etc/framaspace/catalog.json"), "utf8")) as object;
    writeFileSync(
      at("etc/framaspace/catalog.json"),
      JSON.stringify({ ...catalog, acceptedReleases: ["35.0.2"] }),
    );
    expect(trySpace("lotus", "rose").stdout.split("\n")).toEqual(suspended);
  });

  it("says of each space why it cannot be tried, and tries the others", () => {
    keep({ ...LOTUS, id: "rose", state: "suspended" } as { id: string });
    writeFileSync(at("fails"), "user:add");
    const { stdout, stderr, exitCode } = trySpace("iris", "rose", "../etc", "lotus");
    expect(stdout.split("\n")).toEqual([
      "space iris: ops-1 does not have it",
      "space rose: it is suspended, so nobody can use it",
      "space lotus: an account cannot be made: no luck",
    ]);
    expect({ stderr, exitCode }).toEqual({ stderr: "space ../etc, reading: this is no id", exitCode: 1 });
    expect(trySpace()).toEqual({ stdout: "", stderr: "try-space ID…", exitCode: 2 });
  });
});
