// Finds temporary folders of processes that were killed and could not clean up. The folder names contain the process
// id.
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Paths of folders `<prefix><process id>-…` whose process no longer runs. */
export function leftovers(prefix: string): string[] {
  return readdirSync(tmpdir())
    .filter((name) => {
      const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
      return pid !== undefined && !existsSync(`/proc/${pid}`);
    })
    .map((name) => join(tmpdir(), name));
}
