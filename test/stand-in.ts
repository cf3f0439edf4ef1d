// Stand-ins for the commands that our shell programs call, to be put on their PATH.
import { writeFileSync } from "node:fs";

/** Writes a bash script that can be run as `file`, in the place of an earlier one. */
export function standIn(file: string, script: string): void {
  writeFileSync(file, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
}
