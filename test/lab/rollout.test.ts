// Rollouts with the Pulumi CLI, over stacks that cost nothing. They are killed at random moments, and continued by the
// same command. test/lab/pulumi-cli.test.ts has rollouts of a lab's real stacks.
import { execa } from "execa";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFleetProject, tenantsFile } from "../support/fleet-project.ts";
import { generator } from "../support/object-ledger.ts";
import { hasPulumi, pulumiEnvironment, WHY_SKIPPED } from "../support/pulumi-cli.ts";

const ROOT = join(import.meta.dirname, "../..");
/** How often a rollout is killed, and the seed of the moments. */
const kills = Number(process.env.FRAMASPACE_ROUNDS ?? 6);
const seed = Number(process.env.FRAMASPACE_SEED ?? Math.floor(Math.random() * 1e6));
/** Stacks of spaces, and spaces of each: FRAMASPACE_FLEET, such as 100x100. */
const [FILES = NaN, EACH = NaN] = (process.env.FRAMASPACE_FLEET ?? "6x4").split("x").map(Number);
/** Milliseconds from the start of a rollout in which it is killed. */
const [SOONEST, WINDOW] = [1000, 14_000 + FILES * EACH * 2];

describe.skipIf(!hasPulumi)(`a rollout by the Pulumi CLI${WHY_SKIPPED}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "framaspace-rollout-"));
  const project = join(folder, "project");
  beforeAll(() => {
    mkdirSync(join(folder, "state"));
    makeFleetProject(project, FILES, EACH);
  });
  afterAll(async () => {
    await killAll();
    rmSync(folder, { recursive: true });
  });

  const variables = {
    ...pulumiEnvironment(join(folder, "state"), "example"),
    XDG_STATE_HOME: join(folder, "logs"),
    // Nobody is asked: these stacks hold no database and no bucket.
    ALL_PROXY: "socks5://127.0.0.1:9",
  };
  const rollOut = (...options: string[]) =>
    execa(process.execPath, [join(ROOT, "bin/rollout.ts"), "--root", project, "--no-look", ...options], {
      env: variables,
      all: true,
      reject: false,
    });
  const calls = () => readFileSync(join(project, ".calls"), "utf8").trim().split("\n");
  /** The engine's processes that a killed rollout left. */
  const killAll = () => execa("pkill", ["-KILL", "-f", folder], { reject: false });

  test(
    `comes to its end, killed ${kills} times (seed ${seed}), and forgets nothing`,
    { timeout: 900_000 + FILES * EACH * 200 },
    async () => {
      const random = generator(seed);
      writeFileSync(join(project, ".slow"), "0.3");
      for (let kill = 0; kill < kills; kill += 1) {
        const running = rollOut();
        await sleep(SOONEST + random() * WINDOW);
        running.kill("SIGKILL");
        await running;
        // Half of the time the engine goes on alone, as after a lost connection; half of the time it is gone, too.
        if (kill % 2 === 0) await killAll();
      }
      rmSync(join(project, ".slow"));
      const { all, exitCode } = await rollOut();
      expect({ exitCode, all }).toMatchObject({ exitCode: 0 });
      const made = new Map<string, number>();
      for (const id of calls()) made.set(id, (made.get(id) ?? 0) + 1);
      expect(made.size).toBe(1 + FILES * EACH);
      // What was under way in a killed engine runs again; what was done does not.
      const again = [...made.values()].reduce((sum, times) => sum + times - 1, 0);
      console.log(`killed ${kills} times: ${again} of ${made.size} commands ran again`);
      expect(Math.max(...made.values())).toBeLessThanOrEqual(1 + Math.ceil(kills / 2));
    },
  );

  test(
    "has nothing to do the next time, and applies one changed entry alone",
    { timeout: 120_000 },
    async () => {
      expect((await rollOut()).all).toBe(`Nothing to apply in prod: ${FILES + 1} stacks unchanged.`);
      const before = calls().length;
      const file = join(project, tenantsFile(3));
      writeFileSync(file, readFileSync(file, "utf8").replace("Association 3 1", "Trois"));
      const preview = await rollOut("--preview");
      expect(preview.all).toBe(
        "- prod-spaces-003: 1 to change\n  - 1 × update command:local:Command: `space-003-001`",
      );
      const { all, exitCode } = await rollOut();
      expect(exitCode).toBe(0);
      expect(all).toContain("[1/1] prod-spaces-003: 1 changed");
      expect(calls().slice(before)).toEqual(["space-003-001"]);
    },
  );

  test("says which space failed, and what to type", { timeout: 120_000 }, async () => {
    const file = join(project, tenantsFile(4));
    writeFileSync(file, readFileSync(file, "utf8").replace("Association 4 2", "Quatre"));
    writeFileSync(join(project, ".broken-space-004-002"), "");
    const { all, exitCode } = await rollOut();
    expect(exitCode).toBe(1);
    expect(all).toMatch(/prod-spaces-004 failed:\n {2}space-004-002: .*exit status 1/);
    expect(all).toContain("no luck with space-004-002");
    expect(all).toContain("To continue: npm run rollout -- --env prod");
    rmSync(join(project, ".broken-space-004-002"));
    expect((await rollOut()).exitCode).toBe(0);
  });
});
