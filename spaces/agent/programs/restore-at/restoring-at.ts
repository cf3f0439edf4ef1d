// What restore-space-at knows on its way, and what it writes down of it.
import { existsSync, statSync } from "node:fs";
import { restoreAtCommand } from "../cut-off.ts";
import { writeWhole } from "../../../../infra/machine/programs/whole-file.ts";
import { failure, type SpaceWork } from "../space-work.ts";
import { readIfThere } from "../../../../infra/machine/programs/texts.ts";

export interface RestoringAt extends SpaceWork {
  /** The space of that moment. */
  readonly source: string;
  /** Its bucket's name. */
  readonly from: string;
  /** UTC: `2026-11-23 14:00:00`. */
  readonly moment: string;
  /**
   * How far an earlier run came. From `changing` on, the database "before" holds what was in use, and a second run must
   * not drop it.
   */
  readonly begun: "no" | "recorded" | "changing";
  /** Names of databases: that of the moment, and the one that was in use. */
  readonly databases: { readonly restored: string; readonly before: string };
}

const recordOf = ({ places, space }: SpaceWork) => `${places.restoringAt}/${space.id}`;

/** Writes to disk what is under way. */
export async function record(work: RestoringAt, changing: boolean): Promise<void> {
  const { source, moment } = work;
  const lines = [source, moment, ...(changing ? ["changing"] : [])];
  await writeWhole(recordOf(work), [lines.map((line) => `${line}\n`).join("")]);
}

/** How far an earlier run came. Throws SpaceError if it was of another source or moment. */
export function progressOf(work: SpaceWork, source: string, moment: string): RestoringAt["begun"] {
  const text = readIfThere(recordOf(work));
  if (text === undefined) return isOfEarlierVersion(work) ? "changing" : "no";
  const [begunSource = "", begunMoment = "", changing = ""] = text.split("\n");
  if (begunSource !== source || begunMoment !== moment)
    throw failure(
      work,
      `its restore to ${begunMoment} was cut off. Finish it first: ${restoreAtCommand(work, begunSource, begunMoment)}; then run this again`,
    );
  return changing === "changing" ? "changing" : "recorded";
}

/** An earlier version of this program wrote an empty file, and only once it was changing databases. */
function isOfEarlierVersion({ places, space }: SpaceWork): boolean {
  const file = `${places.restoring}/${space.id}`;
  return existsSync(file) && statSync(file).size === 0;
}
