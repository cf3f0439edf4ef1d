// remove-space: the last program that can refuse before the engine destroys the database and bucket of a space.
import { execaSync } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fake, onPath, startOf } from "../../support/fakes.ts";

const tools = onPath("jq", "flock");

let root: string;
const at = (...path: string[]) => join(root, ...path);
const calls = () => (existsSync(at("calls")) ? readFileSync(at("calls"), "utf8").trim().split("\n") : []);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "remove-"));
  for (const folder of ["bin", "etc/framaspace", "run/framaspace", "srv/spaces", "srv/archive"])
    mkdirSync(at(folder), { recursive: true });
  for (const folder of ["etc/framaspace/redis", "var/lib/framaspace/redis"])
    mkdirSync(at(folder), { recursive: true });
  writeFileSync(at("etc/framaspace/redis/admin"), "of-redis\n");
  platform({});
  writeFileSync(at("etc/framaspace/web-servers"), "");
  // What the space's database answers. A missing database is an error. \`no-database\`: that of the records does not answer.
  fake(
    at("bin/psql"),
    `case "$*" in
      *pg_tables*) cat ${root}/tables ;;
      *"-v id="*) [[ $(cat) == *"DELETE FROM framaspace.spaces WHERE id = :'id';"* ]] && [ ! -e ${root}/no-database ] || exit 2
        echo "forget $(sed -E 's/.*-v id=([a-z]+) .*/\\1/' <<<"$*")" >>${root}/calls ;;
      *) [ -e ${root}/holds ] || { echo "does not exist" >&2; exit 2; }; cat ${root}/holds ;;
    esac`,
  );
  fake(at("bin/redis-cli"), `while read -r line; do echo "$line" >>${root}/calls; echo OK; done`);
  // The file \`bucket\` lists what the space's bucket has, old versions included. The archive is empty.
  fake(
    at("bin/mc"),
    `case "$*" in *--versions*) cat ${root}/bucket || { echo '{"error":{"message":"it is down"}}'; exit 1; } ;; esac`,
  );
  fake(at("remove-space"), startOf(root, "remove-space"));
});
afterEach(() => rmSync(root, { recursive: true }));

function remove(id = "lotus") {
  const { stderr, exitCode } = execaSync(at("remove-space"), [id], {
    reject: false,
    env: { PATH: `${at("bin")}:${process.env.PATH}` },
  });
  return { exitCode, stderr };
}
function platform(more: object): void {
  const file = { redis: { host: "redis-1", port: 6379 }, ...more };
  writeFileSync(at("etc/framaspace/platform.json"), JSON.stringify(file));
}
function archived({ exported }: { exported: boolean }) {
  mkdirSync(at("srv/spaces/lotus"), { recursive: true });
  writeFileSync(at("srv/spaces/lotus/archived"), "");
  writeFileSync(at("var/lib/framaspace/redis/lotus"), "3 #digest ~lotus*\n");
  if (!exported) return;
  mkdirSync(at("srv/archive/lotus/20261101T000000Z"), { recursive: true });
  writeFileSync(at("srv/archive/lotus/20261101T000000Z/manifest.json"), "{}");
}

describe.skipIf(!tools)("remove-space (jq and flock on PATH)", () => {
  it("forgets the wanted state before it removes the directory, so that nothing makes the space again", () => {
    archived({ exported: true });
    expect(remove()).toEqual({ exitCode: 0, stderr: "" });
    expect(calls()).toEqual(["forget lotus", "SELECT 3", "FLUSHDB ASYNC", "ACL DELUSER lotus", "ACL SAVE"]);
    expect(existsSync(at("srv/spaces/lotus"))).toBe(false);
  });

  it("removes nothing if the space would be made again", () => {
    archived({ exported: true });
    writeFileSync(at("no-database"), "");
    expect(remove()).toEqual({
      exitCode: 1,
      stderr: expect.stringContaining("space lotus, removal: lotus cannot be forgotten: PostgreSQL does not"),
    });
    expect(calls()).toEqual([]);
    expect(existsSync(at("srv/spaces/lotus/archived"))).toBe(true);
  });

  it("is done again where the engine was cut off before it destroyed the database", () => {
    archived({ exported: true });
    expect(remove().exitCode).toBe(0);
    writeFileSync(at("holds"), "t\n");
    expect(remove()).toEqual({ exitCode: 0, stderr: "" });
  });

  it("refuses a space without an export", () => {
    archived({ exported: false });
    expect(remove()).toEqual({ exitCode: 1, stderr: expect.stringContaining("it has no verified export") });
    expect(calls()).toEqual([]);
  });

  describe("if its last export has expired", () => {
    const expired = (tables: string, bucket?: string) => {
      archived({ exported: false });
      mkdirSync(at("srv/spaces/lotus/config"));
      const space = { id: "lotus", state: "archived", release: "34.0.4", s3: { bucket: "space-lotus" } };
      writeFileSync(at("srv/spaces/lotus/config/space.json"), JSON.stringify(space));
      platform({ database: { hosts: "postgres-1" }, s3: {} });
      writeFileSync(
        at("etc/framaspace/catalog.json"),
        '{"apps":[],"appsOptional":[],"appsOff":[],"appsRefused":[],"officeApps":{},"upgrade":{}}',
      );
      writeFileSync(at("tables"), `${tables}\n`);
      if (bucket !== undefined) writeFileSync(at("bucket"), bucket);
    };

    it("removes an empty space, and says that nothing is left", () => {
      expired("0", "");
      expect(remove()).toEqual({
        exitCode: 0,
        stderr:
          "space lotus: its database and its bucket are empty, and the archive has no export of it any more: nothing is left of it, and nothing can be restored",
      });
      expect(existsSync(at("srv/spaces/lotus"))).toBe(false);
    });

    it.each([
      ["a table", "1", "", "it has no verified export"],
      [
        "an old version of a file",
        "0",
        '{"type":"file","key":"urn:oid:1","size":1,"etag":"x"}\n',
        "no verified",
      ],
      ["a bucket that does not answer", "0", undefined, "object storage: it is down"],
      ["a database that does not answer", "", "", "it has no verified export"],
    ])("refuses a space with %s", (_, tables, bucket, message) => {
      expired(tables, bucket);
      expect(remove()).toEqual({ exitCode: 1, stderr: expect.stringContaining(message) });
      expect(calls()).toEqual([]);
      expect(existsSync(at("srv/spaces/lotus/archived"))).toBe(true);
    });
  });

  it("refuses a space that a new ops-1 does not have yet, because nothing says that it is archived", () => {
    writeFileSync(at("holds"), "t\n");
    const { exitCode, stderr } = remove();
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      "space lotus, removal: its directory is not on ops-1, but its database holds a space",
    );
    expect(calls()).toEqual([]);
  });

  it.each([
    ["was emptied", "f\n"],
    ["is not there", undefined],
  ])("forgets a space that never converged, or was removed before: its database %s", (_, said) => {
    if (said !== undefined) writeFileSync(at("holds"), said);
    expect(remove()).toEqual({ exitCode: 0, stderr: "" });
    expect(calls()).toEqual(["forget lotus"]);
  });
});
