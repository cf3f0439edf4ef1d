// An upgrade. From closeSpace on nobody writes, so the dump is enough to go back. Until the new release is seen to
// serve, the database says "upgrade". A run that finds this puts the dump back and begins again.
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { closeSpace, openSpace, shutDatabase } from "../close-space.ts";
import { lastLine, occ, ownConfig, scratchConfig, type Configuration } from "../nextcloud-command.ts";
import { bringBack } from "../old-versions.ts";
import { REPAIRS } from "../repairs.ts";
import { dumpDatabase, execute, forget, loadDatabase } from "../space-database.ts";
import { SpaceError } from "../space-error.ts";
import { failure, loggingParts, type SpaceWork } from "../space-work.ts";
import type { StepLog } from "../step-log.ts";
import { distribute } from "../web-servers.ts";
import { WORKER_LOST } from "../workers.ts";
import { releaseOf, type WithData } from "./converging.ts";
import { look } from "./database-facts.ts";
import { writeFiles } from "./installation.ts";
import { dropTrial, makeTrial, seeThroughWebServers } from "./trial.ts";
import { awaitProof, checkWave, markFailed, markUpgraded } from "./wave.ts";

const dumpOf = ({ places, space }: SpaceWork) => `${places.kept}/${space.id}/upgrade.sql.zst`;
const logOf = ({ places, space }: SpaceWork) => `${places.log}/upgrade-${space.id}.log`;

/** Takes the space to the release that is wanted. Throws SpaceError if it stays on the one that it was on. */
export function upgrade(work: WithData): Promise<void> {
  return loggingParts(work, "upgrade", (parts) => upgradeInParts(work, parts));
}

async function upgradeInParts(work: WithData, parts: StepLog | undefined): Promise<void> {
  const { version = "", apps } = work.facts;
  const from = releaseOf(version);
  const { release } = work.wanted;
  parts?.begin("waiting for another space");
  checkWave(work);
  await awaitProof(work);
  parts?.begin("account of the trial");
  await makeTrial(work);
  parts?.begin("closing");
  await closeSpace(work);
  parts?.begin("dump");
  emptyLog(work);
  await takeDump(work, from);
  await execute(work, `INSERT INTO framaspace VALUES ('upgrade', '${version}')`);
  const outcome = await tryUpgrade(work, apps, parts).catch(undoing(work));
  if (outcome !== "serves" || !(await isSettled(work))) {
    const why = lastLine(readFileSync(logOf(work), "utf8"), 300);
    parts?.end(why);
    parts?.begin("undoing");
    await putBack(work);
    // That a worker was lost says nothing of the release: it stops no other space, and finish-spaces tries again.
    const isLost = outcome === "worker lost";
    if (!isLost) markFailed(work, why);
    await dropTrial(work);
    parts?.end();
    const next = isLost ? "It is tried again (finish-spaces)" : "When the cause is gone, run up again";
    throw failure(
      work,
      `from ${from} to ${release} failed, and was undone: it serves ${from} again, nothing is lost. Why: ${why}. All it said: ${logOf(work)}. ${next}`,
    );
  }
  markUpgraded(work);
  work.changed.push(`upgraded ${from} to ${release}`);
}

function emptyLog(work: SpaceWork): void {
  mkdirSync(work.places.log, { recursive: true });
  closeSync(openSync(logOf(work), "w", 0o600));
}

async function takeDump(work: WithData, from: string): Promise<void> {
  const dump = dumpOf(work);
  if (await dumpDatabase(work, dump)) return;
  await openSpace(work);
  throw failure(
    work,
    `its database could not be dumped to ${dump}; is the disk full (df ${work.places.kept})? It serves ${from} as before. Run up again`,
  );
}

/** What is left to do about an error of a trial: whatever failed, the upgrade is undone. What SpaceError says ends it. */
const undoing = (work: SpaceWork) => (error: unknown) => {
  if (error instanceof SpaceError) throw error;
  appendFileSync(logOf(work), `${error instanceof Error ? error.message : String(error)}\n`);
  return "fails" as const;
};

