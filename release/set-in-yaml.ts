// Writes addresses and checksums into a YAML file, as a person would: every comment and every other line stays.
import { isMap, isNode, isScalar, parseDocument, type YAMLMap } from "yaml";
import { UserError } from "../validation/user-error.ts";

/** An address, and the checksum of what it serves. */
export interface Pinned {
  url: string;
  sha256: string;
}

/**
 * The text with an address and a checksum in the mapping at a path. If this mapping is missing, it is added at the end
 * of the one above, with `others`. Throws a UserError if the file is not written in lines.
 */
export function setPinned(
  text: string,
  path: readonly string[],
  { url, sha256 }: Pinned,
  others: Readonly<Record<string, string>> = {},
): string {
  const values = { url, sha256: `"${sha256}"` };
  if (isMap(mapAt(text, path))) return set(set(text, path, "sha256", values.sha256), path, "url", values.url);
  const above = mapAt(text, path.slice(0, -1));
  const last = above?.items.at(-1)?.value;
  if (!above || above.flow || !isNode(last) || !last.range)
    throw new UserError(
      `${path.join(".")} is missing, and so is what it belongs to; write it, then type this again.`,
    );
  const indent = indentOf(text, above);
  const lines = Object.entries({ ...values, ...others }).map(
    ([key, value]) => `\n${indent}  ${key}: ${value}`,
  );
  const end = text.slice(0, last.range[1]).trimEnd().length;
  return `${text.slice(0, end)}\n${indent}${path.at(-1)}:${lines.join("")}${text.slice(end)}`;
}

function mapAt(text: string, path: readonly string[]): YAMLMap | undefined {
  const node: unknown =
    path.length === 0 ? parseDocument(text).contents : parseDocument(text).getIn(path, true);
  return isMap(node) ? node : undefined;
}

function set(text: string, path: readonly string[], key: string, value: string): string {
  const map = mapAt(text, path);
  const first = map?.items[0]?.key;
  if (!map || map.flow || !isNode(first) || !first.range)
    throw new UserError(`${path.join(".")} stands in braces; write each of its keys on a line of its own.`);
  const found = map.items.find((pair) => isScalar(pair.key) && pair.key.value === key)?.value;
  if (isNode(found) && found.range)
    return `${text.slice(0, found.range[0])}${value}${text.slice(found.range[1])}`;
  const [start] = first.range;
  return `${text.slice(0, start)}${key}: ${value}\n${indentOf(text, map)}${text.slice(start)}`;
}

/** The blanks before the keys of a mapping. */
function indentOf(text: string, { items: [first] }: YAMLMap): string {
  const start = isNode(first?.key) ? (first.key.range?.[0] ?? 0) : 0;
  return text.slice(text.lastIndexOf("\n", start - 1) + 1, start);
}
