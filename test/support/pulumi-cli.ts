// The Pulumi CLI, for the suites that run the program with it. This is not npm's wrapper, which would download the CLI.
import { execaSync } from "execa";
import { delimiter, dirname } from "node:path";

const PATH = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((folder) => !folder.includes("node_modules"))
  .join(delimiter);

/** Whether the CLI is installed. */
export const hasPulumi =
  execaSync("pulumi", ["version"], { env: { PATH }, extendEnv: false, reject: false }).exitCode === 0;

/** Whether a provider's plug-in is installed for it. */
export const hasPlugin = (name: string): boolean =>
  hasPulumi && execaSync("pulumi", ["plugin", "ls"], { env: { PATH } }).stdout.includes(`\n${name} `);

/** Added to the title of a test that is skipped without the CLI. */
export const WHY_SKIPPED = hasPulumi ? "" : " (skipped: no pulumi CLI on PATH)";

/** The environment of a CLI that keeps its state in a folder. */
export function pulumiEnvironment(state: string, passphrase: string): Record<string, string> {
  return {
    // The Node of this test also runs the program and the policy pack.
    PATH: [dirname(process.execPath), PATH].join(delimiter),
    PULUMI_BACKEND_URL: `file://${state}`,
    PULUMI_CONFIG_PASSPHRASE: passphrase,
    PULUMI_SKIP_UPDATE_CHECK: "1",
  };
}