/** From here on, the space is on the new release. Resolves to whether its database says so. */
const isSettled = (work: SpaceWork) => whether(forget(work, "upgrade"));

const whether = (done: Promise<unknown>): Promise<boolean> =>
  done.then(
    () => true,
    () => false,
  );

/** If it does not serve, the log's last line says why. */
type Outcome = "serves" | "fails" | "worker lost";

async function tryUpgrade(work: WithData, appsBefore: readonly string[], parts?: StepLog): Promise<Outcome> {
  const { prepared } = work;
  const why = (text: string, status?: number): Outcome => {
    const isLost = status === WORKER_LOST;
    const said = isLost ? `its worker was lost meanwhile, or none takes a connection: ${text}` : text;
    // In one line, also where a web server answered with a page.
    appendFileSync(logOf(work), `${said.replace(/\s+/g, " ").trim()}\n`);
    return isLost ? "worker lost" : "fails";
  };
  parts?.begin("Nextcloud");
  const status = await logged(work, scratchConfig(work), ["upgrade"]);
  // Status 3: there was nothing to do.
  if (status !== 0 && status !== 3) {
    const said = lastLine(readFileSync(logOf(work), "utf8"), Infinity);
    return why(
      `occ upgrade ended with status ${status}${said === "" ? ", and said nothing" : `: ${said}`}`,
      status,
    );
  }
  await execute(
    work,
    `UPDATE framaspace SET value = '${prepared.version}' WHERE key = 'version'`,
    `INSERT INTO framaspace VALUES ('repair', '${prepared.version}') ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
  );
  work.facts = await look(work);
  parts?.begin("apps");
  const lost = appsBefore.filter((app) => !work.facts.apps.includes(app) && prepared.apps.includes(app));
  const enabled = lost.length > 0 ? await logged(work, ownConfig(work), ["app:enable", ...lost]) : 0;
  if (enabled !== 0)
    return why(`apps that were on before are off and do not come on: ${lost.join(" ")}`, enabled);
  parts?.begin("web servers");
  await writeFiles(work);
  await distribute(work);
  parts?.begin("trial");
  const seen = await seeThroughWebServers(work);
  return seen.length === 0 ? "serves" : why(`on the new release, ${seen.join("; ")}`);
}

/** Runs Nextcloud's command line. All that it says goes to the log. Resolves to its status. */
async function logged(work: WithData, config: Configuration, words: readonly string[]): Promise<number> {
  const log = openSync(logOf(work), "a");
  try {
    return (await occ(work, { config, release: work.wanted.release }, words, { log })).status;
  } finally {
    closeSync(log);
  }
}

/** Puts the database back to before its upgrade, on the release that it was on. */
export async function putBack(work: WithData): Promise<void> {
  const dump = dumpOf(work);
  if (!existsSync(dump))
    throw failure(
      work,
      `an upgrade was cut off, and ${dump}, which it began with, is gone. The space stays closed; restore it from the last backup (docs/runbooks)`,
    );
  // What a killed run began may still be writing.
  await shutDatabase(work);
  if (!(await loadDatabase(work, dump)))
    throw failure(
      work,
      `its database could not be put back from ${dump}; the space stays closed. See above, then run up again: it begins with this`,
    );
  // Since the dump, only the upgrade has made acknowledged changes.
  await bringBack(work, Math.floor(statSync(dump).mtimeMs / 1000), "all");
  work.facts = await look(work);
  await writeFiles(work);
  await openSpace(work);
}

/**
 * Indices and repairs that a release leaves to its administrator. They take long, so the space serves meanwhile. They
 * use a scratch configuration, because a repair turns on maintenance in its configuration.
 */
export async function repair(work: WithData): Promise<void> {
  if (!work.facts.repair) return;
  mkdirSync(work.places.log, { recursive: true });
  for (const words of REPAIRS)
    if ((await logged(work, scratchConfig(work), words)) !== 0)
      throw failure(
        work,
        `occ ${words.join(" ")} failed after its upgrade to ${work.wanted.release}, which serves; see ${logOf(work)}, then run up again`,
      );
  await forget(work, "repair");
  work.changed.push("repaired");
}
