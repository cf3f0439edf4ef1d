// The ledger of acknowledged writes. It is kept outside the machines under test, and gets one line after each
// acknowledgement.
import { readFileSync } from "node:fs";

/** One acknowledged write. A delete is a write, too. */
export interface Entry {
  /** Time of the acknowledgement, in milliseconds since the epoch. */
  time: number;
  kind: "put" | "delete";
  key: string;
  /** Version of the object, or of the delete marker. */
  version: string;
  size: number;
  /** Checksum of the content. Empty for a delete. */
  sha256: string;
}

/** What is not an acknowledged write: reads, and writes without an answer. */
export interface Attempt {
  time: number;
  kind: "get" | "unknown";
  key: string;
  /** `right`, `stale`, `absent`, `wrong`, or an error. */
  outcome: string;
}

export type Line = Entry | Attempt;

/** The outcome of a delete or a read that found nothing, although there was something. */
export const ABSENT = "absent";

export function readLedger(file: string): Line[] {
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  // Only the client writes this file.
  return lines.map((line) => JSON.parse(line) as Line);
}

export const isWrite = (line: Line): line is Entry => line.kind === "put" || line.kind === "delete";

/**
 * The result of a rereading. `stale`: an older state was shown as the latest one. `unexpected`: something that nobody
 * wrote.
 */
export interface Verdict {
  checked: number;
  stable: number;
  stale: string[];
  lost: string[];
  unexpected: string[];
  unknown: number;
}

/** Numbers from 0 to 1, always the same for a seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Longest time, in seconds from a moment on, in which nothing of one kind succeeded. */
export function longestGap(
  lines: readonly Line[],
  from: number,
  until: number,
  kinds: readonly Line["kind"][],
): number {
  const times = lines
    .filter((line) => kinds.includes(line.kind) && (!("outcome" in line) || line.outcome === "right"))
    .map(({ time }) => time)
    .filter((time) => time >= from && time <= until)
    .sort((a, b) => a - b);
  let longest = 0;
  let last = from;
  for (const time of [...times, until]) {
    longest = Math.max(longest, time - last);
    last = time;
  }
  return longest / 1000;
}
