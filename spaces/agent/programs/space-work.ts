// What a program knows while it works on one space.
import { descriptors, lock, type Locks } from "./locks.ts";
import type { Places } from "./places.ts";
import type { Space } from "./read-space.ts";
import { SpaceError } from "./space-error.ts";
import { SpaceDirectory } from "./space-directory.ts";

/**
 * Whether web servers may write to the space's database. `ended` is the Unix time in seconds from which on this program
 * has ended requests.
 */
export type DatabaseDoor = { state: "open" } | { state: "shut"; ended?: number };

export interface SpaceWork {
  readonly places: Places;
  space: Space;
  readonly locks: Locks;
  readonly directory: SpaceDirectory;
  /** Seconds that requests under way may still take once visitors are shut out. */
  readonly patienceSeconds: number;
  /** What was changed, as words for people. */
  readonly changed: string[];
  door: DatabaseDoor;
  /** What is being done, for messages. */
  step: string;
}

export function beginWork(places: Places, space: Space): SpaceWork {
  const changed: string[] = [];
  return {
    places,
    space,
    locks: {},
    directory: new SpaceDirectory(space.directory, `${places.undistributed}/${space.id}`, (what) => {
      changed.push(what);
    }),
    patienceSeconds: 30,
    changed,
    door: { state: "open" },
    step: "reading",
  };
}

/** The error that ends the program: what is wrong, and what to do next. */
export function failure(work: SpaceWork, what: string, step = work.step): SpaceError {
  return new SpaceError({ id: work.space.id, step }, what);
}

/** Tells people something on the way. */
export function say({ space }: SpaceWork, what: string): void {
  console.error(`space ${space.id}: ${what}`);
}

/** Only one program at a time works on a space, until that program ends. Resolves to the lock's descriptor. */
export async function lockSpace(places: Places, where: { id: string; step: string }): Promise<number> {
  const file = `${places.run}/space-${where.id}.lock`;
  const descriptor = await lock(file, 600);
  if (descriptor === undefined)
    throw new SpaceError(where, `another run has been at it for ten minutes (fuser -v ${file})`);
  return descriptor;
}

/** The locks that a command holds for the program. */
export const held = ({ locks }: SpaceWork) => ({ locks: descriptors(locks) });
/** The same for a program that leaves processes behind, or that locks the space itself. */
export const heldButSpace = ({ locks }: SpaceWork) => ({ locks: descriptors(locks, true) });
