// Machines download and run only what is pinned. If one byte of a download is wrong, nothing is installed.
import { execa, execaSync } from "execa";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createHash, randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import * as z from "zod";
import { UNPINNED } from "../../../infra/inventory/environment.ts";
import { libIn } from "../../support/fakes.ts";

const ROOT = join(import.meta.dirname, "../../..");
const artifact = randomBytes(64 * 1024);
const sha256 = createHash("sha256").update(artifact).digest("hex");

let server: Server;
let served = artifact;

beforeAll(async () => {
  server = createServer((_, response) => response.end(served)).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
});
afterAll(() => server.close());

/** A folder in place of a machine's file system. */
function machine(): string {
  const folder = mkdtempSync(join(tmpdir(), "framaspace-artifact-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Runs `download` of lib.sh as the machines do, and returns its output and what it left. */
async function download(into: string, pinned: string = sha256) {
  const { port } = server.address() as AddressInfo;
  const call = `download http://127.0.0.1:${port}/minio ${pinned} ${into}/bin/minio 0755`;
  return execa("bash", ["-s", "--", "x"], { input: `${libIn(into)}\n${call}`, reject: false });
}

describe("an artifact", () => {
  it("is installed if it is what was pinned", async () => {
    served = artifact;
    const into = machine();
    expect((await download(into)).exitCode).toBe(0);
    expect(readFileSync(join(into, "bin/minio"))).toEqual(artifact);
  });

  it.each([0, 1, 32 * 1024, 64 * 1024 - 1])("is refused if byte %i is flipped", async (position) => {
    served = Buffer.from(artifact);
    served[position] = (served[position] ?? 0) ^ 1;
    const into = machine();
    const { exitCode, stderr } = await download(into);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`not the pinned ${sha256}; nothing was installed`);
    expect(execaSync("ls", [join(into, "bin")]).stdout).toBe("");
  });

  it("is refused without a checksum, and nothing is asked of its server", async () => {
    const into = machine();
    const { exitCode, stderr } = await download(into, UNPINNED);
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(/\/minio has no checksum in the configuration/),
    ]);
    expect(existsSync(join(into, "bin"))).toBe(false);
  });

  it("is refused if it is cut short, even after a correct one was installed", async () => {
    const into = machine();
    served = artifact;
    await download(into);
    served = artifact.subarray(0, 1000);
    writeFileSync(join(into, "bin/minio"), "rotten");
    expect((await download(into)).exitCode).toBe(1);
  });
});

it("only three files download anything, and each compares with what is pinned", () => {
  const words = ["-rlE", "--exclude=*.ts", "curl -fsSL|\\bwget\\b", "infra", "spaces"];
  expect(execaSync("grep", words, { cwd: ROOT }).stdout.split("\n").sort()).toEqual([
    "infra/machine/lib.sh",
    // The keys of the vendors' repositories are pinned by their fingerprints.
    "infra/office/install.sh",
    "spaces/agent/rootfs/usr/local/sbin/install-releases",
  ]);
});

it("every npm package but ours is pinned by its hash, and every version is exact", () => {
  const lock = z
    .object({ packages: z.record(z.string(), z.looseObject({ integrity: z.string().optional() })) })
    .parse(JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")));
  const unpinned = Object.entries(lock.packages).filter(
    ([path, { integrity }]) => path !== "" && !integrity?.startsWith("sha512-"),
  );
  expect(unpinned.map(([path]) => path)).toEqual([]);
  const wanted = z
    .object({
      dependencies: z.record(z.string(), z.string()),
      devDependencies: z.record(z.string(), z.string()),
    })
    .parse(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")));
  for (const range of Object.values({ ...wanted.dependencies, ...wanted.devDependencies }))
    expect(range).toMatch(/^\d+\.\d+\.\d+$/);
});
