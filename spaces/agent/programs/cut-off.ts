// Restores that were begun and not finished. Only the same restore finishes them.
import { failure, type NamedWork } from "./space-work.ts";
import { readIfThere } from "../../../infra/machine/programs/texts.ts";

/**
 * Throws SpaceError if a restore onto the space was cut off. It names the command that finishes the restore.
 * @param program One of the two programs that restore: it checks its own work itself.
 */
export function refuseCutOff(work: NamedWork, program?: "restore-space" | "restore-space-at"): void {
  const { places, space } = work;
  const toMoment = readIfThere(`${places.restoringAt}/${space.id}`);
  if (toMoment !== undefined && program !== "restore-space-at") {
    const [source = "", moment = ""] = toMoment.split("\n");
    throw failure(
      work,
      `its restore to ${moment} was cut off. Finish it on ops-1: ${restoreAtCommand(work, source, moment)}; then run this again`,
    );
  }
  const ofExport = readIfThere(`${places.restoring}/${space.id}`)?.trimEnd();
  if (ofExport === undefined || program === (ofExport === "" ? "restore-space-at" : "restore-space")) return;
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

/** The command that was typed for this space. */
export function restoreAtCommand({ space }: NamedWork, source: string, moment: string): string {
  const words = [source, `'${moment}'`, ...(source === space.id ? [] : [space.id])];
  return `restore-space-at ${words.join(" ")}`;
}
