// Files that are there as a whole or not at all, of any size.
import { closeSync, createWriteStream, fsyncSync, mkdirSync, openSync, renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** Writes a whole file or none. It is on disk then, and so is its name. */
export async function writeWhole(file: string, content: Readable | Iterable<string>): Promise<void> {
  mkdirSync(dirname(file), { recursive: true });
  const fresh = join(dirname(file), `.new.${basename(file)}`);
  const descriptor = openSync(fresh, "w");
  try {
    await pipeline(content, createWriteStream("", { fd: descriptor, autoClose: false }));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(fresh, file);
  // The new name is on disk, too.
  const folder = openSync(dirname(file), "r");
  fsyncSync(folder);
  closeSync(folder);
}
