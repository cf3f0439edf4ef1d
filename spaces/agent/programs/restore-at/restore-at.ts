// restore-space-at ID TIME [NEW_ID], on ops-1: puts one space back to a moment, such as "2026-11-23 14:00" (UTC). With
// NEW_ID, it puts the space of that moment there; NEW_ID must be a space already, and loses what it holds. The database
// comes from the backups and the WAL archive, the files from the bucket's versions of the same moment. Nothing else is
// touched. If it is killed, the same command finishes the work. Until then, no other program works on the space.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { closeSpace, openSpace } from "../close-space.ts";
import { refuseCutOff } from "../cut-off.ts";
import { lock } from "../../../../infra/machine/programs/lock-file.ts";
import type { Places } from "../places.ts";
import { sayError, type Result } from "../../../../infra/machine/programs/program.ts";
import { isId, readSpace } from "../read-space.ts";
import { releaseOfVersion } from "../restore/follow-database.ts";
import { namingStep, SpaceError } from "../space-error.ts";
import { beginStep, beginWork, failure, lockSpace, loggingSteps, say } from "../space-work.ts";
import { endingWith } from "../../../../infra/machine/programs/stop-signals.ts";
import { askPages, BEHIND, distribute } from "../web-servers.ts";
import { checkVersions, dumpOfMoment, momentOf, stopScratch } from "./backup.ts";
import { changePlaces, loadBeside } from "./changing-places.ts";
import { restoreFilesOfMoment } from "./files-of-moment.ts";
import { progressOf, record, type RestoringAt } from "./restoring-at.ts";

/**
 * Runs the program. It prints nothing but what it says on the way.
 * @param argv The words of its command line.
 */
export async function restoreSpaceAt(
  places: Places,
  argv: readonly string[],
  patienceSeconds = 30,
): Promise<Result> {
  process.env["TZ"] = "UTC";
  process.umask(0o077);
  const work = await begin(places, argv, patienceSeconds);
  const { source, moment, space } = work;
  return loggingSteps(work, "restore-at", async () => {
    try {
      beginStep(work, `restoring ${source}`);
      work.locks.space = await lockSpace(places, { id: space.id, step: work.step });
      refuseCutOff(work, "restore-space-at");
      const begun = progressOf(work, source, moment);
      if (space.document.state === "archived")
        throw failure(
          work,
          `it is archived. An export of it comes back by restore-space ${space.id}; where its data is wanted as of a moment, write state: suspended in its entry and run up first. Nothing was changed.`,
        );
      await restore(Object.assign(work, { begun }));
      return { output: "", status: 0 };
    } catch (error) {
      throw namingStep(work, error);
    }
  });
}

/** Reads the command line. Throws SpaceError if it names no space or no moment. */
async function begin(places: Places, argv: readonly string[], patienceSeconds: number): Promise<RestoringAt> {
  const [source = "", time = "", id = source] = argv;
  const fail = (name: string, what: string) => new SpaceError({ id: name, step: "reading" }, what);
  if (argv.length !== 2 && argv.length !== 3)
    throw fail("?", "write: restore-space-at ID 'YYYY-MM-DD HH:MM[:SS]' [NEW_ID]; the time is UTC");
  const wrong = [source, id].find((word): boolean => !isId(word));
  if (wrong !== undefined) throw fail(id, `"${wrong}" is no id`);
  const moment = await momentOf(time);
  if (moment === undefined) throw fail(id, `"${time}" is no time; write YYYY-MM-DD HH:MM`);
  const now = new Date().toISOString().slice(0, 19).replace("T", " ");
  if (moment >= now) throw fail(id, `${moment} is still to come`);
  const file = `${places.spaces}/${id}/config/space.json`;
  if (!existsSync(file))
    throw fail(id, "is no space here; add it to the tenants file and run up, then this again");
  return {
    ...beginWork(places, readSpace(places, readFileSync(file, "utf8")), patienceSeconds),
    source,
    moment,
    from: `space-${source}`,
    begun: "no",
    databases: { restored: `${id}_restored`, before: `${id}_before_restore` },
  };
}

async function restore(work: RestoringAt): Promise<void> {
  const { moment, space, places, locks } = work;
  const { bucket } = space.document.s3 ?? {};
  const file = `${places.run}/scratch-postgres.lock`;
  const scratch = await lock(file, 3600);
  if (scratch === undefined) throw failure(work, `something else has restored for an hour: fuser -v ${file}`);
  locks.scratch = scratch;
  await endingWith(
    async () => {
      // Before anything changes.
      if (bucket !== undefined) await checkVersions(work);
      work.steps?.begin("database of the moment");
      say(work, `the database at ${moment}, from the backups`);
      const version = await dumpOfMoment(work);
      work.steps?.begin("loading");
      say(work, "loading it beside the one in use");
      await putBack(work, version, await loadBeside(work));
    },
    () => stopScratch(work),
    (error) => {
      sayError(namingStep(work, error));
    },
  );
}

/** Visitors wait outside while the database and the files are from different moments. */
async function putBack(work: RestoringAt, version: string, fingerprint: string): Promise<void> {
  const { source, moment, space, databases, directory, begun } = work;
  const { bucket } = space.document.s3 ?? {};
  if (begun === "no") await record(work, false);
  work.steps?.begin("closing");
  await closeSpace(work);
  work.steps?.begin("database");
  say(work, "its database changes places");
  await changePlaces(work, version, fingerprint);
  if (bucket !== undefined) {
    work.steps?.begin("files");
    say(work, "its files");
    await restoreFilesOfMoment(work, bucket);
  }
  work.steps?.begin("opening");
  await checkServing(work, version);
  await openSpace(work);
  rmSync(`${work.places.restoringAt}/${space.id}`, { force: true });
  const [then, { release }] = [releaseOfVersion(version), space.document];
  if (then !== release)
    say(
      work,
      `is on ${then}, as it was then. To upgrade it to ${release} again: jq -c 'del(.version) | .release = "${release}"' ${directory.path}/config/space.json | converge-space`,
    );
  say(
    work,
    `is as ${source} was at ${moment}. What was there before is kept: to drop it, psql service=framaspace -c 'DROP DATABASE "${databases.before}"'`,
  );
}

/** A web server without the release of that moment answers 503. A suspended space answers nobody anyway. */
async function checkServing(work: RestoringAt, version: string): Promise<void> {
  if (work.space.document.state !== "active") return;
  const release = releaseOfVersion(version);
  await distribute(work);
  const wrong = await askPages(work, 200, [BEHIND]);
  const [first] = wrong.filter(({ answer }) => answer !== "unreachable" && answer !== "000");
  if (first)
    throw failure(
      work,
      `its data is as it was at ${work.moment}, on ${release}, and stays closed: ${first.web} answers ${first.answer}. Is release ${release} there (ssh ${first.web} ls /srv/releases)? Add ${release} to spaces/catalog.yaml (state: leaving), run up for the platform, then this again`,
    );
}
