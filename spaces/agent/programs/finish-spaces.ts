// finish-spaces: does what is wanted of spaces and is not done yet, so that nobody has to type it again.
//   finish-spaces                makes both records of it the same, then converges what is unfinished and due; a timer
//                                runs this
//   finish-spaces --all          the same, due or not
//   finish-spaces --keep ID      records what is wanted of a space, given as JSON on standard input
//   finish-spaces --forget ID    forgets a space
//   finish-spaces --fetch        only makes both the same, and fails if it cannot
//   finish-spaces --users        only gives spaces their own user that have none; a timer's run does this first
import { closeSync, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { isFree, lock } from "../../../infra/machine/programs/lock-file.ts";
import { giveUsers } from "./give-users.ts";
import { lockFileOf } from "./locks.ts";
import type { Places } from "./places.ts";
import type { Result } from "../../../infra/machine/programs/program.ts";
import { Progress } from "./work-progress.ts";
import { idsIn, idsOfSpaces, isId, type StoredDocument } from "./read-space.ts";
import { run } from "../../../infra/machine/programs/run-command.ts";
import { ProgramError } from "../../../infra/machine/programs/program-error.ts";
import { exchangeWanted, forgetWanted, keepWanted, makeWantedFolder } from "./wanted-records.ts";
import { readIfThere } from "../../../infra/machine/programs/texts.ts";

const WHO = "finish-spaces";
const WORKERS = 4;
/** From one try to the next: doubled each time. */
const SECONDS = { soonest: 60, latest: 3600 };
const DONE: Result = { output: "", status: 0 };

/**
 * @param input What `--keep` reads.
 * @param progressSeconds How often long work says how far it is.
 */
export async function finishSpaces(
  places: Places,
  [option = "", id]: readonly string[],
  { input = process.stdin, progressSeconds = 60 }: { input?: Readable; progressSeconds?: number } = {},
): Promise<Result> {
  makeFolders(places);
  switch (option) {
    case "--keep":
    case "--forget":
      if (!isId(id)) throw new ProgramError(WHO, `write finish-spaces ${option} ID`);
      if (option === "--keep") await keepWanted(places, id, await text(input));
      else await forgetWanted(places, id);
      return DONE;
    case "--users":
      await giveUsers(places);
      return DONE;
    case "":
    case "--all":
    case "--fetch": {
      const problems = await exchange(places);
      if (option === "--fetch") return { output: "", status: problems.length > 0 ? 1 : 0 };
      markLost(places);
      await giveUsers(places);
      await finish(places, option === "--all", progressSeconds);
      return DONE;
    }
    default:
      throw new ProgramError(WHO, "it knows --all, --keep ID, --forget ID, --fetch and --users");
  }
}

function makeFolders(places: Places): void {
  makeWantedFolder(places);
  for (const folder of [places.unfinished, places.closed, places.tries, places.redisRecords])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
}

/** Makes both records the same, and notes what is wrong. */
async function exchange(places: Places): Promise<string[]> {
  const file = `${places.run}/finish-spaces.lock`;
  const descriptor = await lock(file, 600);
  if (descriptor === undefined)
    throw new ProgramError(WHO, `another one has been at work for ten minutes (fuser -v ${file})`);
  const problems = await exchangeWanted(places);
  for (const problem of problems) console.error(problem);
  const fresh = `${places.wantedProblems}.new`;
  writeFileSync(fresh, problems.map((problem) => `${problem}\n`).join(""), { mode: 0o600 });
  renameSync(fresh, places.wantedProblems);
  closeSync(descriptor);
  return problems;
}

/**
 * Marks spaces as unfinished of which this machine has no directory, or no record of their user in Redis. Without that
 * record it could not make the user again.
 */
function markLost(places: Places): void {
  const directories = new Set(idsOfSpaces(places));
  const users = new Set(idsIn(places.redisRecords));
  for (const id of idsIn(places.wanted)) {
    const reason = `${places.unfinished}/${id}`;
    if ((directories.has(id) && users.has(id)) || existsSync(reason)) continue;
    writeFileSync(reason, "its directory, or its user of Redis, is not known here\n");
  }
}

/** Converges what is unfinished, a few spaces at once. */
async function finish(places: Places, all: boolean, progressSeconds: number): Promise<void> {
  const waiting = idsIn(places.unfinished).filter((id) => isToTry(places, id) && (all || isDue(places, id)));
  const progress = new Progress(WHO, waiting.length, progressSeconds);
  const workers = Array.from({ length: WORKERS }, async () => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift())
      progress.count((await tryAgain(places, id)) ? "done" : "failed");
  });
  await Promise.all(workers);
  progress.end();
}

/** Whether a space is unfinished, still wanted, and nothing for people. */
function isToTry(places: Places, id: string): boolean {
  const record = readIfThere(`${places.wanted}/${id}`);
  const reason = `${places.unfinished}/${id}`;
  if (record === undefined) rmSync(reason, { force: true });
  return record !== undefined && existsSync(reason) && !waitsForPeople(places, id, record);
}

/** Each try of a failed upgrade shuts visitors out, so people say when (docs/runbooks/failed-upgrade.md). */
function waitsForPeople(places: Places, id: string, record: string): boolean {
  return existsSync(`${places.closed}/${id}`) || failedUpgrade(places, id, record);
}

function failedUpgrade(places: Places, id: string, record: string): boolean {
  try {
    const { wave, release } = JSON.parse(record) as StoredDocument;
    return existsSync(`${places.waves}/${wave}/${release}/${id}`);
  } catch {
    // converge-space says that it cannot read the record.
    return false;
  }
}

/** Decides by how often it was tried, and when. */
function isDue(places: Places, id: string): boolean {
  const last = statSync(`${places.tries}/${id}`, { throwIfNoEntry: false });
  const { mtimeMs } = last ?? statSync(`${places.unfinished}/${id}`);
  const wait = Math.min(SECONDS.soonest * 2 ** triesOf(places, id), SECONDS.latest);
  return Date.now() - mtimeMs >= wait * 1000;
}

const triesOf = ({ tries }: Places, id: string) => Number(readIfThere(`${tries}/${id}`) ?? 0);

/** Resolves to whether the space is finished, now or meanwhile. */
async function tryAgain(places: Places, id: string): Promise<boolean> {
  const [reason, tries] = [`${places.unfinished}/${id}`, `${places.tries}/${id}`];
  // While it waited here, somebody else may have finished it, or be at it.
  if (!isToTry(places, id) || !(await isFree(lockFileOf(places, "space", id)))) return !existsSync(reason);
  const before = triesOf(places, id);
  await run("converge-space", ["--again", id]);
  if (!existsSync(reason)) {
    rmSync(tries, { force: true });
    return true;
  }
  writeFileSync(tries, `${before + 1}\n`);
  return false;
}
