// export-space ID [--locked]: writes a whole space into the archive: its database, its files, its settings without the
// keys to this platform, and a manifest with counts and checksums. Then it compares what it wrote with the space's
// database. Prints the export as one line of JSON. The space is out of service for the seconds of the database's dump; a
// suspended or archived one already is. If it is killed, the next run goes on where it was, and opens the space again.
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { archiveOf, finishedExports } from "../archive.ts";
import { closeSpace, openDatabase, openSpace, shutDatabase, waitForCron } from "../close-space.ts";
import { refuseCutOff } from "../cut-off.ts";
import type { Places } from "../places.ts";
import { sayError, type Result } from "../../../../infra/machine/programs/program.ts";
import { namingStep } from "../space-error.ts";
import { sql } from "../space-database.ts";
import { beginOn, beginStep, failure, lockUnless, loggingSteps, type SpaceWork } from "../space-work.ts";
import { endingWith } from "../../../../infra/machine/programs/stop-signals.ts";
import type { Exporting } from "./exporting.ts";
import { writeManifest, type Manifest } from "./manifest.ts";
import { copyObjects, fetchLists } from "./parts.ts";
import { dump, verifyArchive, verifyDatabase, verifyFiles, type Moment } from "./verification.ts";
import { readIfThere } from "../../../../infra/machine/programs/texts.ts";

/**
 * Runs the program. Resolves to what it prints.
 * @param argv The words of its command line.
 */
export async function exportSpace(
  places: Places,
  argv: readonly string[],
  patienceSeconds = 30,
): Promise<Result> {
  const call = { program: "export-space ID", next: ` (ls ${places.spaces})` };
  const work = beginOn(places, call, argv, patienceSeconds);
  return loggingSteps(work, "export", async () => {
    try {
      await lockUnless(work, argv);
      beginStep(work, "export");
      refuseCutOff(work);
      return { output: await write(begin(work)), status: 0 };
    } catch (error) {
      throw namingStep(work, error);
    }
  });
}

/** Goes on with the folder of the archive that a killed run had begun, or begins a new one. */
function begin(work: SpaceWork): Exporting {
  const { places, space } = work;
  mkdirSync(places.exports, { recursive: true });
  const folder = `${places.work}/${space.id}`;
  mkdirSync(folder, { recursive: true });
  const mark = `${folder}/exporting`;
  let time = readIfThere(mark)?.trim() ?? "";
  if (time === "") {
    time = `${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
    writeFileSync(`${mark}.new`, `${time}\n`);
    renameSync(`${mark}.new`, mark);
  }
  const here = `${folder}/${time}`;
  mkdirSync(here, { recursive: true });
  // The same object: its step is read where the program fails.
  return Object.assign(work, { archive: archiveOf(work), name: `${space.id}/${time}`, here });
}

async function write(work: Exporting): Promise<string> {
  const { space } = work;
  beginStep(work, "files");
  await fetchLists(work);
  await copyObjects(work);
  beginStep(work, "database");
  await refuseHalfUpgraded(work);
  const moment = await takeClosed(work);
  beginStep(work, "verification");
  await verifyDatabase(work, moment);
  const verified = await verifyFiles(work, moment);
  beginStep(work, "manifest");
  const manifest = await writeManifest(work, moment, verified);
  await verifyArchive(work, manifest.sha256);
  const said = record(work, manifest);
  rmSync(`${work.places.work}/${space.id}`, { recursive: true, force: true });
  await removeUnfinished(work);
  return said;
}

/** Dumps the database, and copies what changed meanwhile, while nobody writes to the space. */
async function takeClosed(work: Exporting): Promise<Moment> {
  let closed = false;
  const take = async () => {
    if (work.space.document.state === "active") {
      beginStep(work, "closing");
      closed = true;
      await closeSpace(work);
    } else {
      // An upload from before visitors were shut out may still be under way.
      await waitForCron(work);
      await shutDatabase(work);
    }
    beginStep(work, "files again");
    await copyObjects(work);
    beginStep(work, "database");
    return dump(work);
  };
  return endingWith(
    take,
    () => (closed ? openSpace(work) : openDatabase(work)),
    (error) => {
      sayError(namingStep(work, error));
    },
  );
}

/** A database that is half upgraded belongs to neither release. */
async function refuseHalfUpgraded(work: SpaceWork): Promise<void> {
  const { status, output } = await sql(work, ["-f", "-"], UPGRADE_BEGUN);
  if (status !== 0)
    throw failure(
      work,
      "its role cannot use its database; look at the primary (psql service=framaspace), then run it again",
    );
  if (output.trim() !== "")
    throw failure(
      work,
      "an upgrade of it was cut off. Run up for its stack, with state: active or suspended, which undoes the upgrade and begins again; then run this again",
    );
}

const UPGRADE_BEGUN = String.raw`SELECT to_regclass('public.framaspace') IS NOT NULL AS ours \gset
\if :ours
SELECT 'found' FROM framaspace WHERE key = 'upgrade';
\endif
`;

/** Writes down which export is the space's last one. Returns the line. */
function record({ places, space, archive }: Exporting, manifest: Manifest): string {
  const { id, export: name, at, release, files, objects, bytes, rows } = manifest;
  const tables = Object.keys(rows).length;
  const line = `${JSON.stringify({ id, export: name, at, release, files, objects, bytes, tables, where: archive.where })}\n`;
  const fresh = `${places.exports}/.new.${space.id}`;
  writeFileSync(fresh, line);
  renameSync(fresh, `${places.exports}/${space.id}`);
  return line;
}

/** Removes folders that other runs began and nobody will finish. */
async function removeUnfinished({ archive, space }: Exporting): Promise<void> {
  const files = await archive.list(space.id);
  const finished = await finishedExports(archive, space.id);
  for (const folder of new Set(files.map(({ name }) => name.split("/")[0] ?? "")))
    if (!finished.includes(folder)) await archive.remove(`${space.id}/${folder}`);
}
