// After all suites of a run: the shared lab goes. At their beginning it may stay, because `up` goes on from whatever an
// earlier run left.
import { execa } from "execa";
import { join } from "node:path";
import { givenLab, sharedLab } from "./suite-lab.ts";

const ROOT = join(import.meta.dirname, "../..");

export async function teardown(): Promise<void> {
  if (givenLab) return;
  await execa(process.execPath, ["bin/lab.ts", "--name", sharedLab.name, "down"], { cwd: ROOT });
}
