// Describes in short texts how two values differ. A secret value is named, but the parts of it that look like a key, a
// password or a hash of one are hidden.
import { structuredPatch } from "diff";
import { isSecret } from "../evaluate/graph.ts";
import { scriptParts } from "./script-text.ts";

/** One difference: `before` and `after` if it fits on a line, `patch` if it takes several lines. */
export interface Difference {
  path: string[];
  before?: string;
  after?: string;
  /** Lines that begin with `+`, `-` or a space. */
  patch?: string[];
}

const LONGEST_VALUE = 200;
const LONGEST_PATCH = 40;

/** Every difference between two values, in the order of their keys. */
export function describeDifferences(
  before: unknown,
  after: unknown,
  path: string[] = [],
  hidden = false,
): Difference[] {
  if (isSecret(before) || isSecret(after)) {
    const plain = (value: unknown) => (isSecret(value) ? value.value : value);
    if (isSecret(before) !== isSecret(after) && before !== undefined && after !== undefined)
      return [
        {
          path,
          before: isSecret(before) ? "secret" : "in plain",
          after: isSecret(after) ? "secret" : "in plain",
        },
      ];
    return describeDifferences(plain(before), plain(after), path, true);
  }
  if (before === after) return [];
  if (typeof before === "string" && typeof after === "string")
    return describeTexts(before, after, path, hidden);
  if (Array.isArray(before) && Array.isArray(after) && before.length !== after.length)
    return describeLists(before, after, path, hidden);
  if (isObject(before) && isObject(after))
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
      describeDifferences(Reflect.get(before, key), Reflect.get(after, key), [...path, key], hidden),
    );
  return [
    {
      path,
      ...(before !== undefined && { before: shortText(before, hidden) }),
      ...(after !== undefined && { after: shortText(after, hidden) }),
    },
  ];
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function describeTexts(before: string, after: string, path: string[], hidden: boolean): Difference[] {
  const parts = [before, after].map((text) => scriptParts(text) ?? jsonObject(text));
  // Each part of a text is named by itself: a reader need not know which input contains it.
  if (parts[0] && parts[1]) return describeDifferences(parts[0], parts[1], path.slice(0, -1), hidden);
  if (before.includes("\n") || after.includes("\n"))
    return [{ path, patch: patch(before, after).map((line) => (hidden ? hide(line) : line)) }];
  return [{ path, before: shortText(before, hidden), after: shortText(after, hidden) }];
}

function jsonObject(text: string): object | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** For lists of different lengths: the removed and the added items, because positions mean nothing then. */
function describeLists(before: unknown[], after: unknown[], path: string[], hidden: boolean): Difference[] {
  const without = (list: unknown[], other: unknown[]) => {
    const left = other.map((item) => JSON.stringify(item));
    return list.filter((item) => {
      const index = left.indexOf(JSON.stringify(item));
      if (index >= 0) left.splice(index, 1);
      return index < 0;
    });
  };
  const signed = (sign: string, items: unknown[]) => items.map((item) => `${sign}${shortText(item, hidden)}`);
  const lines = [...signed("-", without(before, after)), ...signed("+", without(after, before))];
  return [{ path, patch: lines.slice(0, LONGEST_PATCH) }];
}

function patch(before: string, after: string): string[] {
  const { hunks } = structuredPatch("", "", before, after, "", "", { context: 1 });
  const lines = hunks.flatMap(({ lines }, index) => [...(index > 0 ? [" …"] : []), ...lines]);
  const rest = lines.length - LONGEST_PATCH;
  return rest > 0 ? [...lines.slice(0, LONGEST_PATCH), ` … ${rest} more lines`] : lines;
}

function shortText(value: unknown, hidden: boolean): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const visible = hidden ? hide(text) : text;
  return visible.length > LONGEST_VALUE ? `${visible.slice(0, LONGEST_VALUE)}…` : visible;
}

/**
 * Hides long random text: derived passwords have 40 characters, and keys are whole lines of base64. A checksum of 64
 * lower-case hexadecimal digits is no secret.
 */
function hide(text: string): string {
  return text
    .replaceAll(/^([-+ ]?)[A-Za-z0-9+/=]{40,}$/gm, "$1<hidden>")
    .replaceAll(/[A-Za-z0-9+/_-]{32,}=*/g, (run) =>
      /^[0-9a-f]{64}$/.test(run) || !(/[A-Z]/.test(run) && /[0-9]/.test(run)) ? run : "<hidden>",
    );
}
