// One command at a time in a cache: two would write the same files.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../validation/user-error.ts";

/**
 * Acts while no other process does so with this folder. Throws a UserError if one does. The mark of a process that was
 * killed does not count.
 */
export async function oneAtATime<Result>(cache: string, act: () => Promise<Result>): Promise<Result> {
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  const mark = join(cache, "in-use-by");
  for (let attempt = 1; !take(mark); attempt++) {
    const owner = Number(readFileSync(mark, "utf8"));
    if (attempt > 1 || lives(owner))
      throw new UserError(
        `${cache} is in use by process ${owner}, another run of this command; wait until it has ended, or give another folder with --cache.`,
      );
    rmSync(mark, { force: true });
  }
  try {
    return await act();
  } finally {
    rmSync(mark, { force: true });
  }
}

function take(mark: string): boolean {
  try {
    writeFileSync(mark, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

function lives(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
