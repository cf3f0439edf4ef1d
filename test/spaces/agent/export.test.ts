// Exports and archives of a space, with fakes around the programs.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync, readdirSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FakeArchive } from "../../support/fake-archive.ts";
import { fake, onPath } from "../../support/fakes.ts";

const tools = onPath("flock", "tar");
const folder = mkdtempSync(join(tmpdir(), "export-"));
afterAll(() => rmSync(folder, { recursive: true }));

let ops: FakeArchive;
beforeAll(() => {
  ops = new FakeArchive(join(folder, "machine"));
});
beforeEach(() => ops.reset("new"));

const SHA = /^[0-9a-f]{64}$/;

describe.skipIf(!tools)("export-space (flock and tar on PATH)", () => {
  it("writes an export without the platform's keys, and lets visitors in again", async () => {
    const { exitCode, stdout, stderr } = await ops.run("export-space", ["lotus"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const said = JSON.parse(stdout) as { export: string };
    expect(said).toEqual({
      id: "lotus",
      export: expect.stringMatching(/^lotus\/\d{8}T\d{6}Z$/) as string,
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
      release: "34.0.4",
      files: 4,
      objects: 4,
      bytes: 32,
      tables: 2,
      where: "object storage, bucket archive",
    });
    expect(ops.text("var/lib/framaspace/exports/lotus")).toBe(`${stdout}\n`);
    const manifest = JSON.parse(ops.text(`s3/archive/${said.export}/manifest.json`) ?? "") as object;
    expect(manifest).toMatchObject({
      format: 1,
      instanceId: "oc1",
      bucket: "space-lotus",
      version: "34.0.4.1",
      rows: { oc_filecache: 5, oc_users: 2 },
      sha256: { "objects-0001.tar": expect.stringMatching(SHA) as string },
    });
    const [found] = ops.exports();
    expect(found).toMatchObject({ dump: "oc_filecache 5\noc_users 2\n" });
    expect(JSON.parse((found as { settings: string }).settings)).toMatchObject({
      database: { name: "lotus", user: "lotus" },
      s3: { bucket: "space-lotus", user: "lotus" },
      nextcloud: { instanceId: "oc1", secret: "of-nextcloud", passwordSalt: "salt" },
    });
    for (const key of ["of-the-database", "of-the-bucket", "of-the-cache"])
      expect(JSON.stringify(ops.contents("s3/archive"))).not.toContain(key);
    expect(ops.state()).toMatchObject({ shut: false });
    expect(ops.text("srv/spaces/lotus/maintenance")).toBeUndefined();
    expect(readdirSync(ops.at("var/lib/framaspace/work"))).toEqual([]);
  });

  const WRONG: [string, () => void, string][] = [
    [
      "a file that the bucket lost",
      () => {
        rmSync(ops.at("s3/space-lotus/urn:oid:102"));
      },
      "of 4 files, 1 are not there as the database has them, first: urn:oid:102 (files/note 102.txt) is not in the bucket. Nothing was dropped",
    ],
    [
      "a file of another size",
      () => {
        writeFileSync(ops.at("s3/space-lotus/urn:oid:103"), "longer than that\n");
      },
      "urn:oid:103 (files/note 103.txt) has 17 bytes in the bucket, and 8 in the database",
    ],
    [
      "a file on a web server's disk",
      () => {
        writeFileSync(
          ops.at("files"),
          "7\t8\thome::alice\tfiles/a.txt\t1\n8\t8\tlocal::/x\tappdata_oc1/logo\t1\n",
        );
      },
      "of 2 files, 1 are not there as the database has them, first: files/a.txt is on a web server (home::alice), and not in object storage",
    ],
    [
      "a dump that cannot be restored",
      () => {
        writeFileSync(ops.at("damages"), "");
      },
      "the dump cannot be restored: pg_restore: error: could not read. Nothing was dropped",
    ],
  ];
  it.each(WRONG)(
    "does not count with %s, opens the space, and goes on when that is repaired",
    async (_, harm, said) => {
      harm();
      const { exitCode, stderr } = await ops.run("export-space", ["lotus"]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining(said) as string });
      expect(stderr).toContain("space lotus, verification: ");
      expect(ops.exports()).toEqual(["unfinished"]);
      expect(ops.state()).toMatchObject({ shut: false });
      expect(ops.text("srv/spaces/lotus/maintenance")).toBeUndefined();
      expect(existsSync(ops.at("var/lib/framaspace/exports/lotus"))).toBe(false);
      for (const id of [101, 102, 103, 104])
        writeFileSync(ops.at(`s3/space-lotus/urn:oid:${id}`), `file${id}\n`);
      ops.files(101, 102, 103, 104);
      rmSync(ops.at("damages"), { force: true });
      expect((await ops.run("export-space", ["lotus"])).exitCode).toBe(0);
      expect(ops.exports()).toEqual([expect.objectContaining({ files: 4 })]);
    },
  );

  it("ignores uploads under way, and takes no line end that is none for one", async () => {
    const upload = "99\t600\tobject::user:alice\tuploads/1/.target\t1\n";
    const name = "101\t8\tobject::user:alice\tfiles/a\u2028b.txt\t1\n";
    writeFileSync(ops.at("files"), upload + name);
    const { exitCode, stdout } = await ops.run("export-space", ["lotus"]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ files: 2, objects: 4 });
  });

  it("goes on with the parts of a killed run, of another ops-1 too, and fetches again what changed", async () => {
    const { steps } = await ops.run("export-space", ["lotus"]);
    ops.reset("new");
    const afterPart = steps.findIndex(
      (step) =>
        step.includes("FROM framaspace WHERE key") ||
        (step.startsWith("writeFileSync") && step.includes("maintenance")),
    );
    expect(afterPart).toBeGreaterThan(5);
    expect((await ops.run("export-space", ["lotus"], afterPart + 1)).signal).toBe("SIGKILL");
    const [time = ""] = readdirSync(ops.at("s3/archive/lotus"));
    // Another machine knows the name alone.
    rmSync(ops.at(`var/lib/framaspace/work/lotus/${time}`), { recursive: true });
    writeFileSync(ops.at("s3/space-lotus/urn:oid:102"), "changed\n");
    const { exitCode, stdout } = await ops.run("export-space", ["lotus"]);
    expect({ exitCode, ...(JSON.parse(stdout) as object) }).toMatchObject({
      exitCode: 0,
      export: `lotus/${time}`,
      objects: 4,
    });
    const list = ops.text(`s3/archive/lotus/${time}/objects.tsv`) ?? "";
    expect(list).toMatch(/^urn:oid:101 .* objects-0001\.tar /m);
    expect(list).toMatch(/^urn:oid:102 .* objects-0002\.tar /m);
    expect(ops.exports()).toHaveLength(1);
  });

  it("says in mc's words that object storage is down, and changes nothing", async () => {
    writeFileSync(ops.at("no-storage"), "");
    expect(await ops.run("export-space", ["lotus"])).toMatchObject({
      exitCode: 1,
      stderr:
        "space lotus, files: object storage: it is down; is it up (mc ready serving, mc admin info serving)? Nothing is lost; run it again once it is",
    });
    expect(ops.state()).toMatchObject({ shut: false, exports: [] });
  });

  it("opens the space again when it is stopped by hand", async () => {
    const { steps } = await ops.run("export-space", ["lotus"]);
    expect(steps.some((step) => step.includes("pg_dump"))).toBe(true);
    ops.reset("new");
    // The dump stops the program that runs it, as Ctrl-C does.
    writeFileSync(ops.at("bin/pg_dump"), "#!/bin/bash\nkill -INT $PPID\n", { mode: 0o755 });
    const { exitCode, stderr } = await ops.run("export-space", ["lotus"]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: "space lotus, database: it was stopped (SIGINT); run it again",
    });
    expect(ops.state()).toMatchObject({ shut: false });
    expect(ops.text("srv/spaces/lotus/maintenance")).toBeUndefined();
  });

  it.each([
    [["../etc"], "export-space ID"],
    [[], "export-space ID"],
    [["iris"], 'there is no space "iris" on this machine (ls /srv/spaces)'],
  ])("refuses %j", async (words, stderr) => {
    expect(await ops.run("export-space", words)).toMatchObject({ exitCode: 1, stderr });
  });
});

