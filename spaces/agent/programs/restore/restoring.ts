// What restore-space knows on its way: the export, and where its files are put on this machine.
import type { Archive } from "../archive.ts";
import { fetchFile } from "../archive.ts";
import type { Manifest } from "../export/manifest.ts";
import { sha256OfFile } from "../files.ts";
import { failure, type SpaceWork } from "../space-work.ts";

export interface Restoring extends SpaceWork {
  readonly archive: Archive;
  readonly manifest: Manifest;
  /** The export's folder in the archive: `lotus/20261101T000000Z`. */
  readonly name: string;
  /** Files that are needed once. */
  readonly here: string;
  /** What is done of the restore, as empty files. They outlive a kill. */
  readonly done: string;
}

/** Fetches a file of the export. Throws SpaceError if it is not what was written then. */
export async function fetchPart(work: Restoring, name: string, file: string): Promise<void> {
  const path = `archive/${work.name}/${name}`;
  try {
    await fetchFile(work.archive, `${work.name}/${name}`, file);
  } catch {
    throw failure(
      work,
      `cannot read ${path}; is object storage up (mc admin info serving)? Run it again once it is`,
    );
  }
  if ((await sha256OfFile(file)) !== work.manifest.sha256[name])
    throw failure(
      work,
      `${path} is not what was exported (its checksum is another). Take an earlier export: restore-space ${work.space.id} ${work.manifest.id}/<time>`,
    );
}
