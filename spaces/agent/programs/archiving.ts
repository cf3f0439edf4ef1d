// archive-space ID [--locked]: does the next step for an archived space. The first is a verified export, made after
// visitors were shut out. The second, archive.graceDays later, empties the database and the bucket. Prints how far it is
// as one line of JSON.
//   archive-space --all      every archived space, and exports that were begun and not finished: a timer runs this
// If it is killed, the next run finishes. It drops nothing without an export that is complete at that moment.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { archiveOf, finishedExports, readText } from "./archive.ts";
import { refuseCutOff } from "./cut-off.ts";
import type { Manifest } from "./export/manifest.ts";
import { writeWhole } from "../../../infra/machine/programs/whole-file.ts";
import { destroyBucket } from "./object-storage.ts";
import type { Places } from "./places.ts";
import type { Result } from "../../../infra/machine/programs/program.ts";
import { run } from "../../../infra/machine/programs/run-command.ts";
import { AlreadySaid } from "../../../infra/machine/programs/program-error.ts";
import { namingStep } from "./space-error.ts";
import { countRows, emptyDatabase } from "./space-database.ts";
import { beginOn, beginStep, failure, held, lockUnless, loggingSteps, type SpaceWork } from "./space-work.ts";
import { readIfThere } from "../../../infra/machine/programs/texts.ts";

/** How far the archiving of a space is. The values are times, but `export`, which names the export. */
type ArchiveRecord = Partial<
  Record<"since" | "exported" | "export" | "due" | "dropping" | "dropped", string>
>;

/**
 * Runs the program. Resolves to what it prints.
 * @param argv The words of its command line.
 */
export async function archiveSpace(
  places: Places,
  argv: readonly string[],
  patienceSeconds = 30,
): Promise<Result> {
  if (argv[0] === "--all") return archiveAll(places);
  const call = { program: "archive-space ID", next: ` (ls ${places.spaces})` };
  const work = beginOn(places, call, argv, patienceSeconds);
  return loggingSteps(work, "archive", async () => {
    try {
      await lockUnless(work, argv);
      beginStep(work, "archive");
      const { state } = work.space.document;
      if (state !== "archived") throw failure(work, `its state is ${state}`);
      refuseCutOff(work);
      return { output: await archive(work), status: 0 };
    } catch (error) {
      throw namingStep(work, error);
    }
  });
}

/** Each has its turn. The ones that fail say why themselves. */
async function archiveAll(places: Places): Promise<Result> {
  const having = (folder: string, file: string) =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter((id) => existsSync(`${folder}/${id}/${file}`))
          .sort()
      : [];
  const failures = async (program: string, ids: readonly string[]) => {
    let failed = 0;
    for (const id of ids) if ((await run(program, [id])).status !== 0) failed += 1;
    return failed;
  };
  const archived = await failures("archive-space", having(places.spaces, "archived"));
  // If an export was killed, its space may still be shut.
  const exported = await failures("export-space", having(places.work, "exporting"));
  return { output: "", status: archived + exported > 0 ? 1 : 0 };
}

async function archive(work: SpaceWork): Promise<string> {
  if (!known(work).since) await record(work, { since: now() });
  const { dropped, export: name } = known(work);
  if (!dropped && !name) await exportOnce(work);
  const days = work.space.document.archive?.graceDays;
  if (!Number.isInteger(days)) throw failure(work, "space.json says no archive.graceDays; run up again");
  const due = timeAt(Date.parse(known(work).exported ?? now()) + (days ?? 0) * 86_400_000);
  if (!known(work).dropped && now() >= due) await dropData(work);
  if (!known(work).dropped && known(work).due !== due) await record(work, { due });
  return readFileSync(recordOf(work), "utf8");
}

async function exportOnce(work: SpaceWork): Promise<void> {
  const { places, space } = work;
  // Another ops-1 may have dropped the data already. An export of nothing must not become the last one.
  const rows = await countRows(work);
  if (!rows)
    throw failure(
      work,
      "its role cannot use its database; look at the primary (psql service=framaspace), then run it again",
    );
  const last = (await finishedExports(archiveOf(work), space.id)).at(-1);
  if (rows.length === 0 && last !== undefined) {
    const at = now();
    await record(work, { dropping: at, dropped: at, exported: at, export: `${space.id}/${last}` });
    return;
  }
  const { status } = await run("export-space", [space.id, "--locked"], held(work));
  if (status !== 0) throw new AlreadySaid();
  const exported = JSON.parse(readFileSync(`${places.exports}/${space.id}`, "utf8")) as { export: string };
  await record(work, { exported: now(), export: exported.export });
}

async function dropData(work: SpaceWork): Promise<void> {
  const { places, space } = work;
  const name = known(work).export ?? "";
  if (!(await isStillWhole(work, name)))
    throw failure(
      work,
      `its export ${name} is not whole in the archive any more, so nothing was dropped; remove ${recordOf(work)} to have it exported again`,
    );
  await record(work, { dropping: now() });
  await destroyBucket(work);
  if (!(await emptyDatabase(work)))
    throw failure(
      work,
      "could not empty its database; look at the primary (psql service=framaspace), then run it again",
    );
  if (existsSync(places.kept))
    for (const kept of readdirSync(places.kept))
      if (kept === space.id || kept.startsWith(`${space.id}.`))
        rmSync(`${places.kept}/${kept}`, { recursive: true, force: true });
  await record(work, { dropped: now() });
}

/**
 * Whether every file of the export is there and, but for the two lists, not empty. export-space read all of them back
 * when it wrote them.
 */
async function isStillWhole(work: SpaceWork, name: string): Promise<boolean> {
  const there = archiveOf(work);
  const sizes = new Map((await there.list(name)).map((file) => [file.name, file.size]));
  const text = await readText(there, `${name}/manifest.json`).catch(() => undefined);
  if (text === undefined) return false;
  const { sha256 } = JSON.parse(text) as Manifest;
  return Object.keys(sha256).every((file) => {
    const size = sizes.get(file);
    return size !== undefined && (size > 0 || file === "files.tsv" || file === "objects.tsv");
  });
}

const recordOf = ({ places, space }: SpaceWork) => `${places.archivedRecords}/${space.id}`;
const known = (work: SpaceWork) => JSON.parse(readIfThere(recordOf(work)) ?? "{}") as ArchiveRecord;

/** Writes down facts about the space's archiving. They are on disk then. */
async function record(work: SpaceWork, facts: ArchiveRecord): Promise<void> {
  await writeWhole(recordOf(work), [`${JSON.stringify({ ...known(work), ...facts })}\n`]);
}

const now = () => timeAt(Date.now());
/** Times are compared as texts: `2026-11-01T00:00:00Z`. */
const timeAt = (milliseconds: number) => `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
