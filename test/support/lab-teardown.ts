// Takes the shared lab down after all suites of a run that used it. A run that did not use it leaves it alone: another
// run may be using it.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { givenLab, sharedLab, useOfSharedLab } from "./suite-lab.ts";

const ROOT = join(import.meta.dirname, "../..");

/** The suites run in processes of their own, which inherit this variable. */
export async function setup(): Promise<void> {
  process.env["FRAMASPACE_RUN"] = await mkdtemp(join(tmpdir(), "framaspace-run-"));
}

export async function teardown(): Promise<void> {
  if (!givenLab && existsSync(useOfSharedLab()))
    await execa(process.execPath, ["bin/lab.ts", "--name", sharedLab.name, "down"], { cwd: ROOT });
  await rm(process.env["FRAMASPACE_RUN"] ?? "", { recursive: true, force: true });
}
