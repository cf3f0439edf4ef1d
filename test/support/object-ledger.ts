// The ledger of acknowledged writes: kept outside of the machines under test, a line once the acknowledgement is there.
import { readFileSync } from "node:fs";

/** One acknowledged write; a delete is one, too. */
export interface Entry {
  /** Milliseconds since the epoch, of the acknowledgement. */
  time: number;
  kind: "put" | "delete";
  key: string;
  /** Of the object, or of the delete marker. */
  version: string;
  size: number;
  /** Of the content; empty for a delete. */
  sha256: string;
}

/** What is not an acknowledged write: reads, and writes without an answer. */
export interface Attempt {
  time: number;
  kind: "get" | "unknown";
  key: string;
  /** `right`, `stale`, `absent`, `wrong`, or what went wrong. */
  outcome: string;
}

export type Line = Entry | Attempt;

/** The outcome of a delete or a read that found nothing, though something was there. */
export const ABSENT = "absent";

export function readLedger(file: string): Line[] {
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  // Only the client writes it.
  return lines.map((line) => JSON.parse(line) as Line);
}

export const isWrite = (line: Line): line is Entry => line.kind === "put" || line.kind === "delete";

/** What a rereading found. `stale`: an older state was shown as the latest one. `unexpected`: something nobody wrote. */
export interface Verdict {
  checked: number;
  stable: number;
  stale: string[];
  lost: string[];
  unexpected: string[];
  unknown: number;
}

/** Numbers from 0 to 1, always the same ones for a seed (mulberry32's recurrence). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Longest time in which nothing of a kind succeeded, in seconds, from a moment on. */
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
