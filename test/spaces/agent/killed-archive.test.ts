// The programs that put a space's data away and back, killed at each of their steps, which they list themselves: each
// change of a file, each command. The next run must finish, and lose nothing.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FakeArchive } from "../../support/fake-archive.ts";
import { onPath } from "../../support/fakes.ts";
import { stepsToKill } from "../../support/steps-to-kill.ts";

const folder = mkdtempSync(join(tmpdir(), "killed-archive-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Case {
  program: string;
  prepare: (ops: FakeArchive) => Promise<void> | void;
}

const archived = (ops: FakeArchive) => {
  ops.is({ state: "archived" });
  writeFileSync(ops.at("srv/spaces/lotus/archived"), "");
};
const CASES: readonly Case[] = [
  { program: "export-space", prepare: () => {} },
  { program: "archive-space", prepare: archived },
  {
    program: "restore-space",
    prepare: async (ops) => {
      await ops.run("export-space", ["lotus"]);
      ops.suspendChanged();
    },
  },
  {
    program: "remove-space",
    prepare: async (ops) => {
      archived(ops);
      await ops.run("archive-space", ["lotus"]);
    },
  },
];

describe.skipIf(!onPath("flock", "tar"))("killed at each of its steps (flock and tar on PATH)", () => {
  const machines: FakeArchive[] = [];
  beforeAll(() => {
    for (let number = 0; number < availableParallelism(); number += 1)
      machines.push(new FakeArchive(join(folder, `machine-${number}`)));
  });

  /** Kills a run before this step, and runs the program once more. */
  async function kill(ops: FakeArchive, program: string, step: number) {
    ops.reset(program);
    const { signal } = await ops.run(program, ["lotus"], step);
    const { exitCode, stderr } = await ops.run(program, ["lotus"]);
    return { signal, exitCode, stderr, state: ops.state() };
  }

  it.each(CASES)("$program loses nothing", { timeout: 600_000 }, async ({ program, prepare }) => {
    for (const ops of machines) {
      ops.reset("new");
      await prepare(ops);
      ops.keepAs(program);
    }
    const [first] = machines;
    const { exitCode, stderr, steps } = await first!.run(program, ["lotus"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const expected = { signal: "SIGKILL", exitCode: 0, stderr: "", state: first!.state() };
    const waiting = stepsToKill(steps.length);
    const tried = waiting.length;
    const harmed: object[] = [];
    await Promise.all(
      machines.map(async (ops) => {
        for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
          const found = await kill(ops, program, step);
          if (!isDeepStrictEqual(found, expected)) harmed.push({ before: steps[step - 1], found });
        }
      }),
    );
    console.log(`${program}: steps tried ${tried} of ${steps.length}, spaces harmed ${harmed.length}`);
    expect(steps.length).toBeGreaterThan(15);
    expect(harmed.map((one) => ({ ...one, expected }))).toEqual([]);
  });
});
