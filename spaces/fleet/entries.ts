// Reads a YAML file that is one list of entries. It reads each entry on its own, so a fault in one leaves the others
// readable. Nearly all entries have only plain `key: text` lines, and are read without a YAML parser: with the parser
// alone, 10,000 spaces take two seconds. The parser reads an entry if one of its lines leaves room for interpretation.
// test/spaces/fleet/entries.test.ts compares the two ways of reading.
import type * as z from "zod";
import { checkValue, type Path } from "../../validation/wording.ts";
import { parseYaml, readText, type Position, type Problem } from "../../validation/positions.ts";

/** The lines of one entry, and what follows it up to the next entry. */
export interface Block {
  /** The line of its hyphen, from 1. */
  line: number;
  /** Offset of its hyphen in the file's text. */
  offset: number;
  text: string;
}

export interface Entries<T> {
  /** The valid entries, with their place in the list. */
  entries: { value: T; index: number }[];
  problems: Problem[];
  /** Position of an entry, or of a value in it. */
  at: (index: number, path: Path) => Position;
}

/**
 * Reads every entry of a list and checks it by `schema`. Problems name a space by its id, or else by its place in the
 * list.
 */
export function readEntries<T>(file: string, bytes: Uint8Array, schema: z.ZodType<T>): Entries<T> {
  const text = readText(file, bytes);
  const empty = { entries: [], at: () => ({ line: 1, column: 1 }) };
  if (typeof text !== "string") return { ...empty, problems: [text] };
  const blocks = splitEntries(text);
  if (blocks === undefined) return { ...empty, problems: notAList(file, text) };

  const entries: Entries<T>["entries"] = [];
  const problems: Problem[] = [];
  blocks.forEach((block, index) => {
    let misread: Problem[] = [];
    let value: unknown = readPlainEntry(block.text);
    if (value === undefined) {
      const parsed = parseYaml(file, block.text, block.line);
      problems.push(...parsed.problems.map((problem) => ({ ...problem, who: `entry ${index + 1}` })));
      if (parsed.problems.length > 0) return;
      value = Array.isArray(parsed.root) ? parsed.root[0] : parsed.root;
      misread = parsed.misread();
      problems.push(...misread.map((problem) => ({ ...problem, who: nameOf(value, index) })));
    }
    const checked = checkValue(schema, value);
    if ("value" in checked) {
      if (misread.length === 0) entries.push({ value: checked.value, index });
      return;
    }
    const { at, keyAt } = parseYaml(file, block.text, block.line);
    for (const { path, key, what } of checked.findings) {
      const place = key === undefined ? at([0, ...path]) : keyAt([0, ...path], key);
      // A value that was misread is not judged too.
      if (misread.every(({ line }) => line !== place.line))
        problems.push({ file, ...place, who: nameOf(value, index), what });
    }
  });
  const at = (index: number, path: Path): Position => {
    const block = blocks[index];
    return block ? parseYaml(file, block.text, block.line).at([0, ...path]) : { line: 1, column: 1 };
  };
  return { entries, problems, at };
}

function nameOf(value: unknown, index: number): string {
  const id: unknown = typeof value === "object" && value !== null && "id" in value ? value.id : undefined;
  return typeof id === "string" ? `space "${id}"` : `entry ${index + 1}`;
}

/**
 * Cuts a list at its hyphens in the first column. Undefined if the text is something else. This is safe: everything
 * that belongs to an entry is indented (YAML 1.2.2, 8.2.1), so a line in the first column can only be a comment or the
 * next entry.
 */
export function splitEntries(text: string): Block[] | undefined {
  const starts: { line: number; offset: number }[] = [];
  let line = 1;
  for (let offset = 0; offset < text.length; line++) {
    const end = text.indexOf("\n", offset);
    const first = text[offset];
    if (first === "-" && /^-(?= |\r?\n|$)/.test(text.slice(offset, offset + 3)))
      starts.push({ line, offset });
    else if (first !== "#" && first !== "\n" && first !== "\r" && (first !== " " || starts.length === 0))
      return undefined;
    if (end < 0) break;
    offset = end + 1;
  }
  if (starts.length === 0) return undefined;
  return starts.map(({ line, offset }, index) => ({
    line,
    offset,
    text: text.slice(offset, starts[index + 1]?.offset),
  }));
}

const BLANK = /^ *(?:#.*)?$/;
// A key, then a text: in quotes and without an escape, or bare and beginning with a letter, or a date. Only words such
// as `true`, and the marks `: ` and ` #`, could give such a bare text another meaning.
const PLAIN_LINE =
  /^([- ]) ([a-z][A-Za-z0-9]*): (?:"([^"\\\p{C}]*)"|'([^'\p{C}]*)'|(\p{L}[^:#\p{C}]*(?<!\s)|\d{4}-\d\d-\d\d))$/u;
const WORD_WITH_MEANING = /^(?:null|true|false)$/i;

/** Reads an entry if its lines can only mean one thing. Undefined leaves the entry to the parser. */
export function readPlainEntry(text: string): Record<string, string> | undefined {
  const entry: Record<string, string> = {};
  let first = true;
  for (const line of text.split("\n")) {
    if (!first && BLANK.test(line)) continue;
    const [, mark, key, double, single, bare] = PLAIN_LINE.exec(line) ?? [];
    const value = double ?? single ?? bare;
    if (key === undefined || value === undefined || (mark === "-") !== first || Object.hasOwn(entry, key))
      return undefined;
    if (bare !== undefined && WORD_WITH_MEANING.test(bare)) return undefined;
    entry[key] = value;
    first = false;
  }
  return entry;
}

/**
 * The problem of a file without an entry in its first column. A file that says itself that it has none (`[]`) has no
 * problem.
 */
function notAList(file: string, text: string): Problem[] {
  const { problems, root } = parseYaml(file, text);
  if (problems.length > 0) return problems;
  if (Array.isArray(root) && root.length === 0) return [];
  const what =
    root === null
      ? "the file has no entry; add one with `npm run space -- add`, or write `[]`"
      : "the file is no list of spaces; begin each entry with `- id: …` in the first column";
  return [{ file, line: 1, column: 1, what }];
}
