// Restores that were begun and not finished. Only the same restore finishes them.
import { existsSync, readFileSync } from "node:fs";
import { failure, type SpaceWork } from "./space-work.ts";

/** Throws SpaceError if a restore onto the space was cut off. It names the command that finishes the restore. */
export function refuseCutOff(work: SpaceWork): void {
  const { places, space } = work;
  const toMoment = readIfThere(`${places.restoringAt}/${space.id}`);
  if (toMoment !== undefined) {
    const [source = "", moment = ""] = toMoment.split("\n");
    const words = [source, `'${moment}'`, ...(source === space.id ? [] : [space.id])];
    throw failure(
      work,
      `its restore to ${moment} was cut off. Finish it on ops-1: restore-space-at ${words.join(" ")}; then run this again`,
    );
  }
  const ofExport = readIfThere(`${places.restoring}/${space.id}`)?.trimEnd();
  if (ofExport === undefined) return;
  if (ofExport !== "")
    throw failure(
      work,
      `${ofExport} is half restored onto it. Finish it on ops-1: restore-space ${space.id} ${ofExport}; then run this again`,
    );
  // An earlier version of restore-space-at wrote only this empty file.
  throw failure(
    work,
    "its restore to a moment was cut off, and nothing was written down of it. Finish it on ops-1 by the same restore-space-at as then (its moment: grep -e --target= /var/log/pgbackrest/main-restore.log); then run this again",
  );
}

/** The text of a file; undefined if it is not there. */
export function readIfThere(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}
