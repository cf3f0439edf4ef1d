// Merges two versions of a tenants file that began as one. Git merges lines, and two entries that were added at one
// place are a conflict to it. Here an entry is whole: it comes from the side that changed it. Pure functions on text.
import { commentsAbove, endOf, idOf } from "../fleet/edit.ts";
import { splitEntries } from "../fleet/entries.ts";

/** The versions of one file. `base` is empty if both sides made the file. */
export interface Versions {
  base: string;
  ours: string;
  theirs: string;
}

/** A merged text, or what only a person can decide, each as a sentence without its full stop. */
export type Merged = { text: string } | { undecided: string[] };

/** An entry with the comments above it, and what stands between it and the next one. */
interface Part {
  text: string;
  /** Blank lines, and comments that belong to no entry. Undefined for the last entry: what follows it is the tail. */
  gap: string | undefined;
}

interface Parts {
  head: string;
  entries: Map<string, Part>;
  tail: string;
}

/** Merges by id. Every comment and every other line stays as the side wrote it that changed it. */
export function mergeVersions({ base, ours, theirs }: Versions): Merged {
  const [was, one, other] = [base, ours, theirs].map(partsOf);
  if (!was || !one || !other)
    return { undecided: ["one version of it is no list of entries, or has an id twice"] };
  const undecided: string[] = [];
  const choose = (what: string, key: (parts: Parts) => string | undefined): string | undefined => {
    const [before, here, there] = [was, one, other].map(key);
    if (here === there || there === before) return here;
    if (here === before) return there;
    undecided.push(describe(what, { before, here, there }));
    return undefined;
  };
  const head = choose("the comment at its top", (parts) => parts.head) ?? "";
  const tail = choose("the comment at its end", (parts) => parts.tail) ?? "";
  const ids = [...new Set([...one.entries.keys(), ...other.entries.keys()])].sort();
  const kept = ids.flatMap((id) => {
    const text = choose(`space "${id}"`, (parts) => parts.entries.get(id)?.text);
    if (text === undefined) return [];
    const note = choose(
      `the comment after space "${id}"`,
      (parts) => parts.entries.get(id)?.gap?.trim() ?? "",
    );
    const gaps = [one, other].flatMap((parts) => parts.entries.get(id)?.gap ?? []);
    return [{ text, gap: gaps.find((gap) => gap.trim() === note) }];
  });
  if (undecided.length > 0) return { undecided };
  if (kept.length === 0) return { text: `${head}[]\n${tail}` };
  // Some files have a blank line between entries, some do not.
  const usual = kept.find(({ gap }) => gap?.trim() === "")?.gap ?? "\n";
  const entries = kept.map(({ text, gap = usual }, index) => {
    if (index + 1 < kept.length) return text + gap;
    return gap.trim() === "" ? text : `${text}${gap.trimEnd()}\n`;
  });
  return { text: head + entries.join("") + tail };
}

/** The lines of each entry, with the comments above it. Undefined if a text is no list of entries, or has an id twice. */
export function linesOfEntries(text: string): Map<string, string> | undefined {
  const entries = partsOf(text)?.entries;
  return entries && new Map([...entries].map(([id, part]) => [id, part.text]));
}

function describe(
  what: string,
  { before, here, there }: Record<"before" | "here" | "there", string | undefined>,
): string {
  if (before === undefined) return `${what} was added by both sides, with different lines`;
  if (here === undefined || there === undefined)
    return `${what} was removed by one side and changed by the other`;
  return `${what} was changed by both sides`;
}

function partsOf(text: string): Parts | undefined {
  const blocks = splitEntries(text);
  if (!blocks) return /^\s*(?:\[\]\s*)?$/.test(text.replaceAll(/^#.*$/gm, "")) ? emptyParts(text) : undefined;
  const starts = blocks.map(
    ({ offset }, index) => offset - commentsAbove(text.slice(0, offset), index === 0).length,
  );
  const entries = new Map<string, Part>();
  for (const [index, block] of blocks.entries()) {
    const end = endOf(block);
    entries.set(idOf(block), {
      text: text.slice(starts[index], end).trimEnd() + "\n",
      gap: index + 1 < blocks.length ? text.slice(end, starts[index + 1]) : undefined,
    });
  }
  const last = blocks.at(-1);
  if (!last || entries.size < blocks.length) return undefined;
  return { head: text.slice(0, starts[0]), entries, tail: text.slice(endOf(last)) };
}

/** A file that has no entry yet: everything before `[]` is its head. */
function emptyParts(text: string): Parts {
  const [head = "", tail = ""] = text.split(/^\[\][ \t]*\n?/m);
  return { head, entries: new Map(), tail };
}
