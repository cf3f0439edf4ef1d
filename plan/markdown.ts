// Puts foreign text into Markdown. Names, reasons and file contents come from the author of the change, so they are
// written as code: inside code, GitHub and GitLab make no link, no mention, no image and no HTML.

/**
 * Writes one line of any text as inline code. Not for tables: a `|` in a table needs an escape, which would show
 * elsewhere.
 */
export function code(text: string): string {
  // Invisible characters, and those that turn the direction of writing, could make one line look like another.
  const line = text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, "\u{FFFD}") || " ";
  const fence = longestRun(line) + 1;
  const pad = /^`|`$|^ .* $/.test(line) ? " " : "";
  const ticks = "`".repeat(fence);
  return `${ticks}${pad}${line}${pad}${ticks}`;
}

/** Writes lines of any text as a code block. */
export function block(language: string, lines: readonly string[], indent = ""): string[] {
  const safe = lines.map((line) => line.replaceAll(/[^\P{C}\t]/gu, "\u{FFFD}"));
  const fence = "`".repeat(Math.max(3, ...safe.map((line) => longestRun(line) + 1)));
  return [`${fence}${language}`, ...safe, fence].map((line) => `${indent}${line}`);
}

function longestRun(text: string): number {
  return Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
}

/** `a`, `b` and 3 more: the first names of `count`, each as code. */
export function names(some: readonly string[], count: number, most: number): string {
  const shown = some.slice(0, most);
  const rest = count - shown.length;
  return `${shown.map(code).join(", ")}${rest > 0 ? ` and ${grouped(rest)} more` : ""}`;
}

/** Lines in a section that a forge shows folded. The title is ours: it is not escaped. */
export function folded(title: string, lines: readonly string[]): string[] {
  return lines.length === 0
    ? []
    : [`<details><summary>${title}</summary>`, "", ...lines, "", "</details>", ""];
}

/** Most lines of one list of a summary. */
export const MOST_LISTED = 10;
/** Most names in one of its lines. */
export const MOST_NAMED = 6;

/** The first lines, and how many are left out. */
export function cut(lines: readonly string[]): string[] {
  const left = lines.length - MOST_LISTED;
  return left > 0
    ? [...lines.slice(0, MOST_LISTED), `- … and ${grouped(left)} more, in the details`]
    : [...lines];
}

/** `1 space`, `10,000 spaces`. */
export function groupedCount(n: number, thing: string): string {
  return `${grouped(n)} ${thing}${n === 1 ? "" : "s"}`;
}

/** `10,000`. Does not use toLocaleString, which first loads the data of all languages and takes 50 ms. */
export function grouped(n: number): string {
  return String(n).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}
