// Whether an export holds what the space does. What does not verify gets no manifest, and so is no export.
import { writeFileSync } from "node:fs";
import { checksumOf } from "../archive.ts";
import { linesOf, needRoom } from "../files.ts";
import { bucketOf, objectsOf, type StoredObject } from "../object-storage.ts";
import { run } from "../../../../infra/machine/programs/run-command.ts";
import { CommandError } from "../../../../infra/machine/programs/program-error.ts";
import {
  administrate,
  administrateIn,
  ADMINISTRATOR,
  COUNT_ROWS,
  countRows,
  dumpToRestore,
  hasTable,
  sql,
  writeRows,
} from "../space-database.ts";
import { failure, held } from "../space-work.ts";
import { STORAGES } from "../storage-queries.ts";
import { exportedObjects, isHeld } from "./parts.ts";
import type { ExportedObject, Exporting } from "./exporting.ts";

/** What was there at the moment of the dump. */
export interface Moment {
  /** "table rows" of each table. */
  rows: readonly string[];
  bucket: ReadonlyMap<string, StoredObject>;
}

/** Dumps the database to database.dump, and writes to files.tsv which files Nextcloud knows. */
export async function dump(work: Exporting): Promise<Moment> {
  const size = await sql(work, ["-c", "SELECT pg_database_size(current_database())"]);
  if (size.status !== 0) throw new CommandError("psql", size.status);
  needRoom(work, Number(size.output));
  if (!(await dumpToRestore(work, `${work.here}/database.dump`)))
    throw failure(
      work,
      "could not dump the database; look at the primary (psql service=framaspace), then run it again",
    );
  const rows = await countRows(work);
  if (!rows) throw new CommandError("psql", 1);
  await listFiles(work);
  return { rows, bucket: await objectsOf(work) };
}

/** The files, not directories, that Nextcloud knows: fileid, size, storage, path, time. Escaped as by COPY. */
async function listFiles(work: Exporting): Promise<void> {
  const file = `${work.here}/files.tsv`;
  if (!(await hasTable(work, "oc_filecache"))) writeFileSync(file, "");
  else
    await writeRows(
      work,
      `COPY (
    SELECT f.fileid, f.size, s.id, f.path, f.mtime FROM oc_filecache f
      JOIN ${STORAGES} s ON s.numeric_id = f.storage JOIN oc_mimetypes m ON m.id = f.mimetype
     WHERE m.mimetype <> 'httpd/unix-directory' ORDER BY f.fileid) TO STDOUT`,
      file,
    );
}

/** Loads the dump into a database of its own and counts again: only a dump that can be restored is good. */
export async function verifyDatabase(work: Exporting, { rows }: Moment): Promise<void> {
  const trial = `${work.space.id}.verify`;
  const drop = `DROP DATABASE IF EXISTS "${trial}" WITH (FORCE)`;
  const make = `CREATE DATABASE "${trial}" TEMPLATE template0`;
  const words = ["-c", drop, "-c", make];
  if ((await administrateIn(work, "postgres", words, { errors: "ignore" })).status !== 0)
    throw failure(
      work,
      "could not make a database to try the dump in; look at the primary (psql service=framaspace), then run it again",
    );
  const how = ["--no-owner", "--no-privileges", "--single-transaction"];
  const load = await run(
    `${work.places.postgresql}/pg_restore`,
    [...how, "-d", `service=framaspace dbname=${trial}`, `${work.here}/database.dump`],
    { ...held(work), ...ADMINISTRATOR, errors: "with-output" },
  );
  if (load.status !== 0)
    throw failure(
      work,
      `the dump cannot be restored: ${load.output.split("\n")[0]}. Nothing was dropped; look at the primary's log, then run it again`,
    );
  const counted = await administrateIn(work, trial, ["-F", " ", "-f", "-"], { input: COUNT_ROWS });
  if (counted.status !== 0) throw new CommandError("psql", counted.status);
  const dropped = await administrate(work, `DROP DATABASE "${trial}" WITH (FORCE)`);
  if (dropped.status !== 0) throw new CommandError("psql", dropped.status);
  const different = firstDifference(rows, counted.output.split("\n").filter(Boolean));
  if (different !== undefined)
    throw failure(
      work,
      `the dump does not hold what the database does: ${different}. Nothing was dropped; run it again`,
    );
}

/** The first line that only one list has: `< line` or `> line`, as diff says. Undefined if they are the same. */
export function firstDifference(one: readonly string[], other: readonly string[]): string | undefined {
  const index = one.findIndex((line, at) => line !== other[at]);
  if (index === -1) return other.length > one.length ? `> ${other[one.length]}` : undefined;
  const line = one[index] ?? "";
  return other.includes(line) ? `> ${other[index]}` : `< ${line}`;
}

/**
 * Checks that each file that Nextcloud knows is in the export, with the size that Nextcloud knows. Resolves to the
 * objects of the export: what is gone from the bucket is no part of the space any more.
 */
export async function verifyFiles(work: Exporting, { bucket }: Moment): Promise<VerifiedFiles> {
  const exported = await exportedObjects(work);
  const objects = new Map([...exported].filter(([key]) => bucket.has(key)));
  const missing = [...bucket.values()].filter((object) => !isHeld(exported, object)).length;
  if (missing > 0)
    throw failure(
      work,
      `${missing} objects of ${bucketOf(work)} could not be copied as they are now. Nothing was dropped; run it again`,
    );
  let files = 0;
  let wrong = 0;
  let first = "";
  for await (const line of linesOf(`${work.here}/files.tsv`)) {
    files += 1;
    const problem = problemOf(line, objects);
    if (problem === undefined) continue;
    wrong += 1;
    first ||= problem;
  }
  if (wrong > 0)
    throw failure(
      work,
      `the export does not verify: of ${files} files, ${wrong} are not there as the database has them, first: ${first}. Nothing was dropped, and the export does not count. Bring the object back (mc ls --versions serving/${bucketOf(work) ?? ""}/KEY), or have its file deleted in the space, then run it again`,
    );
  return { files, objects };
}

export interface VerifiedFiles {
  /** How many files Nextcloud knows. */
  files: number;
  objects: ReadonlyMap<string, ExportedObject>;
}

/** What is wrong with a file that Nextcloud knows: a line of files.tsv. */
function problemOf(line: string, objects: ReadonlyMap<string, ExportedObject>): string | undefined {
  const [id = "", size = "", storage = "", path = ""] = line.split("\t");
  // An upload that somebody has begun: Nextcloud records it before it is in the bucket, and drops it a day later.
  if (storage.startsWith("object::user:") && path.startsWith("uploads/")) return undefined;
  if (storage.startsWith("object::")) {
    const key = `urn:oid:${id}`;
    const object = objects.get(key);
    if (!object) return `${key} (${path}) is not in the bucket`;
    return object.size === Number(size)
      ? undefined
      : `${key} (${path}) has ${object.size} bytes in the bucket, and ${size} in the database`;
  }
  // Caches and previews (appdata_) do not count: Nextcloud makes them again.
  return /^(home|local)::/.test(storage) && !path.startsWith("appdata_")
    ? `${path} is on a web server (${storage}), and not in object storage`
    : undefined;
}

/** Reads back everything that is in the archive now, and compares the checksum of every file. */
export async function verifyArchive(work: Exporting, sums: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, sum] of Object.entries(sums)) {
    const found = await checksumOf(work.archive, `${work.name}/${name}`).catch(() => undefined);
    if (found !== sum) throw failure(work, `${name} of the archive is not what was written; run it again`);
  }
}
