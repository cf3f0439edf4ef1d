// prepare-release killed at each of its steps, which it lists itself. What is kept is whole at any time, and the next
// run leaves what a run leaves that nobody killed.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { isWhole } from "../../../spaces/agent/programs/prepared-release.ts";
import { FakeRelease } from "../../support/fake-release.ts";
import { onPath } from "../../support/fakes.ts";
import { stepsToKill } from "../../support/steps-to-kill.ts";

const folder = mkdtempSync(join(tmpdir(), "killed-prepare-"));
afterAll(() => rmSync(folder, { recursive: true }));
const PREPARED = "var/lib/framaspace/releases/34.0.4";

describe.skipIf(!onPath("flock"))("prepare-release, killed at each of its steps (flock on PATH)", () => {
  it.each(["the first time", "once more"])("%s", { timeout: 600_000 }, async (time) => {
    const ops = new FakeRelease(join(folder, time.replaceAll(" ", "-")));
    const again = time === "once more";
    if (again) {
      await ops.prepare();
      writeFileSync(ops.at("srv/releases/.34.0.4.sha256"), "of-another\n");
    }
    ops.keepAs("before");
    const { exitCode, steps } = await ops.prepare();
    expect(exitCode).toBe(0);
    const expected = { signal: "SIGKILL", whole: true, exitCode: 0, stderr: "", state: ops.state() };
    const harmed: object[] = [];
    const tried = stepsToKill(steps.length);
    for (const step of tried) {
      ops.reset("before");
      const { signal } = await ops.prepare(undefined, step);
      const kept = Object.keys(ops.state()).some((path) => path.startsWith(PREPARED));
      const whole = kept ? isWhole(ops.at(PREPARED)) : !again;
      const next = await ops.prepare();
      const found = { signal, whole, exitCode: next.exitCode, stderr: next.stderr, state: ops.state() };
      if (!isDeepStrictEqual(found, expected)) harmed.push({ before: steps[step - 1], found });
    }
    console.log(`${time}: steps tried ${tried.length} of ${steps.length}, harmed ${harmed.length}`);
    expect(steps.length).toBeGreaterThan(20);
    expect(harmed.map((one) => ({ ...one, expected }))).toEqual([]);
  });
});
