// Stand-ins for the commands that our shell programs call, to be put on their PATH.
import { execaSync } from "execa";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes a bash script that can be run as `file`, in the place of an earlier one. */
export function standIn(file: string, script: string): void {
  writeFileSync(file, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
}

/** Whether these, which no stand-in plays, are on PATH. */
export function onPath(...tools: string[]): boolean {
  return tools.every((tool) => execaSync("which", [tool], { reject: false }).exitCode === 0);
}

/** lib.sh as the scripts of web-1 start with it, which keeps its marks in `folder`. */
export function libIn(folder: string): string {
  const lib = readFileSync(join(import.meta.dirname, "../infra/scripts/lib.sh"), "utf8");
  return `MACHINE=web-1\n${lib.replace("/var/lib/framaspace/pending", join(folder, "pending"))}`;
}
