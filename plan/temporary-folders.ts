// Temporary folders of programs that were killed outright, and so could not clean up. Their names carry the process's id.
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Paths of folders `<prefix><process id>-…` whose process is gone. */
export function leftovers(prefix: string): string[] {
  return readdirSync(tmpdir())
    .filter((name) => {
      const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
      return pid !== undefined && !existsSync(`/proc/${pid}`);
    })
    .map((name) => join(tmpdir(), name));
}
