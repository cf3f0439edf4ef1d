// Spaces that are not as their entries say, and background jobs that wait. The programs that work on spaces note both;
// this reads their notes.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { linesIn, type LookedAt } from "./looked-at.ts";
import { readIfThere } from "../../machine/programs/texts.ts";

/** More unfinished spaces than this are one line. */
const MOST = 20;
/** A space that was begun in this time may still be in progress. */
const BEGUN_MINUTES = 15;
/** From when on a background job that is due has waited for too long: mails, reminders and trash wait with it. */
const LAG_MINUTES = 30;
/** Of a reason that is shown, in bytes. */
const SHOWN = 300;

/** What the timer of reconcile-storage noted last. If it fails, it shows as a failed unit of this machine. */
export const storageProblems = async ({ root }: LookedAt): Promise<string[]> =>
  linesIn(readIfThere(`${root}/var/lib/framaspace/storage/problems`));

/** Spaces that are not yet as their entries say. finish-spaces tries again, and list-spaces shows all of them. */
export async function spaceProblems({ root }: LookedAt): Promise<string[]> {
  const data = `${root}/var/lib/framaspace`;
  const folder = `${data}/unfinished`;
  const kept = linesIn(readIfThere(`${data}/wanted-problems`));
  if (!existsSync(folder)) return kept;
  const left = readdirSync(folder)
    .filter((id) => !id.startsWith(".") && !isInProgress(`${folder}/${id}`))
    .sort();
  if (left.length > MOST)
    return [
      ...kept,
      `spaces unfinished: ${left.length} of them, such as ${left.slice(0, 5).join(" ")}; npm run space -- list says why`,
    ];
  return [...kept, ...left.flatMap((id) => linesIn(`space ${id}: ${reasonIn(`${folder}/${id}`) ?? ""}`))];
}

function isInProgress(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  // It was finished meanwhile.
  if (found === undefined || !found.isFile()) return true;
  const isYoung = Date.now() - found.mtimeMs < BEGUN_MINUTES * 60_000;
  return isYoung && (reasonIn(file) ?? "").startsWith("begun");
}

function reasonIn(file: string): string | undefined {
  try {
    return readFileSync(file).subarray(0, SHOWN).toString("utf8").trimEnd();
  } catch {
    return undefined;
  }
}

/** Every space runs its jobs once in cron.idleMinutes at least. run-cron may be at fault, so this asks for no word of it. */
export async function jobProblems({ root }: LookedAt): Promise<string[]> {
  const [spaces, seen] = [`${root}/srv/spaces`, `${root}/var/lib/framaspace/cron`];
  if (!existsSync(spaces) || !existsSync(seen)) return [];
  const catalog = JSON.parse(readFileSync(`${root}/etc/framaspace/catalog.json`, "utf8")) as {
    cron: { idleMinutes: number };
  };
  const waiting = readdirSync(spaces)
    .filter((id) => /^[a-z]/.test(id) && runsJobs(`${spaces}/${id}`))
    .map((id) => {
      // A directory changes when its space is made, or served again.
      const since = Math.max(timeOf(`${spaces}/${id}`), timeOf(`${seen}/${id}`));
      return { id, minutes: Math.trunc((Date.now() - since) / 60_000) - catalog.cron.idleMinutes };
    })
    .filter(({ minutes }) => minutes > LAG_MINUTES)
    .sort((one, other) => other.minutes - one.minutes);
  const [longest] = waiting;
  if (!longest) return [];
  const how = waiting.length > 1 ? "s wait for theirs" : " waits for its";
  return [
    `background jobs: ${waiting.length} space${how} for more than ${LAG_MINUTES} minutes, ${longest.id} for ${longest.minutes}; systemctl status run-cron; if it works, add a worker`,
  ];
}

function runsJobs(directory: string): boolean {
  const isDirectory = statSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return (
    isDirectory &&
    !["suspended", "archived", "maintenance"].some((mark) => existsSync(`${directory}/${mark}`))
  );
}

/** In milliseconds since 1970; 0 if there is no such file. */
const timeOf = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
