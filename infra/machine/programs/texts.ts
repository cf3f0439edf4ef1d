// Small texts, as the programs of ops-1 note, compare and answer them.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";

/** The text of a file; undefined if it is not there. */
export const readIfThere = (file: string): string | undefined =>
  existsSync(file) ? readFileSync(file, "utf8") : undefined;

/** The value that a text is as JSON, whose form nobody checks; undefined if it is no JSON. */
export function parseJson<Value>(text: string): Value | undefined {
  try {
    return JSON.parse(text) as Value;
  } catch {
    return undefined;
  }
}

/** The SHA-256 of a content, in hexadecimal digits. */
export const sha256Hex = (content: string | Buffer): string =>
  createHash("sha256").update(content).digest("hex");
