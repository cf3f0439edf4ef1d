// restore-space, with fakes around it. Restores that are cut off: test/spaces/agent/cut-off.test.ts.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FakeArchive } from "../../support/fake-archive.ts";
import { onPath } from "../../support/fakes.ts";

const folder = mkdtempSync(join(tmpdir(), "restore-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe.skipIf(!onPath("flock", "tar"))("restore-space (flock and tar on PATH)", () => {
  let ops: FakeArchive;
  let name: string;
  beforeAll(async () => {
    ops = new FakeArchive(join(folder, "machine"));
    const { stdout } = await ops.run("export-space", ["lotus"]);
    ({ export: name } = JSON.parse(stdout) as { export: string });
    ops.suspendChanged();
    ops.keepAs("suspended");
  });
  beforeEach(() => ops.reset("suspended"));

  const nothingChanged = () => {
    const { bucket, databases } = ops.state();
    expect(Object.keys(bucket)).toContain("urn:oid:200");
    expect(databases).toEqual({ lotus: "oc_filecache 1\n" });
    expect(existsSync(ops.at("shut"))).toBe(false);
    expect(ops.text("var/lib/framaspace/restoring/lotus")).toBeUndefined();
  };

  it("puts back rows and files, with a new fingerprint, and keeps old versions", async () => {
    const { exitCode, stdout, stderr } = await ops.run("restore-space", ["lotus"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      id: "lotus",
      restored: name,
      release: "34.0.4",
      objects: 4,
      bytes: 32,
      state: "suspended",
      next: "in its entry, write state: active; then run up",
    });
    const state = ops.state();
    expect(state.bucket).toEqual(
      Object.fromEntries([101, 102, 103, 104].map((id) => [`urn:oid:${id}`, `file${id}\n`])),
    );
    expect(state.databases).toEqual({ lotus: "oc_filecache 5\noc_users 2\n" });
    expect(state.oldVersions).toEqual(["overwritten", "new"]);
    expect(state.shut).toBe(false);
    expect(JSON.parse(ops.text("srv/spaces/lotus/config/space.json") ?? "")).toMatchObject({
      release: "34.0.4",
      version: "34.0.4.1",
      dataFingerprint: "0123456789abcdef0123456789abcdef",
    });
  });

  it("refuses a space that somebody uses", async () => {
    writeFileSync(ops.at("used"), "1 3\n");
    const { exitCode, stderr } = await ops.run("restore-space", ["lotus"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      "space lotus, target: it is in use: 1 accounts have logged in to it, and it holds 3 files. Restoring would overwrite that",
    );
    nothingChanged();
  });

  it("refuses an active space", async () => {
    ops.is({});
    expect((await ops.run("restore-space", ["lotus"])).stderr).toContain("it is in use: it is active.");
    nothingChanged();
  });

  it("changes nothing if the dump is not what was exported", async () => {
    writeFileSync(ops.at(`s3/archive/${name}/database.dump`), "another\n");
    const { exitCode, stderr } = await ops.run("restore-space", ["lotus"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      `archive/${name}/database.dump is not what was exported (its checksum is another). Take an earlier export: restore-space lotus lotus/<time>`,
    );
    nothingChanged();
  });

  it("stays shut while files are missing, and goes on with the same export only", async () => {
    const part = ops.at(`s3/archive/${name}/objects-0001.tar`);
    rmSync(part);
    const { exitCode, stderr } = await ops.run("restore-space", ["lotus"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      `space lotus, files: cannot read archive/${name}/objects-0001.tar; is object storage up`,
    );
    expect(existsSync(ops.at("shut"))).toBe(true);
    expect(ops.text("var/lib/framaspace/restoring/lotus")).toBe(`${name}\n`);
    const other = await ops.run("restore-space", ["lotus", "lotus/20201101T000000Z"]);
    expect(other.stderr).toContain(
      `${name} is half restored onto it. Finish it: restore-space lotus ${name};`,
    );
  });

  it.each([
    [["lotus", "a b"], '"a b" names no export; write an id, or <id>/<time> as export-space printed it'],
    [["lotus", "iris"], 'there is no export of "iris" in the archive'],
    [["lotus", "lotus/20201101T000000Z"], 'the archive has no export "lotus/20201101T000000Z"'],
    [["iris"], 'there is no space "iris" on this machine; add its entry with state: suspended and run up'],
    [[], "restore-space ID [EXPORT]"],
  ])("refuses %j", async (words, message) => {
    const { exitCode, stderr } = await ops.run("restore-space", words);
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining(message) as string });
    nothingChanged();
  });
});