describe.skipIf(!tools)("archive-space (flock and tar on PATH)", () => {
  const archived = (graceDays: number) => {
    ops.is({ state: "archived", archive: { graceDays } });
    writeFileSync(ops.at("srv/spaces/lotus/archived"), "");
  };
  const record = () =>
    JSON.parse(ops.text("var/lib/framaspace/archived/lotus") ?? "{}") as Record<string, string>;

  it("exports first, and drops the data when the grace period is over", async () => {
    archived(30);
    expect(await ops.run("archive-space", ["lotus"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(Object.keys(record())).toEqual(["since", "exported", "export", "due"]);
    expect(Date.parse(record().due ?? "") - Date.parse(record().exported ?? "")).toBe(30 * 86_400_000);
    expect(Object.keys(ops.contents("s3/space-lotus"))).toHaveLength(4);
    archived(0);
    expect((await ops.run("archive-space", ["--all"])).exitCode).toBe(0);
    expect(Object.keys(record())).toContain("dropped");
    expect(ops.state()).toMatchObject({ bucket: {}, databases: { lotus: "" } });
    expect(ops.exports()).toHaveLength(1);
  });

  it("drops nothing if its export is not whole any more", async () => {
    archived(30);
    await ops.run("archive-space", ["lotus"]);
    const data = () => [ops.contents("s3/space-lotus"), ops.contents("db")];
    const before = data();
    archived(0);
    for (const [harm, name] of [
      ["gone", "objects-0001.tar"],
      ["empty", "database.dump"],
      ["gone", "manifest.json"],
    ] as const) {
      const file = ops.at(`s3/archive/${record().export ?? ""}/${name}`);
      const text = ops.text(`s3/archive/${record().export ?? ""}/${name}`) ?? "";
      if (harm === "gone") rmSync(file);
      else writeFileSync(file, "");
      const { exitCode, stderr } = await ops.run("archive-space", ["lotus"]);
      expect({ exitCode, stderr }).toEqual({
        exitCode: 1,
        stderr: expect.stringContaining(
          "is not whole in the archive any more, so nothing was dropped",
        ) as string,
      });
      expect(data()).toEqual(before);
      writeFileSync(file, text, "utf8");
    }
  });

  it("drops nothing if the export does not verify, and says why once", async () => {
    archived(0);
    rmSync(ops.at("s3/space-lotus/urn:oid:102"));
    const { exitCode, stderr } = await ops.run("archive-space", ["lotus"]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^space lotus, verification: the export does not verify.*$/);
    expect(Object.keys(record())).toEqual(["since"]);
    expect(Object.keys(ops.contents("s3/space-lotus"))).toHaveLength(3);
  });

  it("makes no export of nothing the last one, where another ops-1 has dropped the data", async () => {
    archived(0);
    await ops.run("archive-space", ["lotus"]);
    rmSync(ops.at("var/lib/framaspace"), { recursive: true });
    const before = ops.exports();
    expect((await ops.run("archive-space", ["lotus"])).exitCode).toBe(0);
    expect(ops.exports()).toEqual(before);
    expect(record()).toMatchObject({ export: expect.stringMatching(/^lotus\//) as string });
    expect(Object.keys(record())).toContain("dropped");
  });

  it("takes no database for dropped because PostgreSQL does not answer", async () => {
    archived(0);
    writeFileSync(ops.at("no-database"), "");
    const { exitCode, stderr } = await ops.run("archive-space", ["lotus"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("its role cannot use its database");
    expect(Object.keys(record())).toEqual(["since"]);
  });

  it("tries all spaces and the exports that were cut off, and fails if one did", async () => {
    archived(0);
    rmSync(ops.at("s3/space-lotus/urn:oid:102"));
    expect((await ops.run("archive-space", ["--all"])).exitCode).toBe(1);
  });

  it("has all its commands hold the lock of a program that has locked the space", async () => {
    archived(30);
    const [lock, held] = [ops.at("run/framaspace/space-lotus.lock"), ops.at("held")];
    mkdirSync(ops.at("run/framaspace"), { recursive: true });
    fake(ops.at("bin/caller"), `exec 9>"${lock}"; flock 9; exec archive-space lotus --locked`);
    fake(ops.at("bin/pg_dump"), `[ /proc/self/fd/9 -ef "${lock}" ] && echo yes >"${held}"; exit 1`);
    expect((await ops.run("caller", [])).exitCode).toBe(1);
    expect(ops.text("held")).toBe("yes\n");
  });

  it("refuses a space that is not archived", async () => {
    expect(await ops.run("archive-space", ["lotus"])).toMatchObject({
      exitCode: 1,
      stderr: "space lotus, archive: its state is active",
    });
  });
});
