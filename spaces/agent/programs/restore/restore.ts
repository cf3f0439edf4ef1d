// restore-space ID [EXPORT]: replaces what the space ID holds by an export (default: its own last one), and prints the
// result as one line of JSON. EXPORT is "<id>/<time>", or an id for its last export, so that an export of one space can
// become another space. The space must be suspended or archived, and nobody may have used it. If this is killed, the
// next run finishes what it began. No half of an export is ever in service.
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { archiveOf, finishedExports, readText, type Archive } from "../archive.ts";
import { openDatabase, shutDatabase, waitForCron } from "../close-space.ts";
import { refuseCutOff } from "../cut-off.ts";
import type { ExportedObject } from "../export/exporting.ts";
import type { Manifest } from "../export/manifest.ts";
import { firstDifference } from "../export/verification.ts";
import { writeWhole } from "../../../../infra/machine/programs/whole-file.ts";
import { bucketOf, objectsOf } from "../object-storage.ts";
import type { Places } from "../places.ts";
import { sayError, type Result } from "../../../../infra/machine/programs/program.ts";
import { CommandError } from "../../../../infra/machine/programs/program-error.ts";
import { namingStep } from "../space-error.ts";
import { countRows, hasTable, sql } from "../space-database.ts";
import { beginOn, beginStep, failure, lockSpace, loggingSteps, type SpaceWork } from "../space-work.ts";
import { endingWith } from "../../../../infra/machine/programs/stop-signals.ts";
import { distribute, isUndistributed } from "../web-servers.ts";
import { followDatabase, NEW_FINGERPRINT } from "./follow-database.ts";
import { restoreDatabase } from "./restored-database.ts";
import { restoreFiles } from "./restored-files.ts";
import { fetchPart, type Restoring } from "./restoring.ts";
import { parseJson, readIfThere } from "../../../../infra/machine/programs/texts.ts";

/** Where the export that is being restored is written down. */
const markOf = ({ places, space }: SpaceWork) => `${places.restoring}/${space.id}`;

/**
 * Runs the program. Resolves to what it prints.
 * @param argv The words of its command line.
 */
export async function restoreSpace(
  places: Places,
  argv: readonly string[],
  patienceSeconds = 30,
): Promise<Result> {
  const next = "; add its entry with state: suspended and run up, then run it again";
  const work = beginOn(places, { program: "restore-space ID [EXPORT]", next }, argv, patienceSeconds);
  return loggingSteps(work, "restore", async () => {
    try {
      work.locks.space = await lockSpace(places, { id: work.space.id, step: work.step });
      beginStep(work, "export");
      refuseCutOff(work, "restore-space");
      const archive = archiveOf(work);
      const chosen = await choose(work, archive, argv[1] ?? "");
      return { output: await restore(await open(work, archive, chosen)), status: 0 };
    } catch (error) {
      throw namingStep(work, error);
    }
  });
}

/** Resolves to the name of the export. Throws SpaceError if another one is half restored. */
async function choose(work: SpaceWork, archive: Archive, word: string): Promise<string> {
  const { id } = work.space;
  const begun = readIfThere(markOf(work))?.trim() ?? "";
  let wanted = word || begun || id;
  if (!/^[a-z][a-z0-9-]{2,31}(\/[0-9]{8}T[0-9]{6}Z)?$/.test(wanted))
    throw failure(
      work,
      `"${wanted}" names no export; write an id, or <id>/<time> as export-space printed it`,
    );
  if (!wanted.includes("/")) {
    const last = (await finishedExports(archive, wanted)).at(-1);
    if (last === undefined) throw failure(work, `there is no export of "${wanted}" in the archive`);
    wanted = `${wanted}/${last}`;
  }
  if (begun !== "" && begun !== wanted)
    throw failure(
      work,
      `${begun} is half restored onto it. Finish it: restore-space ${id} ${begun}; then run this again`,
    );
  return wanted;
}

/** Reads the manifest. Throws SpaceError if the export cannot become this space. */
async function open(work: SpaceWork, archive: Archive, name: string): Promise<Restoring> {
  const { places, space } = work;
  const done = `${places.work}/${space.id}`;
  const here = `${done}/restore`;
  rmSync(here, { recursive: true, force: true });
  mkdirSync(here, { recursive: true });
  const text = await readText(archive, `${name}/manifest.json`).catch(() => undefined);
  const manifest = parseJson<Manifest>(text ?? "");
  if (!manifest) throw failure(work, `the archive has no export "${name}" (its manifest cannot be read)`);
  if (manifest.format !== 1)
    throw failure(work, `the manifest of ${name} is of a format that this program does not know`);
  if (!existsSync(`${places.releases}/${manifest.release}/index.php`))
    throw failure(
      work,
      `${name} is of release ${manifest.release}, which is not on this machine; add it to spaces/catalog.yaml (state: leaving), run up for the platform, then run it again`,
    );
  if (manifest.objects > 0 && bucketOf(work) === undefined)
    throw failure(
      work,
      `${name} holds ${manifest.objects} files, and this environment has no object storage to put them in`,
    );
  return Object.assign(work, { archive, manifest, name, here, done });
}

