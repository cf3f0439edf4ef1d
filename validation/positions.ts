// The one error format: where, who, what was found, what to write instead. Reads YAML with positions, so that every
// problem, even one found later, points at the text. Does not load Pulumi, which would make `npm run check` slow.
import { isUtf8 } from "node:buffer";
import {
  isAlias,
  isNode,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type ErrorCode,
} from "yaml";
import * as z from "zod";
import { misreadings } from "./misreadings.ts";
import { checkValue, type Path } from "./wording.ts";

/** One thing to fix. Lines and columns count from 1. */
export interface Problem {
  file: string;
  line: number;
  column: number;
  /** What the problem belongs to, such as `space "lotus"`. */
  who?: string;
  /** What is there and what to write: `plan is "huge"; write one of small, standard`. */
  what: string;
}

export interface Position {
  line: number;
  column: number;
}

export interface Reading<T> {
  /** Absent when there is a problem. */
  value?: T;
  problems: Problem[];
  /** Position of the value at a path, or else of its nearest parent. */
  at: (path: Path) => Position;
}

const START: Position = { line: 1, column: 1 };

/** All problems as text, in the order of the files, below a line with their number. */
export function report(title: string, problems: readonly Problem[]): string {
  const lines = inOrder(problems).map(
    (problem) => `  ${problem.file}:${problem.line}:${problem.column}  ${sayProblem(problem)}`,
  );
  return [`${title} not valid: ${count(lines.length, "problem")}.`, ...lines].join("\n");
}

/** Problems in the order of the files and their lines. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  return [...problems].sort(
    (a, b) => compare(a.file, b.file) || a.line - b.line || a.column - b.column || compare(a.what, b.what),
  );
}

/** What is wrong, as one sentence without its place. */
export function sayProblem({ who, what }: Problem): string {
  return `${who === undefined ? "" : `${who}: `}${sentence(what)}`;
}

/** Adds a full stop if the text does not end like a sentence. */
export function sentence(text: string): string {
  return /[.?]$/.test(text) ? text : `${text}.`;
}

/** `1 problem`, `2 problems`. */
export function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Reads one YAML document strictly and checks it against a schema. `file` is its name in problems. */
export function readYaml<T>(file: string, bytes: Uint8Array, schema: z.ZodType<T>): Reading<T> {
  const text = readText(file, bytes);
  if (typeof text !== "string") return { problems: [text], at: () => START };
  const { root, problems, at, keyAt } = parseYaml(file, text);
  if (problems.length > 0) return { problems, at };
  const checked = checkValue(schema, root);
  if ("value" in checked) return { value: checked.value, problems, at };
  return {
    problems: checked.findings.map(({ path, key, what }) => ({
      file,
      ...(key === undefined ? at(path) : keyAt(path, key)),
      what,
    })),
    at,
  };
}

/** Decodes a file. Returns a problem if it is empty or not UTF-8. */
export function readText(file: string, bytes: Uint8Array): string | Problem {
  if (!isUtf8(bytes)) return { file, ...firstBadByte(bytes) };
  const text = new TextDecoder().decode(bytes);
  if (text.trim() === "")
    return { file, ...START, what: "the file is empty; write its content, or delete it" };
  return text;
}

function firstBadByte(bytes: Uint8Array): Position & { what: string } {
  for (let line = 1, start = 0; ; line++) {
    const end = bytes.indexOf(0x0a, start);
    const row = bytes.subarray(start, end < 0 ? undefined : end);
    if (!isUtf8(row) || end < 0) {
      const before = new TextDecoder().decode(row).split("\u{FFFD}", 1)[0] ?? "";
      const byte = row[new TextEncoder().encode(before).length] ?? 0;
      return {
        line,
        column: before.length + 1,
        what: `byte 0x${byte.toString(16).padStart(2, "0")} is not UTF-8; save the file as UTF-8 (iconv -f latin1 -t utf-8 FILE)`,
      };
    }
    start = end + 1;
  }
}

/**
 * Parses a document to plain data with positions. `firstLine` is the line of the file where the text starts. `misread`
 * gives what is valid YAML but means something else than it seems to.
 */
