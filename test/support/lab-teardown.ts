// Takes the shared lab down after all suites of a run. Before the suites, it may stay from an earlier run, because `up`
// continues from what is there.
import { execa } from "execa";
import { join } from "node:path";
import { givenLab, sharedLab } from "./suite-lab.ts";

const ROOT = join(import.meta.dirname, "../..");

export async function teardown(): Promise<void> {
  if (givenLab) return;
  await execa(process.execPath, ["bin/lab.ts", "--name", sharedLab.name, "down"], { cwd: ROOT });
}
