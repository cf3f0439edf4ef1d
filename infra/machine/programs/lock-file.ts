// Locks between the programs of ops-1. They are flock's, as the shell programs take them. Node has no call for it, but
// a lock belongs to the open file, not to the process that asked for it: so flock gets our descriptor, and ends.
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { succeeds } from "./run-command.ts";

/** Whether nobody has a lock. */
export const isFree = (file: string) => succeeds("flock", ["--nonblock", file, "true"]);

/** Waits for a lock, and resolves to its descriptor; to undefined if it was not free in that time. */
export async function lock(file: string, timeoutSeconds: number): Promise<number | undefined> {
  mkdirSync(dirname(file), { recursive: true });
  const descriptor = openSync(file, "w");
  if (await succeeds("flock", ["--timeout", String(timeoutSeconds), "9"], { locks: { 9: descriptor } }))
    return descriptor;
  closeSync(descriptor);
  return undefined;
}
