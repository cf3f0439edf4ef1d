// The database of a moment, from the backups: a scratch PostgreSQL on ops-1 recovers it
// (infra/postgres/rootfs-backups/usr/local/lib/framaspace/scratch-postgres.sh).
import { existsSync, readFileSync } from "node:fs";
import { read, run, succeeds, type Ended } from "../../../../infra/machine/programs/run-command.ts";
import { releaseOfVersion } from "../restore/follow-database.ts";
import { failure, held, type SpaceWork } from "../space-work.ts";
import type { RestoringAt } from "./restoring-at.ts";

/** Where the dump of the moment is kept until it is in use. */
export const dumpOf = ({ places, space }: SpaceWork) => `${places.postgresHome}/restore-${space.id}.dump`;

/** Runs a line of bash with the functions of scratch-postgres.sh. It gets the words as "$1" and so on. */
function inScratch(work: SpaceWork, line: string, words: readonly string[], input?: string): Promise<Ended> {
  const library = `${work.places.library}/scratch-postgres.sh`;
  return run("/bin/bash", ["-euo", "pipefail", "-c", `. "$0"; ${line}`, library, ...words], {
    ...held(work),
    ...(input !== undefined && { input }),
  });
}

/** Ends the scratch PostgreSQL, and removes it. */
export const stopScratch = async (work: SpaceWork): Promise<void> => {
  await inScratch(work, "scratch_stop", []);
};

/** Dumps the database as it was at that moment. Resolves to the version of Nextcloud that it was on. */
export async function dumpOfMoment(work: RestoringAt): Promise<string> {
  const { source, moment } = work;
  await archiveLastWrites(work);
  const target = [
    `--db-include=${source}`,
    "--type=time",
    `--target=${moment}+00`,
    "--target-action=promote",
  ];
  if ((await inScratch(work, 'scratch_start "$@" || exit 1', target)).status !== 0)
    throw failure(
      work,
      `its database of ${moment} can't be restored. Nothing was changed. postgres-backups list shows from when on there are backups.`,
    );
  // A database that was created after the backup comes from the WAL archive alone, without --db-include.
  const count = `SELECT count(*) FROM pg_database WHERE datname = '${source}'`;
  const there = await inScratch(work, 'scratch_psql -d postgres -c "$1"', [count]);
  if (there.output.trim() !== "1")
    throw failure(work, `there was no database ${source} at ${moment}. Nothing was changed.`);
  const version = await versionOfMoment(work);
  const line = 'as_postgres "$PGBIN/pg_dump" -h "$CLUSTER" -Fc --no-owner --no-acl "$1" >"$2"';
  if ((await inScratch(work, line, [source, dumpOf(work)])).status !== 0)
    throw failure(work, "the restored database can't be read. Nothing was changed.");
  await stopScratch(work);
  return version;
}

/**
 * The WAL archive must hold that moment and something after it. Else recovery could not know that it got there.
 */
async function archiveLastWrites(work: SpaceWork): Promise<void> {
  const { primary } = JSON.parse(readFileSync(work.places.postgresNodes, "utf8")) as { primary: string };
  // ssh may leave a process behind, which must hold neither the locks nor the output.
  const words = ["ssh", "-F", "/etc/framaspace/postgres/ssh_config", primary, "archive"];
  if (!(await succeeds("/bin/sh", ["-c", 'exec "$@" >/dev/null', "sh", ...words])))
    throw failure(work, `what ${primary} wrote last is not in the archive; postgres-cluster status`);
}

/** The space comes back on the release that it was on. Throws SpaceError if it cannot. */
async function versionOfMoment(work: RestoringAt): Promise<string> {
  const { source, moment, places } = work;
  const facts = await inScratch(work, `scratch_psql -d "$1" -F ' ' -f -`, [source], FACTS);
  if (facts.status !== 0) throw failure(work, "the restored database can't be read. Nothing was changed.");
  const version = /^version (.*)$/m.exec(facts.output)?.[1] ?? "";
  if (version === "")
    throw failure(work, `${source} was not installed yet at ${moment}. Nothing was changed.`);
  if (facts.output.includes("upgrade"))
    throw failure(
      work,
      `${source} was being upgraded at ${moment}; take a moment before or after. Nothing was changed.`,
    );
  const release = releaseOfVersion(version);
  if (!existsSync(`${places.releases}/${release}/index.php`))
    throw failure(
      work,
      `at ${moment} it was on ${release}, which is not on this machine. Nothing was changed. Add ${release} to spaces/catalog.yaml (state: leaving), run up for the platform, then run this again`,
    );
  return version;
}

const FACTS = String.raw`SELECT to_regclass('public.framaspace') IS NOT NULL AS ours \gset
\if :ours
SELECT key, value FROM framaspace WHERE key IN ('version', 'upgrade');
\endif
`;

/** What people typed as a time, in the program's own form. Undefined if it is none. */
export async function momentOf(word: string): Promise<string | undefined> {
  const { status, output } = await run("date", ["-d", word, "+%F %T"]);
  return status === 0 ? output.trim() : undefined;
}

/** Throws SpaceError if the bucket does not have the files of that moment, too. */
export async function checkVersions(work: RestoringAt): Promise<void> {
  const { from } = work;
  const text = await read("mc", ["--json", "version", "info", `serving/${from}`], held(work)).catch(
    () => "{}",
  );
  const { versioning } = JSON.parse(text) as { versioning?: { status?: string } };
  if (versioning?.status !== "Enabled")
    throw failure(work, `bucket ${from} keeps no versions, so its files can't go back. Nothing was changed.`);
}
