// remove-space ID: forgets a space whose entry is gone: its directory here and on the web servers, its user in Redis.
// The engine calls it before it destroys database and bucket, so it is the last that can refuse: without a verified
// export it fails, and nothing is destroyed, unless the space is empty. Exports stay in the archive until they expire.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { archiveOf, finishedExports } from "./archive.ts";
import { refuseCutOff } from "./cut-off.ts";
import { webServersOf } from "./distribute-spaces.ts";
import { hasStorage, isEmpty } from "./object-storage.ts";
import type { Places } from "./places.ts";
import type { Result } from "../../../infra/machine/programs/program.ts";
import { isId, readSpace } from "./read-space.ts";
import { removeRedisUser } from "./redis-users.ts";
import { succeeds } from "../../../infra/machine/programs/run-command.ts";
import { UsageError } from "../../../infra/machine/programs/program-error.ts";
import { namingStep } from "./space-error.ts";
import { administrateIn } from "./space-database.ts";
import { failure, heldButSpace, lockSpace, loggingSteps, say, type NamedWork } from "./space-work.ts";
import { forgetWanted } from "./wanted-records.ts";
import { readIfThere } from "../../../infra/machine/programs/texts.ts";

/**
 * Runs the program. It prints nothing.
 * @param argv The words of its command line.
 */
export async function removeSpace(places: Places, [id]: readonly string[]): Promise<Result> {
  if (!isId(id)) throw new UsageError("remove-space ID");
  const work: NamedWork = { places, space: { id }, locks: {}, step: "removal" };
  return loggingSteps(work, "remove", async () => {
    try {
      work.locks.space = await lockSpace(places, { id, step: work.step });
      await remove(work);
      return { output: "", status: 0 };
    } catch (error) {
      throw namingStep(work, error);
    }
  });
}

const directoryOf = ({ places, space }: NamedWork) => `${places.spaces}/${space.id}`;

async function remove(work: NamedWork): Promise<void> {
  const { places, space } = work;
  const directory = directoryOf(work);
  // The space never converged, or an earlier run has removed it, or this machine is new and has not got it back yet.
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    if (!existsSync(`${places.removed}/${space.id}`) && (await holdsSpace(work)))
      throw failure(
        work,
        `its directory is not on ops-1, but its database holds a space: nothing says that it is archived, so it stays. Put its entry back and run up; on ops-1, \`converge-space --again ${space.id}\` says what is wrong`,
      );
    await forgetWanted(places, space.id);
    return;
  }
  if (!existsSync(`${directory}/archived`))
    throw failure(
      work,
      `it is not archived, so it stays. Put its entry back; to give the space up: npm run space -- suspend ${space.id} --reason …, then archive, then remove`,
    );
  await checkExport(work);
  refuseCutOff(work);
  // Forget it before its directory goes: else finish-spaces would make it again.
  await forgetWanted(places, space.id);
  await removeRedisUser(places, space.id);
  await removeCopies(work);
  // If the engine is cut off before it destroys the database, it runs this again.
  mkdirSync(places.removed, { recursive: true });
  writeFileSync(`${places.removed}/${space.id}`, "");
  for (const folder of [places.undistributed, places.archivedRecords, places.exports, places.kept])
    rmSync(`${folder}/${space.id}`, { recursive: true, force: true });
  // Last, and at once: half a directory would not say any more that the space was archived.
  const rest = `${places.spaces}/.new.${space.id}`;
  rmSync(rest, { recursive: true, force: true });
  renameSync(directory, rest);
  rmSync(rest, { recursive: true, force: true });
}

/** Whether the database is a space's. A database that is not there is none. */
async function holdsSpace(work: NamedWork): Promise<boolean> {
  const statement = "SELECT to_regclass('public.framaspace') IS NOT NULL";
  const { output } = await administrateIn(work, work.space.id, ["-c", statement], { errors: "ignore" });
  return output.trim() === "t";
}

/** Throws SpaceError if the archive has no export of the space, unless nothing is left to export. */
async function checkExport(work: NamedWork): Promise<void> {
  if ((await finishedExports(archiveOf(work), work.space.id)).length > 0) return;
  if (!(await isEmptySpace(work)))
    throw failure(
      work,
      "it has no verified export, so its data stays. Put its entry back with state: archived and run up, which exports it; then remove the entry",
    );
  say(
    work,
    "its database and its bucket are empty, and the archive has no export of it any more: nothing is left of it, and nothing can be restored",
  );
}

/**
 * Whether database and bucket hold nothing, old versions included, as archive-space leaves them. The export that it made
 * before has expired, long after.
 */
async function isEmptySpace(work: NamedWork): Promise<boolean> {
  const text = readIfThere(`${directoryOf(work)}/config/space.json`);
  if (text === undefined) return false;
  const bucket = readSpace(work.places, text).document.s3?.bucket;
  const statement = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
  const { status, output } = await administrateIn(work, work.space.id, ["-c", statement]);
  if (status !== 0 || output.trim() !== "0") return false;
  return bucket === undefined || !hasStorage(work) || (await isEmpty(work, bucket, "--versions"));
}

/** Removes the copies of the web servers. One that does not answer keeps its copy, which answers 410. */
async function removeCopies(work: NamedWork): Promise<void> {
  const { id } = work.space;
  const nothing = mkdtempSync(join(tmpdir(), "remove-space-"));
  // R lets rsync delete a whole space, which distribute-spaces never does.
  const filters = [`R /${id}`, "P /*", `+ /${id}/***`, "- *"].map((filter) => `--filter=${filter}`);
  const words = ["--recursive", "--delete", "--timeout=60", `--rsh=ssh -F ${work.places.distributeSsh}`];
  try {
    for (const web of webServersOf(work.places))
      if (
        !(await succeeds("rsync", [...words, ...filters, `${nothing}/`, `root@${web}:`], heldButSpace(work)))
      )
        say(work, `${web} keeps its copy, which answers 410 (ssh ${web} rm -r /srv/spaces/${id})`);
  } finally {
    rmSync(nothing, { recursive: true });
  }
}