export function parseYaml(file: string, text: string, firstLine = 1) {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: line + firstLine - 1, column: col };
  };
  const problems: Problem[] = [
    ...syntaxProblems(document, text).map(({ offset, what }) => ({ file, ...position(offset), what })),
    ...indirections(document).map(({ offset, what }) => ({ file, ...position(offset), what })),
  ];
  const at = (path: Path): Position => position(offsetOf(document, path));
  const keyAt = (path: Path, key: string): Position => position(offsetOfKey(document, path, key));
  const misread = (): Problem[] =>
    misreadings(document, text).map(({ offset, what }) => ({ file, ...position(offset), what }));
  // Aliases are refused before anything expands them: a few lines of aliases can fill the memory.
  return {
    root: problems.length > 0 ? undefined : (document.toJS() as unknown),
    problems,
    at,
    keyAt,
    misread,
  };
}

const SIGN = "text begins with a sign that has a meaning in YAML; put it in quotes";

/** What to write after the most common mistakes. For others, the parser's own message is used. */
const COMMON_MISTAKES: Partial<Record<ErrorCode, string>> = {
  BLOCK_AS_IMPLICIT_KEY: "text holds `: `; put it in quotes",
  BAD_SCALAR_START: SIGN,
  TAG_RESOLVE_FAILED: SIGN,
  MULTIPLE_DOCS: "a second document begins here; remove the `---`",
  TAB_AS_INDENT: "a tab; indent by two spaces",
};

/** Every duplicate key, and the first other fault: later faults mostly follow from it. */
function syntaxProblems(document: Document, text: string): { offset: number; what: string }[] {
  const faults = [...document.errors, ...document.warnings];
  const duplicates = faults.filter(({ code }) => code === "DUPLICATE_KEY");
  const first = faults.find(({ code }) => code !== "DUPLICATE_KEY");
  const found = duplicates.map(({ pos: [offset] }) => {
    const key = /^[^\s:]*/.exec(text.slice(offset))?.[0] ?? "";
    return { offset, what: `\`${key}\` is written twice in one entry; keep one` };
  });
  if (!first) return found;
  const { code, message, pos } = first;
  const quote = code === "MISSING_CHAR" ? quoteAround(document, pos[0]) : undefined;
  if (quote !== undefined)
    return [...found, { offset: quote, what: "a quote opens here and never closes; close it" }];
  const rest = /^Unexpected scalar at node end/.test(message) && text.slice(0, pos[0]).trimEnd().at(-1);
  if (rest)
    return [
      ...found,
      {
        offset: pos[0],
        what: `text goes on after its closing ${/["']/.test(rest) ? "quote" : "bracket"}; put the whole in double quotes`,
      },
    ];
  if (
    /^(?:UNEXPECTED_TOKEN|BLOCK_AS_IMPLICIT_KEY)$/.test(code) &&
    /^(?:[-?] |[\]}])/.test(text.slice(pos[0]))
  )
    return [...found, { offset: pos[0], what: SIGN }];
  const words = message.charAt(0).toLowerCase() + message.slice(1).replace(/\s*[.:]?\s*$/, "");
  return [...found, { offset: pos[0], what: COMMON_MISTAKES[code] ?? `${words}; fix the YAML` }];
}

/** Start of the quote around an offset: the parser reports an unclosed quote at its end. */
function quoteAround(document: Document, offset: number): number | undefined {
  let start: number | undefined;
  visit(document, {
    Scalar(_key, { type, range }) {
      if (type?.startsWith("QUOTE_") === true && range && range[0] <= offset && offset <= range[2])
        start = range[0];
    },
  });
  return start;
}

/** Anchors and aliases, each name once. They are refused, so that every value is written where it is used. */
function indirections(document: Document): { offset: number; what: string }[] {
  const found = new Map<string, number>();
  const add = (what: string, offset = 0) => found.has(what) || found.set(what, offset);
  visit(document, {
    Node(_key, node) {
      if (isAlias(node))
        add(
          `alias *${node.source}; write the value itself, in quotes if it begins with \`*\``,
          node.range?.[0],
        );
      else if (node.anchor !== undefined)
        add(
          `anchor &${node.anchor}; write the value where it is used, or in quotes if it begins with \`&\``,
          node.range?.[0],
        );
    },
  });
  return [...found].map(([what, offset]) => ({ what, offset }));
}

function offsetOf(document: Document, path: Path): number {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return 0;
}

function offsetOfKey(document: Document, path: Path, key: string): number {
  const parent: unknown = document.getIn(path, true);
  const items: unknown[] = z.looseObject({ items: z.array(z.unknown()) }).safeParse(parent).data?.items ?? [];
  for (const item of items) {
    const pair = z.looseObject({ key: z.unknown() }).safeParse(item).data;
    if (isScalar(pair?.key) && String(pair.key.value) === key) return pair.key.range?.[0] ?? 0;
  }
  return offsetOf(document, path);
}
