// Files of any size: nothing here keeps one in memory.
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, statfsSync } from "node:fs";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { linesIn } from "../../../infra/machine/programs/run-command.ts";
import { failure, type NamedWork } from "./space-work.ts";

/** The SHA-256 of what a stream holds, in hexadecimal digits. */
export async function sha256(stream: Readable): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(stream, hash);
  return hash.digest("hex");
}

export const sha256OfFile = (file: string) => sha256(createReadStream(file));

/** The lines of a file. */
export const linesOf = (file: string): AsyncIterable<string> => linesIn(createReadStream(file));

/** Throws SpaceError before the disk of this machine is full. */
export function needRoom(work: NamedWork, bytes: number): void {
  const folder = work.places.work;
  mkdirSync(folder, { recursive: true });
  const { bavail, bsize } = statfsSync(folder);
  // 256 MB stay free for everything else that this machine does.
  const needed = bytes + 256 * 2 ** 20;
  if (bavail * bsize >= needed) return;
  const mb = (size: number) => Math.floor(size / 2 ** 20);
  throw failure(
    work,
    `ops-1 has ${mb(bavail * bsize)} MB free under ${folder}, and ${mb(needed)} MB are needed; make room (du -xh /var --threshold=500M) or give ops-1 a larger type, then run it again. Nothing was changed`,
  );
}
