// The locks that programs take while they work on spaces.
import { closeSync } from "node:fs";
import type { Descriptors } from "../../../infra/machine/programs/run-command.ts";
import type { Places } from "./places.ts";

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

/** The file that is locked: for a program that works on the space, or for its background job. */
export const lockFileOf = ({ run }: Pick<Places, "run">, which: "space" | "cron", id: string) =>
  `${run}/${which}-${id}.lock`;

/** What a program that goes on with other work must do at the end of this one. */
export function unlockAll(locks: Locks): void {
  for (const which of Object.keys(NUMBERS) as (keyof Locks)[]) unlock(locks, which);
}

export function unlock(locks: Locks, which: keyof Locks): void {
  const descriptor = locks[which];
  if (descriptor !== undefined) closeSync(descriptor);
  delete locks[which];
}
