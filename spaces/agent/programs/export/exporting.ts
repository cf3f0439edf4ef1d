// What export-space knows on its way.
import type { Archive } from "../archive.ts";
import type { SpaceWork } from "../space-work.ts";

export interface Exporting extends SpaceWork {
  readonly archive: Archive;
  /** The export's folder in the archive: `lotus/20261101T000000Z`. */
  readonly name: string;
  /** Where it is put together on this machine. */
  readonly here: string;
}

/** One file of the bucket in an export: a line of objects.tsv. */
export interface ExportedObject {
  key: string;
  size: number;
  etag: string;
  sha256: string;
  /** The archive that holds it, `objects-0001.tar`, and the checksum of that. */
  part: string;
  partSha256: string;
}

/** As a line of objects.tsv. */
export const lineOf = ({ key, size, etag, sha256, part, partSha256 }: ExportedObject) =>
  `${key} ${size} ${etag} ${sha256} ${part} ${partSha256}`;

/** The object of a line of objects.tsv. */
export function objectIn(line: string): ExportedObject {
  const [key = "", size = "", etag = "", sha256 = "", part = "", partSha256 = ""] = line.split(" ");
  return { key, size: Number(size), etag, sha256, part, partSha256 };
}
