// The lines that programs log of their steps, as logger gets them.
import { execaSync } from "execa";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeArchive } from "../../support/fake-archive.ts";
import { LOTUS, makeOps } from "../../support/fake-ops.ts";
import { onPath, startOf } from "../../support/fakes.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "step-log-"));
});
afterEach(() => rmSync(root, { recursive: true }));

interface Line {
  tag: string;
  priority: string;
  space: string;
  operation: string;
  step: string;
  release?: string;
  seconds: number;
  result: string;
  error?: string;
}

/** All lines, once the last one is that one: logger may end after the program. */
async function linesIn(folder: string, last: string): Promise<Line[]> {
  for (let tries = 0; ; tries += 1) {
    const texts = readFileSync(join(folder, "logged"), "utf8").split("\n").filter(Boolean);
    const lines = texts.map((text) => {
      const [, tag = "", priority = "", json = ""] = /^(\S+) <(\d+)>step (\{.*\})$/.exec(text) ?? [];
      return { tag, priority, ...JSON.parse(json) } as Line;
    });
    if (shapes(lines).at(-1) === last) return lines;
    if (tries === 100) throw new Error(`the last line is ${texts.at(-1)}`);
    await sleep(50);
  }
}
const shapes = (lines: readonly Line[]) =>
  lines.map(({ operation, step, result }) => `${operation} ${step}: ${result}`);

function converge(space: object): number | undefined {
  const words = ["-c", startOf(root, "converge-space").split("\n")[1] ?? ""];
  const env = { PATH: `${join(root, "bin")}:${process.env.PATH}` };
  return execaSync("bash", words, { input: JSON.stringify(space), reject: false, env }).exitCode;
}

describe.skipIf(!onPath("flock", "tar"))("the log of a space's steps (flock and tar on PATH)", () => {
  it("has one line for each step of a converge, under the space's id, without secrets", async () => {
    makeOps(root);
    writeFileSync(join(root, "logged"), "");
    expect(converge(LOTUS)).toBe(0);
    const lines = await linesIn(root, "converge trial: done");
    expect(shapes(lines)).toEqual(
      (
        "reading, keeping, archive, release, database, upgrade, redis, upgrade, install, directory, apps, upgrade, " +
        "apps, limits, title, state, administrator, web servers, archive, repair, trial"
      )
        .split(", ")
        .map((step) => `converge ${step}: done`),
    );
    for (const line of lines) {
      expect(line).toEqual({
        tag: "lotus",
        priority: "14",
        space: "lotus",
        operation: "converge",
        step: expect.any(String),
        release: "34.0.4",
        seconds: expect.any(Number),
        result: "done",
      });
      expect(line.seconds).toBeGreaterThanOrEqual(0);
      expect(line.seconds).toBeLessThan(60);
    }
    expect(readFileSync(join(root, "logged"), "utf8")).not.toMatch(/hidden|of-redis|of-this-platform/);
  });

  it("has the parts of an upgrade, what failed in it, and that it was undone", async () => {
    makeOps(root);
    converge(LOTUS);
    writeFileSync(join(root, "served"), "34.0.4");
    writeFileSync(join(root, "logged"), "");
    expect(converge({ ...LOTUS, release: "35.0.2" })).toBe(1);
    const lines = await linesIn(root, "converge upgrade: failed");
    expect(shapes(lines.filter(({ operation }) => operation === "upgrade"))).toEqual([
      "upgrade waiting for another space: done",
      "upgrade account of the trial: done",
      "upgrade closing: done",
      "upgrade dump: done",
      "upgrade Nextcloud: done",
      "upgrade apps: done",
      "upgrade web servers: done",
      "upgrade trial: failed",
      "upgrade undoing: done",
    ]);
    const failed = lines.filter(({ result }) => result === "failed");
    expect(failed.map(({ priority, release }) => [priority, release])).toEqual([
      ["11", "35.0.2"],
      ["11", "35.0.2"],
    ]);
    expect(failed[0]?.error).toContain("on the new release, web-1 says");
    expect(failed[1]?.error).toMatch(/^from 34\.0\.4 to 35\.0\.2 failed, and was undone/);
  });

  it("has the steps of a restore", async () => {
    const ops = new FakeArchive(join(root, "machine"));
    await ops.run("export-space", ["lotus"]);
    ops.suspendChanged();
    writeFileSync(ops.at("logged"), "");
    expect((await ops.run("restore-space", ["lotus"])).exitCode).toBe(0);
    const lines = await linesIn(ops.root, "restore release: done");
    expect(shapes(lines)).toEqual(
      ["reading", "export", "target", "files", "database", "verification", "release"].map(
        (step) => `restore ${step}: done`,
      ),
    );
    expect(readFileSync(ops.at("logged"), "utf8")).not.toMatch(/of-the-|of-nextcloud|of-redis/);
  });
});
