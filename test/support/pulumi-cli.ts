// The Pulumi CLI, for the suites that hold the program against it: not npm's wrapper, which would download it.
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

/** Said in the title of what is skipped without it. */
export const WHY_SKIPPED = hasPulumi ? "" : " (skipped: no pulumi CLI on PATH)";

/** Environment of a CLI that keeps its state in a folder. */
export function pulumiEnvironment(state: string, passphrase: string): Record<string, string> {
  return {
    // The Node that runs this test, for the program and the pack.
    PATH: [dirname(process.execPath), PATH].join(delimiter),
    PULUMI_BACKEND_URL: `file://${state}`,
    PULUMI_CONFIG_PASSPHRASE: passphrase,
    PULUMI_SKIP_UPDATE_CHECK: "1",
  };
}
