// The files of an export, put into the space's bucket.
import { existsSync, lstatSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { objectIn, type ExportedObject } from "../export/exporting.ts";
import { linesOf, needRoom, sha256OfFile } from "../files.ts";
import { bucketOf, emptyBucket, storage } from "../object-storage.ts";
import { read } from "../../../../infra/machine/programs/run-command.ts";
import { failure, held } from "../space-work.ts";
import { fetchPart, type Restoring } from "./restoring.ts";

/**
 * The bucket is emptied first, once. A next run puts the same files there as a killed one did. Old versions stay.
 * Resolves to what the bucket holds then.
 */
export async function restoreFiles(work: Restoring): Promise<ExportedObject[]> {
  const { manifest, here, done } = work;
  if (manifest.objects === 0) {
    await emptyBucket(work);
    return [];
  }
  const parts = Object.keys(manifest.sha256).filter((name) => name.endsWith(".tar"));
  needRoom(work, 2 * parts.length * 2 ** 20);
  await fetchPart(work, "objects.tsv", `${here}/objects.tsv`);
  const objects: ExportedObject[] = [];
  for await (const line of linesOf(`${here}/objects.tsv`)) objects.push(objectIn(line));
  if (!existsSync(`${done}/emptied`)) {
    await emptyBucket(work);
    writeFileSync(`${done}/emptied`, "");
  }
  const byPart = new Map<string, ExportedObject[]>();
  for (const object of objects) {
    const known = byPart.get(object.part);
    if (known) known.push(object);
    else byPart.set(object.part, [object]);
  }
  for (const [part, inPart] of [...byPart].sort(([one], [other]) => (one < other ? -1 : 1)))
    if (!existsSync(`${done}/done-${part}`)) {
      await restorePart(work, part, inPart);
      writeFileSync(`${done}/done-${part}`, "");
    }
  return objects;
}

async function restorePart(work: Restoring, part: string, objects: readonly ExportedObject[]): Promise<void> {
  const { here, name, manifest, space } = work;
  needRoom(work, 2 * objects.reduce((sum, { size }) => sum + size, 0));
  const [packed, folder, names] = [`${here}/part.tar`, `${here}/part`, `${here}/names`];
  await fetchPart(work, part, packed);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  // The files are named one by one, so nothing else comes out of the archive, wherever it would want to go.
  writeFileSync(names, objects.map(({ key }) => `objects/${key}\n`).join(""));
  const words = ["--no-same-owner", "--no-same-permissions", `--files-from=${names}`];
  await read("tar", ["--extract", `--file=${packed}`, `--directory=${folder}`, ...words], held(work));
  for (const { key, sha256 } of objects) {
    const file = `${folder}/objects/${key}`;
    if (!lstatSync(file).isFile() || (await sha256OfFile(file)) !== sha256)
      throw failure(
        work,
        `${part} of ${name} holds other files than its manifest says; take an earlier export: restore-space ${space.id} ${manifest.id}/<time>`,
      );
  }
  await storage(
    work,
    "cp",
    "--quiet",
    "--recursive",
    `${folder}/objects/`,
    `serving/${bucketOf(work) ?? ""}/`,
  );
  for (const left of [folder, packed]) rmSync(left, { recursive: true });
}
