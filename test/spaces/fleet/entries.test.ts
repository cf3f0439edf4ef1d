import fc from "fast-check";
import { expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { readPlainEntry, splitEntries } from "../../../spaces/fleet/entries.ts";

// Texts that are close to what YAML reads in another way.
const scrap = fc.constantFrom(
  ..."a é : # - ' \" \\ , [ ] { } & * ! | > % @ ` ? ~ = < . 0 1".split(" "),
  " ",
  "\t",
  ": ",
  " #",
  "- ",
  "true",
  "Null",
  "yes",
  "2026-11-30",
  "0x1f",
  "1e3",
  "\u00a0",
  "\u0085",
  "\u2028",
  "\ufeff",
  "x",
);
const scraps = fc.array(scrap, { maxLength: 6 }).map((parts) => parts.join(""));
const key = fc.constantFrom("id", "name", "kind", "constructor", "Name", "n1", "a-b");

test("reads an entry as the parser does", () => {
  const line = fc.oneof(
    { weight: 5, arbitrary: fc.tuple(key, scraps).map(([name, text]) => `${name}: ${text}`) },
    { weight: 2, arbitrary: fc.tuple(key, scraps).map(([name, text]) => `${name}: "${text}"`) },
    { weight: 2, arbitrary: fc.tuple(key, scraps).map(([name, text]) => `${name}: '${text}'`) },
    {
      weight: 1,
      arbitrary: fc.tuple(key, fc.string()).map(([name, text]) => `${name}: ${stringify(text).trimEnd()}`),
    },
    { weight: 1, arbitrary: fc.constantFrom("", "# comment", "  # indented", "   ") },
  );
  let direct = 0;
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 4 }), (lines) => {
      const text = `- ${lines.join("\n  ")}\n`;
      const entry = readPlainEntry(text);
      if (entry === undefined) return;
      direct++;
      expect(parse(text, { strict: true })).toEqual([entry]);
    }),
    { numRuns: 20_000 },
  );
  // Enough texts were read without the parser, so the comparison means something.
  expect(direct).toBeGreaterThan(500);
});

test("a list that is split at its hyphens has the same entries", () => {
  const value = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), scraps);
  const entry = fc.record({ id: value, name: value, nested: fc.array(value, { maxLength: 2 }) });
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 20, max: 80 }),
      (entries, lineWidth) => {
        const text = `# Head.\n\n${stringify(entries, { lineWidth })}`;
        const blocks = splitEntries(text) ?? [];
        expect(blocks.map((block) => (parse(block.text) as unknown[])[0])).toEqual(entries);
        expect(blocks.map(({ line }) => text.split("\n")[line - 1]?.charAt(0))).toEqual(
          entries.map(() => "-"),
        );
      },
    ),
    { numRuns: 500 },
  );
});

test.each([
  ["a marker of the start of a document", "---\n- id: lotus\n"],
  ["an indented list", "  - id: lotus\n"],
  ["a mapping", "lotus:\n  name: Lotus\n"],
  ["a line that lost its indentation", "- id: lotus\nname: Lotus\n"],
  ["a tab", "- id: lotus\n\tname: Lotus\n"],
])("%s is left to the parser", (_title, text) => {
  expect(splitEntries(text)).toBeUndefined();
});