async function restore(work: Restoring): Promise<string> {
  beginStep(work, "target");
  await refuseLiving(work);
  await waitForCron(work);
  await endingWith(
    () => replace(work),
    // If a restore was begun, the database stays shut until it is finished.
    () => (existsSync(markOf(work)) ? Promise.resolve() : openDatabase(work)),
    (error) => {
      sayError(namingStep(work, error));
    },
  );
  rmSync(work.done, { recursive: true, force: true });
  const { name, manifest, space } = work;
  const { release, objects, bytes } = manifest;
  const { state } = space.document;
  const next = "in its entry, write state: active; then run up";
  return `${JSON.stringify({ id: space.id, restored: name, release, objects, bytes, state, next })}\n`;
}

async function replace(work: Restoring): Promise<void> {
  const { places, space, name, here } = work;
  await shutDatabase(work);
  // A request that was under way when visitors were shut out may have used the space.
  await refuseLiving(work);
  await fetchPart(work, "database.dump", `${here}/database.dump`);
  await markBegun(work, name);
  beginStep(work, "files");
  const objects = await restoreFiles(work);
  beginStep(work, "database");
  await restoreDatabase(work);
  beginStep(work, "verification");
  await verify(work, objects);
  beginStep(work, "release");
  await setRelease(work);
  // From here on it is a space like any other.
  rmSync(`${places.archivedRecords}/${space.id}`, { force: true });
  await openDatabase(work);
  rmSync(markOf(work));
}

/** From here on, only this restore goes on. */
async function markBegun(work: Restoring, name: string): Promise<void> {
  if (existsSync(markOf(work))) return;
  for (const left of readdirSync(work.done))
    if (left.startsWith("done-") || left === "emptied") rmSync(`${work.done}/${left}`);
  await writeWhole(markOf(work), [`${name}\n`]);
}

/** Throws SpaceError if somebody used the space: accounts have logged in, or there are files not Nextcloud's own. */
async function refuseLiving(work: SpaceWork): Promise<void> {
  if (existsSync(markOf(work))) return;
  const used = work.space.document.state === "active" ? "it is active" : await usesOf(work);
  if (used !== undefined)
    throw failure(
      work,
      `it is in use: ${used}. Restoring would overwrite that, so nothing was changed. Restore into a new id (docs/runbooks/restore-from-export.md), or archive this one first`,
    );
}

async function usesOf(work: SpaceWork): Promise<string | undefined> {
  if (!(await hasTable(work, "oc_filecache"))) return undefined;
  const { status, output } = await sql(work, ["-F", " ", "-f", "-"], USES);
  const [logins, files] = output.trim().split(" ").map(Number);
  if (status !== 0 || logins === undefined || files === undefined)
    throw new CommandError("psql", status || 1);
  return logins > 0 || files > 0
    ? `${logins} accounts have logged in to it, and it holds ${files} files`
    : undefined;
}

const USES = `SELECT (SELECT count(*) FROM oc_preferences WHERE appid = 'login' AND configkey = 'lastLogin' AND configvalue <> '0'),
       (SELECT count(*) FROM oc_filecache f JOIN oc_mimetypes m ON m.id = f.mimetype
         WHERE m.mimetype <> 'httpd/unix-directory' AND f.path LIKE 'files/%')
;
`;

/** Throws SpaceError if the space does not hold what the export does. */
async function verify(work: Restoring, objects: readonly ExportedObject[]): Promise<void> {
  const { manifest, name } = work;
  const rows = Object.entries(manifest.rows).map(([table, count]) => `${table} ${count}`);
  const otherRows = firstDifference(rows.sort(), ((await countRows(work)) ?? []).sort());
  if (otherRows !== undefined)
    throw failure(work, `the database holds other rows than ${name}: ${otherRows}; run it again`);
  if (manifest.objects === 0) return;
  const lines = (list: Iterable<{ key: string; size: number }>) =>
    Array.from(list, ({ key, size }) => `${key} ${size}`).sort();
  const bucket = await objectsOf(work);
  const otherFiles = firstDifference(lines(objects), lines(bucket.values()));
  if (otherFiles !== undefined)
    throw failure(work, `${bucketOf(work)} holds other files than ${name}: ${otherFiles}; run it again`);
}

/** The space runs the release of the export. Converging upgrades it from there. */
async function setRelease(work: Restoring): Promise<void> {
  let fingerprint = "";
  if (await hasTable(work, "framaspace")) {
    const { status, output } = await sql(work, ["-c", NEW_FINGERPRINT]);
    if (status !== 0) throw new CommandError("psql", status);
    fingerprint = output.trim();
  }
  await followDatabase(work, work.manifest.version, fingerprint);
  if (isUndistributed(work)) await distribute(work);
}
