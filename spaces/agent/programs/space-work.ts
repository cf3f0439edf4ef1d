// What a program knows while it works on one space.
import { existsSync, fstatSync, readFileSync, statSync } from "node:fs";
import { sayLine } from "../../../infra/machine/programs/callers.ts";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import { descriptors, lockFileOf, NUMBERS, type Locks } from "./locks.ts";
import { userOf } from "../../../infra/inventory/space-users.ts";
import type { Places } from "./places.ts";
import { isId, readSpace, type Space } from "./read-space.ts";
import { UsageError } from "../../../infra/machine/programs/program-error.ts";
import { SpaceError } from "./space-error.ts";
import { SpaceDirectory } from "./space-directory.ts";
import { StepLog } from "./step-log.ts";

/**
 * Whether web servers may write to the space's database. `ended` is the Unix time in seconds from which on this program
 * has ended requests.
 */
export type DatabaseDoor = { state: "open" } | { state: "shut"; ended?: number };

/** What a program knows before it has read the space. */
export interface NamedWork {
  readonly places: Places;
  readonly space: Readonly<{ id: string }>;
  readonly locks: Locks;
  /** What is being done, for messages. */
  step: string;
  /** The log of the program's steps. */
  steps?: StepLog;
}

export interface SpaceWork extends NamedWork {
  space: Space;
  readonly directory: SpaceDirectory;
  /** Seconds that requests under way may still take once visitors are shut out. */
  readonly patienceSeconds: number;
  /** What was changed, as words for people. */
  readonly changed: string[];
  door: DatabaseDoor;
}

export function beginWork(places: Places, space: Space, patienceSeconds = 30): SpaceWork {
  const changed: string[] = [];
  return {
    places,
    space,
    locks: {},
    directory: new SpaceDirectory(space.directory, `${places.undistributed}/${space.id}`, (what) => {
      changed.push(what);
    }),
    patienceSeconds,
    changed,
    door: { state: "open" },
    step: "reading",
  };
}

/**
 * Begins the work of a program whose first word is a space of this machine.
 * Throws UsageError if it is none.
 * @param program Its name.
 * @param next What to do if there is no such space.
 */
export function beginOn(
  places: Places,
  { program, next }: { program: string; next: string },
  [id]: readonly string[],
  patienceSeconds: number,
): SpaceWork {
  if (!isId(id)) throw new UsageError(program);
  const file = `${places.spaces}/${id}/config/space.json`;
  if (!existsSync(file)) throw new UsageError(`there is no space "${id}" on this machine${next}`);
  return beginWork(places, readSpace(places, readFileSync(file, "utf8")), patienceSeconds);
}

/** Begins a step: messages name it, and its end is logged. */
export function beginStep(work: NamedWork, step: string): void {
  work.step = step;
  work.steps?.begin(step);
}

/** Does what a program does to a space. Each step is logged, from the one on that the program is in. */
export async function loggingSteps<Done>(
  work: NamedWork,
  operation: string,
  program: () => Promise<Done>,
): Promise<Done> {
  const document = "document" in work.space ? (work.space as Space).document : undefined;
  const steps = new StepLog({ space: work.space.id, operation, release: document?.release });
  work.steps = steps;
  try {
    return await loggingEnd(steps, () => {
      steps.begin(work.step);
      return program();
    });
  } finally {
    steps.close();
  }
}

/** Does an operation that is part of a program's step, and logs the parts that it begins. */
export async function loggingParts<Done>(
  { steps }: NamedWork,
  operation: string,
  act: (parts: StepLog | undefined) => Promise<Done>,
): Promise<Done> {
  const parts = steps?.within(operation);
  return loggingEnd(parts, () => act(parts));
}

async function loggingEnd<Done>(steps: StepLog | undefined, act: () => Promise<Done>): Promise<Done> {
  try {
    const done = await act();
    steps?.end();
    return done;
  } catch (error) {
    steps?.end(error);
    throw error;
  }
}

/** The error that ends the program: what is wrong, and what to do next. */
export function failure(work: Pick<NamedWork, "space" | "step">, what: string, step = work.step): SpaceError {
  return new SpaceError({ id: work.space.id, step }, what);
}

/** The number of the space's database in Redis, which is that of its user, too. Throws SpaceError if it has none. */
export function numberOf(work: Pick<SpaceWork, "space" | "step">): number {
  const { id, document } = work.space;
  const number = document.redis?.database;
  if (number !== undefined) return number;
  throw failure(
    work,
    `its space.json has no redis.database, so it has no user; on ops-1, converge-space --again ${id} gives it one`,
  );
}

/** The Unix user of the space, and the user's only group. */
export const spaceUser = (work: Pick<SpaceWork, "space" | "step">): number => userOf(numberOf(work));

/** Tells people something on the way. */
export function say({ space }: Pick<NamedWork, "space">, what: string): void {
  sayLine(`space ${space.id}: ${what}`);
}

/** Only one program at a time works on a space, until that program ends. Resolves to the lock's descriptor. */
export async function lockSpace(places: Places, where: { id: string; step: string }): Promise<number> {
  const file = lockFileOf(places, "space", where.id);
  const descriptor = await lock(file, 600);
  if (descriptor === undefined)
    throw new SpaceError(where, `another run has been at it for ten minutes (fuser -v ${file})`);
  return descriptor;
}

/** Locks the space of a program. If one calls it that has locked the space, it says so by the word `--locked`. */
export async function lockUnless(work: NamedWork, words: readonly string[]): Promise<void> {
  const { places, locks, step } = work;
  const { id } = work.space;
  if (!words.includes("--locked")) locks.space = await lockSpace(places, { id, step });
  // The caller's descriptor: the commands of this program get it, too.
  else if (isFile(NUMBERS.space, lockFileOf(places, "space", id))) locks.space = NUMBERS.space;
}

function isFile(descriptor: number, file: string): boolean {
  try {
    return fstatSync(descriptor).ino === statSync(file).ino;
  } catch {
    return false;
  }
}

/** The locks that a command holds for the program. */
export const held = ({ locks }: Pick<NamedWork, "locks">) => ({ locks: descriptors(locks) });
/** The same for a program that leaves processes behind, or that locks the space itself. */
export const heldButSpace = ({ locks }: Pick<NamedWork, "locks">) => ({ locks: descriptors(locks, true) });
