// The pack as the genuine engine loads it. Needs the CLI itself on PATH, not npm's wrapper, which would download it.
import { execa, execaSync } from "execa";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const PATH = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((folder) => !folder.includes("node_modules"))
  .join(delimiter);
const state = mkdtempSync(join(tmpdir(), "pack-"));
afterAll(() => rmSync(state, { recursive: true }));

const options = {
  cwd: join(import.meta.dirname, "fixtures/unknown-plan"),
  env: {
    // The Node that runs this test, for the program and the pack.
    PATH: [dirname(process.execPath), PATH].join(delimiter),
    PULUMI_BACKEND_URL: `file://${state}`,
    PULUMI_CONFIG_PASSPHRASE: "test",
    PULUMI_SKIP_UPDATE_CHECK: "1",
  },
  reject: false,
  all: true,
} as const;

const genuine =
  execaSync("pulumi", ["version"], { env: { PATH }, extendEnv: false, reject: false }).exitCode === 0;

it.skipIf(!genuine)(
  "is loaded by the genuine engine (pulumi on PATH), which refuses what a rule refuses",
  async () => {
    const config = ["--config-file", join(state, "config.yaml")];
    await execa("pulumi", ["stack", "init", "prod-spaces-001", "--no-select"], options);
    const { all, exitCode } = await execa(
      "pulumi",
      [
        "preview",
        "--stack",
        "prod-spaces-001",
        "--non-interactive",
        "--policy-pack",
        join(ROOT, "policies"),
        ...config,
      ],
      options,
    );
    expect(all).toContain("[mandatory]  spaces-have-known-plans  (framaspace:spaces:Space: lotus)");
    expect(all).toContain('plan is "huge"; write one of small, standard.');
    expect(exitCode).not.toBe(0);
  },
  60_000,
);
