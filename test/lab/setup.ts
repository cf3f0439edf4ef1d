// Around all suites of a run: no shared lab may be left from an earlier run, nor after this one.
import { execa } from "execa";
import { join } from "node:path";
import { sharedLab } from "./lab.ts";

const ROOT = join(import.meta.dirname, "../..");

async function removeSharedLab(): Promise<void> {
  await execa(process.execPath, ["bin/lab.ts", "--name", sharedLab.name, "down"], { cwd: ROOT });
}

export async function setup(): Promise<() => Promise<void>> {
  await removeSharedLab();
  return removeSharedLab;
}
