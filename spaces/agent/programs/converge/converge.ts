// converge-space: reads one wanted space as JSON from standard input, compares it with what is there, does what is
// missing, and prints the result as one line of JSON. A second run does nothing. If it is killed, the next run finishes,
// and there always is one: finish-spaces records first what is wanted, and tries again what was not done.
//   converge-space --again ID    takes what was wanted last
// Each step can be run again. The table framaspace in a space's database says what the database is, so every dump of it
// says so, too.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { Places } from "../places.ts";
import type { Result } from "../../../../infra/machine/programs/program.ts";
import { unlockAll } from "../locks.ts";
import { isId, readSpace, textOf } from "../read-space.ts";
import { giveRedisUser } from "../redis-users.ts";
import { read } from "../../../../infra/machine/programs/run-command.ts";
import { namingStep, SpaceError } from "../space-error.ts";
import { beginStep, beginWork, held, lockSpace, loggingSteps } from "../space-work.ts";
import { keepWanted } from "../wanted-records.ts";
import { releaseOf, type Converging, type WithData } from "./converging.ts";
import { look, NO_FACTS } from "./database-facts.ts";
import { installSchema, makeDirectory, writeFiles } from "./installation.ts";
import { invite } from "./invitation.ts";
import { checkArchive, checkRelease, judge } from "./release-checks.ts";
import { askEarly, serve, setState } from "./serving.ts";
import { dropRefused, matchApps, matchOffice, matchRegistration, turnOff } from "./space-apps.ts";
import { matchLimits, matchTitle } from "./space-limits.ts";
import { dropTrial } from "./trial.ts";
import { putBack, repair, upgrade } from "./upgrade.ts";
import { markUpgraded } from "./wave.ts";
import { readIfThere } from "../../../../infra/machine/programs/texts.ts";

export interface ConvergeOptions {
  /** What is wanted, as JSON. @default standard input */
  input?: Readable;
  /** Of requests under way, once visitors are shut out. @default 30 */
  patienceSeconds?: number;
}

/**
 * Runs the program.
 * @param argv The words of its command line.
 */
export async function convergeSpace(
  places: Places,
  argv: readonly string[],
  options: ConvergeOptions = {},
): Promise<Result> {
  const work = await begin(places, argv, options);
  try {
    return await loggingSteps(work, "converge", () => convergeKept(work, argv));
  } finally {
    unlockAll(work.locks);
  }
}

async function convergeKept(work: Converging, argv: readonly string[]): Promise<Result> {
  const { places } = work;
  let begun = false;
  try {
    work.locks.space = await lockSpace(places, { id: work.space.id, step: work.step });
    if (argv[0] !== "--again") await keep(work);
    noteBegun(work);
    begun = true;
    askEarly(work);
    const archive = await converge(work);
    end(work);
    return { output: `${JSON.stringify(resultOf(work, archive))}\n`, status: 0 };
  } catch (error) {
    const named = namingStep(work, error);
    if (begun && named instanceof SpaceError)
      writeFileSync(work.reason, `${named.step}: ${named.message.replaceAll("\n", " ")}\n`);
    throw named;
  }
}

/** Finds out which space it is, and what is wanted of it. */
async function begin(
  places: Places,
  [option, id]: readonly string[],
  { input = process.stdin, patienceSeconds = 30 }: ConvergeOptions,
): Promise<Converging> {
  const kept = `${places.wanted}/${id}`;
  if (option === "--again" && !(isId(id) && existsSync(kept)))
    throw new SpaceError({ id: id ?? "?", step: "reading" }, "nothing is known to be wanted of it");
  const space = readSpace(places, option === "--again" ? readFileSync(kept, "utf8") : await text(input));
  const nothing = { name: "", contact: "", wave: "", apps: [], appsOptional: [], appsOff: [], office: "" };
  return {
    ...beginWork(places, space, patienceSeconds),
    wanted: { ...nothing, limits: { accounts: 0, storageBytes: 0 }, ...space.document },
    reason: `${places.unfinished}/${space.id}`,
    left: [],
    pending: [],
    invited: false,
    facts: NO_FACTS,
  };
}

/** Records what is wanted before anything is done. */
async function keep(work: Converging): Promise<void> {
  beginStep(work, "keeping");
  const { id, document } = work.space;
  await keepWanted(work.places, id, `${textOf(document)}\n`);
}

