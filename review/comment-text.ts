// The text of the one comment on a pull request. It has a part for each job that reports there; a job replaces its own
// part and keeps the other.
import { block, groupedCount } from "../plan/markdown.ts";
import { planText } from "../plan/plan.ts";
import type { Result } from "./result.ts";

const PARTS = ["plan", "preview"] as const;
export type Part = (typeof PARTS)[number];

/** What a comment of ours begins with. It does not show. */
export const MARKER = "<!-- framaspace-review -->";
/** GitHub and Forgejo refuse a comment of more than 65,536 characters. */
export const MOST_CHARACTERS = 65_536;
/** Both parts fit into one comment, each with its marker, its title and its warning. */
const MOST_OF_PART = MOST_CHARACTERS / 2 - 1000;

export interface Report {
  part: Part;
  /** The commit that was planned: 40 hexadecimal digits. */
  head: string;
  /** Address of the run, where the whole text is. */
  run: string;
  /**
   * Whether the text is from our own program. Text that the change itself may have written is shown as a block of
   * code, where it makes no link, no mention and no HTML.
   */
  trusted: boolean;
  result: Pick<Result, "status" | "summary" | "details">;
}

const TITLES: Readonly<Record<Part, string>> = {
  plan: "`npm run plan`",
  preview: "`pulumi preview` of the stacks that change",
};
const WARNING =
  "⚠️ this pull request comes from elsewhere and changes more than tenants files, so it may have written what stands here itself; read its files first";
const STATUS = {
  0: "✔ nothing stands against it",
  1: "✘ it failed, or is not valid",
  2: "⛔ it would destroy data, or concern too many spaces",
};

/** The comment with a new part. Keeps the other part of `current` if that is of the same commit. */
export function renderComment(report: Report, current = ""): string {
  const kept = partsOf(current);
  const parts = PARTS.flatMap((part) => {
    if (part === report.part) return [renderPart(report)];
    const other = kept.get(part);
    return other?.head === report.head ? [`${partMarker(part, other.head)}\n${other.text}`] : [];
  });
  return [MARKER, ...parts].join("\n");
}

function renderPart({ part, head, run, trusted, result }: Report): string {
  const status = trusted ? STATUS[result.status] : WARNING;
  const title = `${TITLES[part]} of \`${head.slice(0, 12)}\`: ${status} ([the run](${run}))`;
  const text = withoutMarkers(planText(result));
  const pointer = `… cut here: [the run](${run}) has all ${groupedCount(text.split("\n").length, "line")}.`;
  return [partMarker(part, head), title, "", trusted ? cut(text, pointer) : quote(text, pointer)].join("\n");
}

function quote(text: string, pointer: string): string {
  const kept: string[] = [];
  let size = 0;
  const lines = text.trimEnd().split("\n");
  for (const line of lines) {
    size += line.length + 1;
    if (size > MOST_OF_PART) break;
    kept.push(line);
  }
  return [...block("text", kept), ...(kept.length < lines.length ? ["", pointer] : []), ""].join("\n");
}

/** The first lines of Markdown, up to the last place before the limit where no block of code and no fold is open. */
export function cut(text: string, pointer: string, most = MOST_OF_PART): string {
  if (text.length <= most) return text;
  const kept: string[] = [];
  let whole = 0;
  let size = 0;
  let fence: string | undefined;
  let folds = 0;
  for (const line of text.split("\n")) {
    size += line.length + 1;
    if (size > most) break;
    kept.push(line);
    const [, ticks] = /^\s*(`{3,})/.exec(line) ?? [];
    if (fence === undefined) fence = ticks;
    else if (line.trim() === fence) fence = undefined;
    if (fence !== undefined) continue;
    // Elsewhere in a line it is a name, written as code.
    if (/^\s*<details>/.test(line)) folds += 1;
    if (/^\s*<\/details>/.test(line)) folds -= 1;
    if (folds === 0) whole = kept.length;
  }
  return [...kept.slice(0, whole), "", pointer, ""].join("\n");
}

function partMarker(part: Part, head: string): string {
  return `<!-- framaspace-review:${part} ${head} -->`;
}

/** No text of a part looks like a marker, also not in a block of code, or the next edit would take it for one. */
function withoutMarkers(text: string): string {
  return text.replaceAll("<!--", "<!\u200B--");
}

function partsOf(body: string): Map<Part, { head: string; text: string }> {
  const pieces = body
    .replaceAll("\r\n", "\n")
    .split(/^<!-- framaspace-review:(plan|preview) ([0-9a-f]{40}) -->\n/m)
    .slice(1);
  const parts = new Map<Part, { head: string; text: string }>();
  for (let index = 0; index + 2 < pieces.length; index += 3) {
    const part = PARTS.find((name) => name === pieces[index]);
    if (part) parts.set(part, { head: pieces[index + 1] ?? "", text: (pieces[index + 2] ?? "").trimEnd() });
  }
  return parts;
}
