// Changes the text of a tenants file. It writes what a person would type, at the place where it belongs, and leaves
// every comment and every other line as it was. All functions are pure. They format what they write as prettier would.
import { createHash } from "node:crypto";
import { isMap, isScalar, parseDocument, stringify } from "yaml";
import { readPlainEntry, splitEntries, type Block } from "./entries.ts";
import { ENTRY_LIMITS } from "./ids.ts";
import type { Entry } from "./entry.ts";

const HEADER = "# yaml-language-server: $schema=../../tenants.schema.json\n\n";
const EMPTY_LIST = /^\[\]\s*$/m;
const FIELDS = ["id", "name", "kind", "contact", "plan", "office", "wave"] as const;

/** A new entry before any check. It holds any text that was given, so that the checks can say what is wrong with it. */
export type Draft = Record<"id" | "name" | "kind" | "contact" | "plan" | "office" | "wave", string>;

/** An entry as it stands in a file. */
export function renderEntry(draft: Draft): string {
  const lines = FIELDS.map((key) => `${key}: ${renderText(draft[key])}`);
  return `- ${[...lines, "state: active"].join("\n  ")}\n`;
}

/** Writes a text without quotes if YAML allows it, else in the quotes that prettier would choose. */
function renderText(text: string): string {
  const rendered = stringify(text, { lineWidth: 0, blockQuote: false }).trimEnd();
  if (!/^["']/.test(rendered) || /\p{C}/u.test(text)) return rendered;
  return /["\\]/.test(text) ? `'${text.replaceAll("'", "''")}'` : `"${text}"`;
}

/**
 * The number of the file for a new space. Files with room get new spaces by a hash of the id, the fuller ones more of
 * them: two entries at one place are a conflict to git, and a fuller file has more places
 * (docs/decisions/0028-spread-new-spaces.md).
 */
export function fileFor(
  id: string,
  tenantsFiles: readonly { name: string; entries: { length: number } }[],
): string {
  const { addedUpTo, openFiles, spacesBeforeNextFile } = ENTRY_LIMITS;
  const open = tenantsFiles
    .filter(({ entries }) => entries.length < addedUpTo)
    .map(({ name, entries }) => ({ name, spaces: entries.length }));
  const spaces = open.reduce((sum, file) => sum + file.spaces, 0);
  const wanted = Math.min(openFiles, 1 + Math.floor(spaces / spacesBeforeNextFile));
  const used = new Set(tenantsFiles.map(({ name }) => name));
  for (let number = 1; open.length < wanted; number++) {
    const name = String(number).padStart(3, "0");
    if (!used.has(name)) open.push({ name, spaces: 0 });
  }
  // Weighted rendezvous hashing: each file draws a number for the id, and the best one wins.
  const draw = ({ name, spaces }: { name: string; spaces: number }) => {
    const hash = createHash("sha256").update(`${name}/${id}`).digest().readUInt32BE();
    return -(spaces + NEW_FILE_WEIGHT) / Math.log((hash + 1) / (2 ** 32 + 1));
  };
  return open.reduce((best, file) => (draw(file) > draw(best) ? file : best)).name;
}

/** A file without an entry counts as if it had ten, or it would never get one. */
const NEW_FILE_WEIGHT = 10;

/** Inserts an entry before the first one with a greater id. Returns the new text and the line of the entry. */
export function insertEntry(text: string | undefined, draft: Draft): { text: string; line: number } {
  return insertLines(text, draft.id, renderEntry(draft));
}

/** The same, with the lines of an entry as they are. */
export function insertLines(
  text: string | undefined,
  id: string,
  entry: string,
): { text: string; line: number } {
  const blocks = splitEntries(text ?? "") ?? [];
  if (text === undefined) return place(HEADER, entry, "");
  if (blocks.length === 0) return place(text.replace(EMPTY_LIST, ""), entry, "");
  // Some files have a blank line between entries, some do not: keep to it. A single entry gets a blank line.
  const gap =
    blocks.length === 1 ||
    blocks.some((block, index) => index + 1 < blocks.length && /\n\s*\n/.test(block.text))
      ? "\n"
      : "";
  const index = blocks.findIndex((block) => idOf(block) > id);
  const next = blocks[index];
  if (next) {
    const offset = next.offset - commentsAbove(text.slice(0, next.offset), index === 0).length;
    return place(text.slice(0, offset), entry + gap, text.slice(offset));
  }
  return place(`${text.trimEnd()}\n${gap}`, entry, "");
}

function place(before: string, entry: string, after: string): { text: string; line: number } {
  return { text: before + entry + after, line: before.split("\n").length };
}

/** Comment lines directly above an entry belong to it, unless they are the head of the file. */
export function commentsAbove(before: string, isFirst: boolean): string {
  const lines = before.split("\n").slice(0, -1);
  const start = lines.findLastIndex((line) => !line.startsWith("#")) + 1;
  return isFirst && start === 0
    ? ""
    : lines
        .slice(start)
        .map((line) => `${line}\n`)
        .join("");
}

/** Where an entry's own lines end. Blank lines after them, and comments in the first column, do not belong to it. */
export function endOf(block: Block): number {
  const lines = block.text.split("\n");
  const last = lines.findLastIndex((line) => line.trim() !== "" && !line.startsWith("#"));
  return block.offset + lines.slice(0, last + 1).join("\n").length + 1;
}

/**
 * Removes an entry with the comments above it. If it is the last one, the file keeps `[]`: its stack still has to run.
 */
export function removeEntry(text: string, id: string): string {
  const blocks = splitEntries(text) ?? [];
  const { block, index } = findBlock(blocks, id);
  const before = text.slice(0, block.offset - commentsAbove(text.slice(0, block.offset), index === 0).length);
  const after = text.slice(endOf(block)).replace(/^\n/, "");
  if (blocks.length === 1)
    return `${before}${before.endsWith("\n\n") || before === "" ? "" : "\n"}[]\n${after && `\n${after}`}`;
  return after === "" ? `${before.trimEnd()}\n` : before + after;
}

/** A state with the fields that it needs. `active` needs none. */
export type StateChange =
  { state: "active" } | { state: "suspended" | "archived"; reason: string; since: string };

/** Rewrites an entry's state, reason and date. A comment beside one of them stays if its line stays. */
export function changeState(text: string, id: string, change: StateChange): string {
  const { block } = findBlock(splitEntries(text) ?? [], id);
  let entry = block.text;
  const wanted: Record<string, string> = { ...change };
  for (const key of ["reason", "since"]) {
    const found = findField(entry, key);
    if (!found) continue;
    const value = wanted[key];
    if (value === undefined) {
      const lineStart = entry.lastIndexOf("\n", found.key) + 1;
      const lineEnd = entry.indexOf("\n", found.valueEnd);
      entry = entry.slice(0, lineStart) + (lineEnd < 0 ? "" : entry.slice(lineEnd + 1));
    } else entry = entry.slice(0, found.value) + renderText(value) + entry.slice(found.valueEnd);
    delete wanted[key];
  }
  const state = findField(entry, "state");
  if (!state) throw new Error(`space "${id}" is not written as lines of its own; write one key in each line`);
  const lineEnd = entry.indexOf("\n", state.valueEnd);
  const rest = lineEnd < 0 ? "\n" : entry.slice(state.valueEnd, lineEnd + 1);
  const added = ["reason", "since"].flatMap((key) =>
    wanted[key] === undefined ? [] : [`  ${key}: ${renderText(wanted[key])}\n`],
  );
  entry =
    entry.slice(0, state.value) +
    change.state +
    rest +
    added.join("") +
    (lineEnd < 0 ? "" : entry.slice(lineEnd + 1));
  return text.slice(0, block.offset) + entry + text.slice(block.offset + block.text.length);
}

/** Offsets of a key and its value in an entry that is written as lines. */
function findField(
  entry: string,
  name: string,
): { key: number; value: number; valueEnd: number } | undefined {
  const map: unknown = parseDocument(entry).getIn([0], true);
  if (!isMap(map) || map.flow === true) return undefined;
  for (const { key, value } of map.items)
    if (isScalar(key) && key.value === name && isScalar(value) && key.range && value.range)
      return { key: key.range[0], value: value.range[0], valueEnd: value.range[1] };
  return undefined;
}

/** The id of an entry, whatever else is wrong with it. */
export function idOf(block: Block): string {
  return readPlainEntry(block.text)?.["id"] ?? String(parseDocument(block.text).getIn([0, "id"]));
}

/** The lines of a space's entry. */
export function entryText(text: string, id: string): string {
  const { block } = findBlock(splitEntries(text) ?? [], id);
  return text.slice(block.offset, endOf(block)).trimEnd();
}

function findBlock(blocks: readonly Block[], id: string): { block: Block; index: number } {
  const index = blocks.findIndex((candidate) => idOf(candidate) === id);
  const block = blocks[index];
  if (!block) throw new Error(`no space "${id}" in this file`);
  return { block, index };
}

/** Why a space may not go from its state to another, as words for people. Undefined if it may. */
export function refuseTransition(entry: Entry, to: StateChange["state"] | "removed"): string | undefined {
  const from = entry.state;
  if (from === to)
    return from === "active" ? "it is active already" : `it is ${from} already, since ${entry.since}`;
  if (to === "suspended" && from === "archived")
    return "it is archived: its live data is gone or about to go";
  if (to === "archived" && from === "active")
    return `it is active; run \`npm run space -- suspend ${entry.id} --reason …\` first`;
  if (to === "removed" && from !== "archived")
    return `it is ${from}, and only archived spaces may be removed; run \`npm run space -- ${from === "active" ? "suspend" : "archive"} ${entry.id}${from === "active" ? " --reason …" : ""}\` first`;
  return undefined;
}