/** The space is unfinished until everything is done. It is wanted, so it no longer counts as removed. */
function noteBegun({ places, space, reason }: Converging): void {
  rmSync(`${places.removed}/${space.id}`, { force: true });
  mkdirSync(places.unfinished, { recursive: true });
  if (!existsSync(reason)) writeFileSync(reason, "begun, and cut off\n");
}

/** finish-spaces does what is left. */
function end({ places, space, reason, left }: Converging): void {
  if (left.length > 0) writeFileSync(reason, `${left.join("; ")}\n`);
  else
    for (const file of [reason, `${places.tries}/${space.id}`, `${places.closed}/${space.id}`])
      rmSync(file, { force: true });
}

/** All steps, in their order. Resolves to how far the archiving of an archived space is. */
async function converge(work: Converging): Promise<unknown> {
  const { state } = work.wanted;
  beginStep(work, "archive");
  checkArchive(work);
  const withData = state === "archived" ? undefined : await examine(work);
  if (!withData) work.facts = { ...NO_FACTS, version: versionOnDisk(work) };
  beginStep(work, "redis");
  await addRedisUser(work);
  if (withData) await prepareDatabase(withData);
  beginStep(work, "directory");
  await makeDirectory(work);
  await writeFiles(work);
  if (withData) await matchDatabase(withData);
  beginStep(work, "state");
  await setState(work);
  beginStep(work, "administrator");
  if (state === "active") await invite(work);
  beginStep(work, "web servers");
  await serve(work);
  beginStep(work, "archive");
  const archive = withData ? undefined : await archiveSpace(work);
  beginStep(work, "repair");
  if (withData && state === "active") await repair(withData);
  beginStep(work, "trial");
  await dropTrial(work);
  return archive;
}

/** Throws SpaceError for what cannot be done, before anything is changed. */
async function examine(work: Converging): Promise<WithData> {
  beginStep(work, "release");
  const withData = Object.assign(work, { prepared: await checkRelease(work) });
  beginStep(work, "database");
  work.facts = await look(work);
  beginStep(work, "upgrade");
  if (work.facts.upgrade === undefined) judge(withData);
  return withData;
}

/** The database of an archived space may be empty, so the version comes from its space.json. */
function versionOnDisk({ space, wanted }: Converging): string {
  const text = readIfThere(`${space.directory}/config/space.json`) ?? "";
  return /"version":"([0-9.]+)"/.exec(text)?.[1] ?? `${wanted.release}.0`;
}

/** The document gets the number of the space's database in Redis. */
async function addRedisUser(work: Converging): Promise<void> {
  work.space = { ...work.space, document: await giveRedisUser(work.places, work.space.document) };
}

/** The database is installed, and no upgrade of it is half done. */
async function prepareDatabase(work: WithData): Promise<void> {
  beginStep(work, "upgrade");
  if (work.facts.upgrade !== undefined) {
    await putBack(work);
    judge(work);
  }
  beginStep(work, "install");
  await installSchema(work);
}

/** The database is on the release that is wanted, with the apps, limits and title that are. */
async function matchDatabase(work: WithData): Promise<void> {
  beginStep(work, "apps");
  await turnOff(work);
  beginStep(work, "upgrade");
  if (work.facts.version !== work.prepared.version) await upgrade(work);
  // A run that was killed may have upgraded it, and told nobody.
  else if (work.facts.repair !== undefined) markUpgraded(work);
  beginStep(work, "apps");
  await dropRefused(work);
  await matchRegistration(work);
  await matchApps(work);
  await matchOffice(work);
  beginStep(work, "limits");
  await matchLimits(work);
  beginStep(work, "title");
  await matchTitle(work);
}

async function archiveSpace(work: Converging): Promise<unknown> {
  return JSON.parse(await read("archive-space", [work.space.id, "--locked"], held(work)));
}

/** What the engine shows, and `npm run space -- list`. */
function resultOf(work: Converging, archive: unknown) {
  const { places, space, wanted, facts } = work;
  const exported = readIfThere(`${places.exports}/${space.id}`);
  return {
    id: space.id,
    state: wanted.state,
    release: releaseOf(facts.version ?? ""),
    url: space.url,
    accounts: { enabled: Number(facts.accounts ?? 0), allowed: wanted.limits.accounts },
    storageBytes: { used: Number(facts.used ?? 0), allowed: wanted.limits.storageBytes },
    invited: work.invited,
    pending: work.pending,
    changed: work.changed,
    ...(archive !== undefined && { archive }),
    ...(exported !== undefined && { lastExport: (JSON.parse(exported) as { export: string }).export }),
  };
}
