// run-cron: has workers run the background jobs of all spaces, a bounded number at once. A hash of its id gives each
// space its own minute in an interval, so that the load is even. The interval is short while the space is in use, else
// long. A space that is suspended, archived or worked on runs no job, and no space runs two at a time. Spaces with long
// jobs do not keep the others waiting: see hasRoom and REST.
// If it is ended, jobs that run go on, and hold their space's lock until they end. What follows a job comes with the next.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { CatalogFile } from "../machine-files.ts";
import { DROP_JOBS, RESET_SETTINGS } from "./job-queries.ts";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import { lockFileOf, unlock } from "./locks.ts";
import { ownConfig, runPhp } from "./nextcloud-command.ts";
import type { Places } from "./places.ts";
import { sayError } from "../../../infra/machine/programs/program.ts";
import { writeWhole } from "../../../infra/machine/programs/whole-file.ts";
import { isId, readSpace } from "./read-space.ts";
import { sql } from "./space-database.ts";
import { hasUser } from "./space-directory.ts";
import { namingStep } from "./space-error.ts";
import { beginWork, say, type SpaceWork } from "./space-work.ts";
import { USED_STORAGE } from "./storage-queries.ts";
import { distribute, isUndistributed } from "./web-servers.ts";
import { workersOf } from "./workers.ts";

/** A job is ended then. cron.php itself begins no further one after 14 minutes. */
const LONGEST_SECONDS = 3600;
/** After a long job, the space rests this many times as long as the job took: it takes a fifth of one place at most. */
const REST = 4;
const ROUND_SECONDS = 30;

interface Settings {
  /** Jobs that run at once, on all workers together. */
  atOnce: number;
  /** From one job to the next, while the space is in use or not. */
  activeSeconds: number;
  idleSeconds: number;
  /** A job is long from here on. */
  longSeconds: number;
}

/** Runs for ever. */
export async function runCron(places: Places, longSeconds = 60): Promise<never> {
  mkdirSync(places.cron, { recursive: true });
  const jobs = new Jobs();
  for (;;) {
    const settings = settingsOf(places, longSeconds);
    const next = sleep(ROUND_SECONDS * 1000);
    const due = dueSpaces(places, settings);
    await keepFigures(places, { due, running: jobs.count });
    for (const { id } of due) {
      await jobs.awaitRoom(settings);
      jobs.add(runJob(places, id, settings));
    }
    await next;
  }
}

export function settingsOf(places: Places, longSeconds = 60): Settings {
  const { cron } = JSON.parse(readFileSync(places.catalog, "utf8")) as CatalogFile;
  const [activeSeconds, idleSeconds] = [cron.activeMinutes * 60, cron.idleMinutes * 60];
  const atOnce = cron.jobsPerWorker * workersOf(places).length;
  return { atOnce, activeSeconds, idleSeconds, longSeconds };
}

/** The jobs that run. */
class Jobs {
  readonly #running = new Map<Promise<void>, number>();

  get count(): number {
    return this.#running.size;
  }

