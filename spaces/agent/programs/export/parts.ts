// The files of the bucket, as archives of a bounded size. The list of a part is written after the part, so that a killed
// export goes on behind the last whole part.
import { createHash, type Hash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename } from "node:path";
import { Readable } from "node:stream";
import { fetchFile } from "../archive.ts";
import { writeWhole } from "../../../../infra/machine/programs/whole-file.ts";
import { linesOf, needRoom, sha256OfFile } from "../files.ts";
import { bucketOf, objectsOf, type StoredObject } from "../object-storage.ts";
import { asRoot } from "../old-versions.ts";
import { outputOf, run } from "../../../../infra/machine/programs/run-command.ts";
import { failure, held } from "../space-work.ts";
import { lineOf, objectIn, type ExportedObject, type Exporting } from "./exporting.ts";

/** A part must fit on this machine's disk. A larger file is a part of its own. */
const PART_BYTES = 2 ** 30;
const PART_OBJECTS = 500;
const LIST = /^objects-([0-9]+)\.tsv$/;

/** This machine may lack lists if another ops-1 began the export. The archive has them all. */
export async function fetchLists({ archive, name, here }: Exporting): Promise<void> {
  for (const file of await archive.list(name))
    if (LIST.test(file.name) && !existsSync(`${here}/${file.name}`))
      await fetchFile(archive, `${name}/${file.name}`, `${here}/${file.name}`);
}

/** The lists of the parts that are in the archive, in their order. */
const listsIn = ({ here }: Exporting) =>
  readdirSync(here)
    .filter((name) => LIST.test(name))
    .sort();

/** What the parts hold: for each key what the last part has that has it, in the order of the keys. */
export async function exportedObjects(work: Exporting): Promise<Map<string, ExportedObject>> {
  const found = new Map<string, ExportedObject>();
  for (const list of listsIn(work))
    for await (const line of linesOf(`${work.here}/${list}`)) {
      const object = objectIn(line);
      found.set(object.key, object);
    }
  return new Map([...found].sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** Whether the export has a file of the bucket as it is now. */
export const isHeld = (exported: ReadonlyMap<string, ExportedObject>, { key, size, etag }: StoredObject) => {
  const object = exported.get(key);
  return object?.size === size && object.etag === etag;
};

/** Copies everything of the bucket that no part has, or that changed after its part. */
export async function copyObjects(work: Exporting): Promise<void> {
  const bucket = await objectsOf(work);
  const exported = await exportedObjects(work);
  let batch: StoredObject[] = [];
  let bytes = 0;
  for (const object of bucket.values()) {
    if (isHeld(exported, object)) continue;
    if (batch.length > 0 && (bytes + object.size > PART_BYTES || batch.length >= PART_OBJECTS)) {
      await copyPart(work, batch, bytes);
      batch = [];
      bytes = 0;
    }
    batch.push(object);
    bytes += object.size;
  }
  if (batch.length > 0) await copyPart(work, batch, bytes);
}

async function copyPart(work: Exporting, batch: readonly StoredObject[], bytes: number): Promise<void> {
  const { archive, name, here } = work;
  needRoom(work, bytes);
  const folder = `${here}/part`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(`${folder}/objects`, { recursive: true });
  const keys = await fetchObjects(work, batch, `${folder}/objects`);
  if (keys.length > 0) {
    const last = LIST.exec(listsIn(work).at(-1) ?? "")?.[1] ?? "0";
    const part = `objects-${String(Number(last) + 1).padStart(4, "0")}`;
    const partSha256 = await packPart(work, folder, `${name}/${part}.tar`);
    const etags = new Map(batch.map(({ key, etag }) => [key, etag]));
    const lines: string[] = [];
    for (const key of keys) {
      const file = `${folder}/objects/${key}`;
      const sha256 = await sha256OfFile(file);
      const etag = etags.get(key) ?? "";
      lines.push(
        `${lineOf({ key, size: statSync(file).size, etag, sha256, part: `${part}.tar`, partSha256 })}\n`,
      );
    }
    await writeWhole(`${folder}/list`, lines);
    await archive.put(`${folder}/list`, `${name}/${part}.tsv`);
    renameSync(`${folder}/list`, `${here}/${part}.tsv`);
  }
  rmSync(folder, { recursive: true, force: true });
}

/**
 * Fetches files of the bucket. One that is deleted meanwhile is missing here, and in the next listing of the bucket.
 * Resolves to the keys that came.
 */
async function fetchObjects(
  work: Exporting,
  batch: readonly StoredObject[],
  folder: string,
): Promise<string[]> {
  const bucket = bucketOf(work) ?? "";
  const sources = batch.map(({ key }) => `serving/${bucket}/${key}`);
  const words = ["-c", 'exec "$@" 2>&1 >/dev/null', "sh", "mc", "cp", "--quiet", ...sources, `${folder}/`];
  const { output } = await run("/bin/sh", words, asRoot(work));
  const keys = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => basename(entry.name))
    .sort();
  if (keys.length === 0 && (await objectsOf(work)).size > 0)
    throw failure(
      work,
      `could not read ${bucket}: ${output.trimEnd().split("\n").at(-1)}; is object storage up (mc admin info serving)? Run it again`,
    );
  return keys;
}

/** Writes the part into the archive, and resolves to its checksum. */
async function packPart(work: Exporting, folder: string, name: string): Promise<string> {
  const owner = ["--owner=0", "--group=0", "--numeric-owner", "--mode=u+rw,go=r"];
  const words = ["--create", "--file=-", `--directory=${folder}`, ...owner, "objects"];
  const hash = createHash("sha256");
  await work.archive.putStream(passingTo(hash, outputOf("tar", words, held(work))), name);
  return hash.digest("hex");
}

/** The same content, of which the hash gets everything on the way. */
function passingTo(hash: Hash, content: Readable): Readable {
  return Readable.from(
    (async function* () {
      for await (const chunk of content) {
        hash.update(chunk as Buffer);
        yield chunk as Buffer;
      }
    })(),
  );
}
