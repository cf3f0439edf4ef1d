// Locks between the programs of ops-1. They are flock's, as the shell programs take them. Node has no call for it, but
// a lock belongs to the open file, not to the process that asked for it: so flock gets our descriptor, and ends.
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { succeeds } from "./run-command.ts";

/** What a program has locked, as descriptors. A lock is free again when all who have it are gone. */
export interface Locks {
  /** One program at a time works on a space. */
  space?: number;
  /** The space's background job does not run. */
  cron?: number;
  /** One space at a time goes to a release that no space serves yet. */
  proof?: number;
  /** One program at a time restores from the backups. */
  scratch?: number;
}

/** The descriptors that a command gets. Programs that leave a process behind must not hold the space. */
export function descriptors({ space, cron, proof, scratch }: Locks, leavesProcesses = false): number[] {
  const alone = leavesProcesses ? [] : [space, scratch];
  return [...alone, cron, proof].filter((lock) => lock !== undefined);
}

/** Waits for a lock, and resolves to its descriptor; to undefined if it was not free in that time. */
export async function lock(file: string, timeoutSeconds: number): Promise<number | undefined> {
  mkdirSync(dirname(file), { recursive: true });
  const descriptor = openSync(file, "w");
  // flock has it as its descriptor 3.
  if (await succeeds("flock", ["--timeout", String(timeoutSeconds), "3"], { locks: [descriptor] }))
    return descriptor;
  closeSync(descriptor);
  return undefined;
}

export function unlock(locks: Locks, which: "cron" | "proof"): void {
  const descriptor = locks[which];
  if (descriptor !== undefined) closeSync(descriptor);
  delete locks[which];
}
