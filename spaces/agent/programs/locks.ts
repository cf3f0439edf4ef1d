// Locks between the programs of ops-1. They are flock's, as the shell programs take them. Node has no call for it, but
// a lock belongs to the open file, not to the process that asked for it: so flock gets our descriptor, and ends.
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { succeeds, type Descriptors } from "./run-command.ts";

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

/** The numbers that the locks' descriptors have in commands. Shell programs close some of them for their servers. */
export const NUMBERS = { space: 9, cron: 7, proof: 6, scratch: 5 } as const;

/** What a command gets of the locks. One that leaves a process behind must hold neither the space nor the backups. */
export function descriptors(locks: Locks, leavesProcesses = false): Descriptors {
  const brief = ["cron", "proof"] as const;
  const which = leavesProcesses ? brief : ([...brief, "space", "scratch"] as const);
  return Object.fromEntries(
    which.flatMap((one) => (locks[one] === undefined ? [] : [[NUMBERS[one], locks[one]]])),
  );
}

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

export function unlock(locks: Locks, which: keyof Locks): void {
  const descriptor = locks[which];
  if (descriptor !== undefined) closeSync(descriptor);
  delete locks[which];
}
