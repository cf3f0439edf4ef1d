import { expect, test } from "vitest";
import * as z from "zod";
import { nearest } from "../../validation/wording.ts";
import { readYaml, report } from "../../validation/positions.ts";

const schema = z.strictObject({
  name: z.string(),
  sizes: z.array(z.strictObject({ gigabytes: z.int().min(1).max(100), note: z.string().optional() })),
});

const read = (text: string) => report("It is", readYaml("a.yaml", Buffer.from(text), schema).problems);

test("reads a value and the position of each part", () => {
  const { value, problems, at } = readYaml(
    "a.yaml",
    Buffer.from("name: a\nsizes:\n  - gigabytes: 5\n"),
    schema,
  );
  expect([value, problems]).toEqual([{ name: "a", sizes: [{ gigabytes: 5 }] }, []]);
  expect(at(["sizes", 0, "gigabytes"])).toEqual({ line: 3, column: 16 });
  expect(at(["sizes", 0, "note"])).toEqual({ line: 3, column: 5 });
  expect(at([])).toEqual({ line: 1, column: 1 });
});

test.each([
  [
    "a number that is too large",
    "name: a\nsizes: [{ gigabytes: 5 }, { gigabytes: 500 }]\n",
    "2:40  sizes[1].gigabytes is 500; write at most 100.",
  ],
  [
    "not a whole number",
    "name: a\nsizes: [{ gigabytes: 1.5 }]\n",
    "2:22  sizes[0].gigabytes is 1.5; write a whole number from 1 to 100.",
  ],
  ["no value for a text", "name:\nsizes: []\n", "1:6  name is empty; write text."],
  [
    "a typing error in an optional key",
    "name: a\nsizes: [{ gigabytes: 5 }, { gigabytes: 5, nota: x }]\n",
    "2:43  unknown key `nota`; did you mean `note`?",
  ],
  ["text instead of a mapping", "name\n", '1:1  this is "name"; write a mapping with the keys name, sizes.'],
  ["a key twice", "name: a\nsizes: []\nname: b\n", "3:1  `name` is written twice in one entry; keep one."],
  ["a tab", "name: a\nsizes:\n\t- gigabytes: 5\n", "3:1  a tab; indent by two spaces."],
  [
    "a colon without quotes",
    "name: the end: a story\nsizes: []\n",
    "1:7  text holds `: `; put it in quotes.",
  ],
  [
    "a second document",
    "name: a\nsizes: []\n---\nname: b\n",
    "3:1  a second document begins here; remove the `---`.",
  ],
  [
    "a quote that opens the file",
    '"name: a\nsizes: []\n',
    "1:1  a quote opens here and never closes; close it.",
  ],
  [
    "a tag",
    "name: !secret a\nsizes: []\n",
    "1:7  text begins with a sign that has a meaning in YAML; put it in quotes.",
  ],
  [
    "a merge key",
    "name: a\nsizes: []\n<<: {}\n",
    "3:1  unknown key `<<`; remove it, or write one of name, sizes.",
  ],
])("%s", (_title, text, problem) => {
  expect(read(text)).toBe(`It is not valid: 1 problem.\n  a.yaml:${problem}`);
});

test("refuses an alias bomb before it is expanded", () => {
  const levels = "abcdefghij".split("").map((name, index, all) => {
    const inner = index === 0 ? "lol" : Array.from({ length: 10 }, () => `*${all[index - 1]}`).join(", ");
    return `${name}: &${name} [${inner}]`;
  });
  const said = read(levels.join("\n")).split("\n");
  expect(said).toHaveLength(1 + 10 + 9);
  expect(said.slice(1, 4)).toEqual([
    "  a.yaml:1:7  anchor &a; write the value where it is used, or in quotes if it begins with `&`.",
    "  a.yaml:2:7  anchor &b; write the value where it is used, or in quotes if it begins with `&`.",
    "  a.yaml:2:8  alias *a; write the value itself, in quotes if it begins with `*`.",
  ]);
});

test("sorts problems by file and position, and counts them", () => {
  const at = (file: string, line: number, column: number) => ({
    file,
    line,
    column,
    what: "it is off; write it",
  });
  expect(
    report("The fleet is", [
      at("b", 1, 1),
      at("a", 10, 1),
      at("a", 2, 3),
      { ...at("a", 2, 1), who: 'space "x"' },
    ]),
  ).toBe(
    `The fleet is not valid: 4 problems.
  a:2:1  space "x": it is off; write it.
  a:2:3  it is off; write it.
  a:10:1  it is off; write it.
  b:1:1  it is off; write it.`,
  );
});

test("finds the nearest name for a typing error, and none for another word", () => {
  expect(nearest("standart", ["small", "standard"])).toBe("standard");
  expect(nearest("mian", ["canary", "early", "main"])).toBe("main");
  expect(nearest("huge", ["small", "standard"])).toBeUndefined();
});
