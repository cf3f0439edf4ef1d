// What YAML reads otherwise than a person who writes one line for each value. Each is valid YAML, and is refused where
// people write by hand.
import { isNode, isScalar, visit, type Document } from "yaml";

/** Comments behind a bare text, texts of several lines, and tags: where they begin, and what to write instead. */
export function misreadings(document: Document, text: string): { offset: number; what: string }[] {
  const found: { offset: number; what: string }[] = [];
  visit(document, {
    Pair(_key, { key, value }) {
      if (!isNode(value) || !value.range) return;
      const [start, end] = value.range;
      const name = isScalar(key) ? String(key.value) : "this";
      if (value.tag !== undefined) {
        const offset = text.indexOf("!", isNode(key) ? key.range?.[1] : start);
        const tag = /^\S*/.exec(text.slice(offset))?.[0] ?? "";
        found.push({
          offset,
          what: `${name} has the tag ${tag}; remove it, or put the whole text in quotes`,
        });
      }
      if (!isScalar(value)) return;
      if (/^BLOCK/.test(value.type ?? "") || text.slice(start, end).includes("\n"))
        found.push({ offset: start, what: `${name} takes several lines; write it on one` });
      // The blanks belong to no value, so a comment of the same line is what comes next.
      const blanks = /^[ \t]*(?=#)/.exec(text.slice(end));
      if (value.type === "PLAIN" && blanks)
        found.push({
          offset: end + blanks[0].length,
          what: `\`#\` begins a comment, so ${name} is read as ${value.source ? JSON.stringify(value.source) : "nothing"}; put the whole text in quotes, or the comment on a line of its own`,
        });
    },
  });
  return found;
}
