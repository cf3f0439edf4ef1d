// The manifest of an export, and the files that are written just before it.
import { writeFileSync } from "node:fs";
import { writeWhole } from "../../../../infra/machine/programs/whole-file.ts";
import { sha256OfFile } from "../files.ts";
import { prettyTextOf } from "../read-space.ts";
import { lineOf, type Exporting } from "./exporting.ts";
import type { Moment, VerifiedFiles } from "./verification.ts";

/** manifest.json. Later versions of this program must read it for as long as exports are kept. */
export interface Manifest {
  /** 1, so far. */
  format: number;
  id: string;
  export: string;
  /** When it was made: `2026-11-01T00:00:00Z`. */
  at: string;
  /** Of Nextcloud, in four parts and in three. */
  version: string;
  release: string;
  instanceId: string;
  bucket: string;
  /** How many files Nextcloud knows. */
  files: number;
  objects: number;
  bytes: number;
  /** Table → rows. */
  rows: Record<string, number>;
  /** File of the export → checksum. */
  sha256: Record<string, string>;
}

/**
 * Leaves out what opens this platform: the passwords of database, storage and cache. `secret` and `passwordSalt` stay
 * in: without them, app passwords and what Nextcloud encrypted are useless to whoever takes the space elsewhere.
 */
function writeSettings({ here, space }: Exporting): void {
  const { redis: _, database, s3, ...document } = space.document;
  const settings = {
    ...document,
    ...(database && { database: { ...database, password: undefined } }),
    ...(s3 && { s3: { ...s3, secret: undefined } }),
  };
  writeFileSync(`${here}/space.json`, prettyTextOf(settings));
}

/** Writes what is left of the export to the archive, the manifest last. */
export async function writeManifest(
  work: Exporting,
  { rows }: Moment,
  { files, objects }: VerifiedFiles,
): Promise<Manifest> {
  const { here, archive, name, space } = work;
  const { document } = space;
  writeSettings(work);
  await writeWhole(
    `${here}/objects.tsv`,
    (function* () {
      for (const object of objects.values()) yield `${lineOf(object)}\n`;
    })(),
  );
  const sums: Record<string, string> = {};
  for (const file of ["database.dump", "files.tsv", "space.json"])
    sums[file] = await sha256OfFile(`${here}/${file}`);
  await writeWhole(
    `${here}/SHA256SUMS`,
    (function* () {
      for (const { key, sha256 } of objects.values()) yield `${sha256}  objects/${key}\n`;
      for (const [file, sum] of Object.entries(sums)) yield `${sum}  ${file}\n`;
    })(),
  );
  for (const file of ["SHA256SUMS", "objects.tsv"]) sums[file] = await sha256OfFile(`${here}/${file}`);
  let bytes = 0;
  for (const { size, part, partSha256 } of objects.values()) {
    bytes += size;
    sums[part] = partSha256;
  }
  for (const file of ["database.dump", "files.tsv", "space.json", "objects.tsv", "SHA256SUMS"])
    await archive.put(`${here}/${file}`, `${name}/${file}`);
  const version = document.version ?? `${document.release}.0`;
  const manifest: Manifest = {
    format: 1,
    id: space.id,
    export: name,
    at: `${new Date().toISOString().slice(0, 19)}Z`,
    version,
    release: version.split(".").slice(0, 3).join("."),
    instanceId: document.nextcloud?.instanceId ?? "",
    bucket: document.s3?.bucket ?? "",
    files,
    objects: objects.size,
    bytes,
    rows: Object.fromEntries(
      rows.map((line) => line.split(" ")).map(([table, count]) => [table, Number(count)]),
    ),
    sha256: sums,
  };
  writeFileSync(`${here}/manifest.json`, prettyTextOf(manifest));
  await archive.put(`${here}/manifest.json`, `${name}/manifest.json`);
  return manifest;
}