  add(job: Promise<void>): void {
    this.#running.set(job, now());
    void job.finally(() => this.#running.delete(job));
  }

  async awaitRoom(settings: Settings): Promise<void> {
    // Without a job that ends, one that has become long makes room.
    while (!this.#hasRoom(settings)) await Promise.race([...this.#running.keys(), sleep(1000)]);
  }

  /** Whether another job may begin: fewer than `atOnce` run. Long ones do not count, up to `atOnce` of them. */
  #hasRoom({ atOnce, longSeconds }: Settings): boolean {
    const begun = [...this.#running.values()];
    const long = begun.filter((moment) => now() - moment >= longSeconds).length;
    return begun.length - long + Math.max(0, long - atOnce) < atOnce;
  }
}

/** In Unix time. */
const now = () => Math.floor(Date.now() / 1000);

/** When the last job began, or later if the space has to rest; and whether the space is in use. */
interface Seen {
  last: number;
  inUse: boolean;
}

/** A file for each space. It is not empty while the space is in use. platform-health reads its time, too. */
function seenOf({ cron }: Places, id: string): Seen | undefined {
  const file = statSync(`${cron}/${id}`, { throwIfNoEntry: false });
  return file && { last: file.mtimeMs / 1000, inUse: file.size > 0 };
}

/** A space whose job is due, and for how many seconds it has been. */
interface Due {
  id: string;
  lag: number;
}

/** The spaces whose slot has begun since their last job, the longest waiting first. */
export function dueSpaces(places: Places, { activeSeconds, idleSeconds }: Settings, at = now()): Due[] {
  return readdirSync(places.spaces, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && isId(entry.name) && !isClosed(places, entry.name))
    .flatMap(({ name: id }) => {
      const seen = seenOf(places, id);
      const interval = seen?.inUse === false ? idleSeconds : activeSeconds;
      const last = seen?.last ?? 0;
      const slot = at - ((at - hash(id)) % interval);
      if (last >= slot) return [];
      // The first slot after the last job. A space without a job yet waits since this one.
      const since = seen === undefined ? slot : slot - Math.floor((slot - last - 1) / interval) * interval;
      return [{ id, last, lag: at - since }];
    })
    .sort((one, other) => one.last - other.last || (one.id < other.id ? -1 : 1))
    .map(({ id, lag }) => ({ id, lag }));
}

/** What monitoring keeps: how far the jobs are behind. In Prometheus' format of texts. */
async function keepFigures(
  { run }: Places,
  { due, running }: { due: readonly Due[]; running: number },
): Promise<void> {
  const figures: Record<string, [string, number]> = {
    lag_seconds: [
      "How long the longest waiting job has been due.",
      Math.max(0, ...due.map(({ lag }) => lag)),
    ],
    due: ["Spaces whose job is due.", due.length],
    running: ["Jobs that run.", running],
  };
  const lines = Object.entries(figures).flatMap(([name, [help, value]]) => {
    const metric = `framaspace_background_jobs_${name}`;
    return [`# HELP ${metric} ${help}`, `# TYPE ${metric} gauge`, `${metric} ${value}`];
  });
  await writeWhole(`${run}/figures/background-jobs.prom`, [`${lines.join("\n")}\n`]);
}

function hash(id: string): number {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.charCodeAt(0)) % 1_000_003;
  return sum;
}

/** Whether nobody uses the space, or a program works on it. */
function isClosed({ spaces }: Places, id: string): boolean {
  return ["maintenance", "suspended", "archived"].some((flag) => existsSync(`${spaces}/${id}/${flag}`));
}

/** Runs one space's job, and what follows it. Says what is wrong. */
export async function runJob(places: Places, id: string, settings: Settings): Promise<void> {
  let work: SpaceWork | undefined;
  try {
    const document = readFileSync(`${places.spaces}/${id}/config/space.json`, "utf8");
    work = beginWork(places, readSpace(places, document));
    work.step = "cron";
    const descriptor = await lock(lockFileOf(places, "cron", id), 0);
    if (descriptor === undefined) return;
    work.locks.cron = descriptor;
    await runAlone(work, settings);
  } catch (error) {
    sayError(namingStep(work ?? { space: { id }, step: "cron" }, error));
  } finally {
    if (work) for (const which of ["space", "cron"] as const) unlock(work.locks, which);
  }
}

async function runAlone(work: SpaceWork, { idleSeconds, longSeconds }: Settings): Promise<void> {
  const { places, space } = work;
  const begun = now();
  // The space may have been closed since the list was made.
  const isCutOff =
    existsSync(`${places.restoring}/${space.id}`) || existsSync(`${places.restoringAt}/${space.id}`);
  // Its files still belong to the user of before (give-users.ts).
  const isReady = hasUser(space.directory);
  if (isCutOff || !isReady || isClosed(places, space.id)) return;
  const seen = `${places.cron}/${space.id}`;
  if (!existsSync(seen)) writeFileSync(seen, "");
  utimesSync(seen, begun, begun);
  const own = { config: ownConfig(work), release: space.document.release };
  // What a job says goes to the journal. It does not need this program for that.
  const { status } = await runPhp(work, own, "cron.php", [], { longestSeconds: LONGEST_SECONDS, log: 2 });
  if (status !== 0) say(work, `its background job ended with status ${status}; see its log on logs-1`);
  const took = now() - begun;
  const inUse = await tidy(work, begun - idleSeconds);
  if (inUse === undefined) return;
  writeFileSync(seen, inUse ? "x\n" : "");
  const last = took < longSeconds ? begun : begun + took + REST * took;
  utimesSync(seen, last, last);
  await matchStorage(work);
}

/** Resolves to whether the space was used since then; to undefined if its database does not answer. */
async function tidy(work: SpaceWork, since: number): Promise<boolean | undefined> {
  const used = `SELECT (coalesce(max(last_activity), 0) > ${since})::int FROM oc_authtoken`;
  const { status, output } = await sql(
    work,
    [DROP_JOBS, RESET_SETTINGS, used].flatMap((statement) => ["-c", statement]),
  );
  return status === 0 ? output.trim() === "1" : undefined;
}

/** A full space takes no more files between two converges, too. If a program works on the space, that program does this. */
async function matchStorage(work: SpaceWork): Promise<void> {
  const { places, space } = work;
  const { status, output } = await sql(work, ["-c", USED_STORAGE]);
  if (status !== 0) return;
  const descriptor = await lock(lockFileOf(places, "space", space.id), 0);
  if (descriptor === undefined) return;
  work.locks.space = descriptor;
  await work.directory.markFull(Number(output) >= (space.document.limits?.storageBytes ?? 0));
  if (isUndistributed(work)) await distribute(work);
}
