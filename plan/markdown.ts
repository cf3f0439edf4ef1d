// Text of others inside Markdown of ours. Names, reasons and file contents come from whoever wrote the change, so
// they stand in code: there, GitHub and GitLab make no link, no mention, no image and no HTML of them.

/** One line of any text as inline code. Not for tables: there, `|` would need an escape that shows elsewhere. */
export function code(text: string): string {
  // What is invisible, or turns the direction of writing, could make a line look like another.
  const line = text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, "\u{FFFD}") || " ";
  const fence = longestRun(line) + 1;
  const pad = /^`|`$|^ .* $/.test(line) ? " " : "";
  const ticks = "`".repeat(fence);
  return `${ticks}${pad}${line}${pad}${ticks}`;
}

/** Lines of any text as a block of code. */
export function block(language: string, lines: readonly string[], indent = ""): string[] {
  const safe = lines.map((line) => line.replaceAll(/[^\P{C}\t]/gu, "\u{FFFD}"));
  const fence = "`".repeat(Math.max(3, ...safe.map((line) => longestRun(line) + 1)));
  return [`${fence}${language}`, ...safe, fence].map((line) => `${indent}${line}`);
}

function longestRun(text: string): number {
  return Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
}

/** `1 space`, `10,000 spaces`. */
export function groupedCount(n: number, thing: string): string {
  return `${grouped(n)} ${thing}${n === 1 ? "" : "s"}`;
}

/** `10,000`. Without toLocaleString, which first loads the world's languages, for 50 ms. */
export function grouped(n: number): string {
  return String(n).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}
