// The policy pack as the Pulumi CLI loads it.
import { execa } from "execa";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { pulumiEnvironment, hasPulumi, WHY_SKIPPED } from "../support/pulumi-cli.ts";

const ROOT = join(import.meta.dirname, "../..");
const state = mkdtempSync(join(tmpdir(), "pack-"));
afterAll(() => rmSync(state, { recursive: true }));

const options = {
  cwd: join(import.meta.dirname, "fixtures/unknown-plan"),
  env: pulumiEnvironment(state, "test"),
  reject: false,
  all: true,
} as const;

it.skipIf(!hasPulumi)(
  `is loaded by the Pulumi CLI, which then refuses what a rule refuses${WHY_SKIPPED}`,
  async () => {
    const config = ["--config-file", join(state, "config.yaml")];
    await execa("pulumi", ["stack", "init", "prod-spaces-001", "--no-select"], options);
    const pack = ["--policy-pack", join(ROOT, "policies")];
    const words = ["preview", "--stack", "prod-spaces-001", "--non-interactive", ...pack, ...config];
    const { all, exitCode } = await execa("pulumi", words, options);
    expect(all).toContain("[mandatory]  spaces-have-known-plans  (framaspace:spaces:Space: lotus)");
    expect(all).toContain('plan is "huge"; write one of small, standard.');
    expect(exitCode).not.toBe(0);
  },
  60_000,
);
