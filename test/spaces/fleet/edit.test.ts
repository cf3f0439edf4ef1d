import { createHash } from "node:crypto";
import fc from "fast-check";
import { format } from "prettier";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import {
  changeState,
  fileFor,
  insertEntry,
  refuseTransition,
  removeEntry,
  renderEntry,
  type Draft,
} from "../../../spaces/fleet/edit.ts";
import type { Entry } from "../../../spaces/fleet/entry.ts";
import { ENTRY_LIMITS } from "../../../spaces/fleet/ids.ts";

const draft = (id: string): Draft => ({
  id,
  name: 'L\'Été : "amis" & co',
  kind: "association",
  contact: "contact@group.example",
  plan: "standard",
  office: "collabora",
  wave: "main",
});

const FILE = `# yaml-language-server: $schema=../../tenants.schema.json
# The head of the file.

- id: iris # kept
  name: Iris
  state: active # since the beginning

# Two lines
# about lotus.
- id: lotus
  name: >-
    Lotus
    and friends
  state: suspended
  reason: "asked: by its board"
  # about the date
  since: 2026-10-12
# The end.
`;

describe("inserting", () => {
  test.each([
    [
      "first",
      "acacia",
      "# The head of the file.\n\n- id: acacia\n",
      "  state: active\n\n- id: iris # kept\n",
    ],
    [
      "between two, above the comments of the next",
      "jasmin",
      "since the beginning\n\n- id: jasmin\n",
      "  state: active\n\n# Two lines\n# about lotus.\n- id: lotus\n",
    ],
    ["last", "zinnia", "# The end.\n\n- id: zinnia\n", "  state: active\n"],
  ])("%s", (_title, id, before, after) => {
    const { text, line } = insertEntry(FILE, draft(id));
    const at = text.indexOf(`- id: ${id}\n`);
    expect(text.slice(0, at + `- id: ${id}\n`.length).endsWith(before)).toBe(true);
    expect(text.slice(at)).toContain(after);
    expect(text.split("\n")[line - 1]).toBe(`- id: ${id}`);
  });

  test("adds no blank line to a file without blank lines", () => {
    const dense = "- id: iris\n  state: active\n- id: lotus\n  state: active\n";
    expect(insertEntry(dense, draft("jasmin")).text).toBe(
      `- id: iris\n  state: active\n${renderEntry(draft("jasmin"))}- id: lotus\n  state: active\n`,
    );
  });

  test("starts a new file, or a file with an empty list", () => {
    const begun = `# yaml-language-server: $schema=../../tenants.schema.json\n\n${renderEntry(draft("iris"))}`;
    expect(insertEntry(undefined, draft("iris"))).toEqual({ text: begun, line: 3 });
    expect(insertEntry(removeEntry(begun, "iris"), draft("iris"))).toEqual({ text: begun, line: 3 });
  });
});

test("inserts any entries in any order: sorted, formatted, and every other line kept", async () => {
  const id = fc.stringMatching(/^[a-z][a-z0-9]{2,8}$/);
  const name = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 120 })
    .filter((text) => !/[\p{C}\p{Zl}\p{Zp}]|^\s|\s$/u.test(text));
  const odd = fc
    .array(fc.constantFrom("a", ": ", " #", "'", '"', "\\", "- ", "{", "&", "x "), {
      minLength: 1,
      maxLength: 30,
    })
    .map((parts) => `a${parts.join("")}z`);
  const entries = fc.uniqueArray(fc.tuple(id, fc.oneof(name, odd)), {
    selector: ([first]) => first,
    minLength: 1,
    maxLength: 5,
  });
  await fc.assert(
    fc.asyncProperty(entries, async (chosen) => {
      let text = FILE;
      for (const [one, called] of chosen) text = insertEntry(text, { ...draft(one), name: called }).text;
      const read = parse(text) as { id: string; name: string }[];
      const names = new Map([...chosen, ["iris", "Iris"], ["lotus", "Lotus and friends"]] as [
        string,
        string,
      ][]);
      const known = chosen.filter(([one]) => one !== "iris" && one !== "lotus");
      if (known.length < chosen.length) return;
      expect(read.map((entry) => [entry.id, entry.name])).toEqual(
        [...names].sort(([a], [b]) => (a < b ? -1 : 1)),
      );
      for (const line of FILE.split("\n")) expect(text.split("\n")).toContain(line);
      expect(await format(text, { parser: "yaml", printWidth: 110 })).toBe(text);
      for (const [one] of chosen) text = removeEntry(text, one);
      expect(text).toBe(FILE);
    }),
    { numRuns: 100 },
  );
}, 60_000);

describe("the file for a new space", () => {
  const file = (length: number, index: number) => ({
    name: String(index + 1).padStart(3, "0"),
    entries: { length },
  });
  const ids = Array.from({ length: 400 }, (_, index) => `group-${index}`);

  test.each([
    ["the first, where there is none", [], ["001"]],
    ["the only one of a small fleet", [24], ["001"]],
    ["one of two", [25], ["001", "002"]],
    ["none that keeps only its reserve", [90, 89, 100], ["002", "004", "005", "006"]],
    [
      "one of at most eight",
      [80, 80, 80, 80, 80, 80],
      ["001", "002", "003", "004", "005", "006", "007", "008"],
    ],
    ["every one that has room", [10, 0, 3, 0, 90, 50], ["001", "002", "003", "004", "006"]],
  ])("is %s", (_title, sizes, names) =>
    expect([...new Set(ids.map((id) => fileFor(id, sizes.map(file))))].sort()).toEqual(names),
  );

  test("is more often a fuller one, which has more places", () => {
    const chosen = ids.map((id) => fileFor(id, [80, 10].map(file)));
    const share = chosen.filter((name) => name === "001").length / ids.length;
    expect(share).toBeGreaterThan(0.55);
    expect(share).toBeLessThan(0.85);
  });

  test("is rarely one where another open pull request adds at the same place", () => {
    // Rounds of ten pull requests that all begin from the same main: two entries between the same two are a conflict.
    const files = [
      Array.from(
        { length: 50 },
        (_, index) => `g${createHash("md5").update(`${index}`).digest("hex")}`,
      ).sort(),
    ];
    let conflicts = 0;
    for (let round = 0; round < 100; round++) {
      const main = files.map((entries) => [...entries]);
      const places = new Set<string>();
      for (let request = 0; request < 10; request++) {
        const id = `g${createHash("md5").update(`${round}.${request}`).digest("hex")}`;
        const index =
          Number(
            fileFor(
              id,
              main.map((entries, at) => file(entries.length, at)),
            ),
          ) - 1;
        places.add(`${index} ${main[index]?.filter((other) => other < id).length}`);
        files[index] = [...(files[index] ?? []), id].sort();
      }
      for (let index = 0; index < files.length; index++) files[index] ??= [];
      conflicts += 10 - places.size;
    }
    // With one file at a time, filled to its end, it is 2.6 of ten.
    expect(conflicts / 100).toBeLessThan(0.8);
    expect(Math.max(...files.map((entries) => entries.length))).toBeLessThanOrEqual(
      ENTRY_LIMITS.spacesPerFile,
    );
  });
});

describe("changing the state", () => {
  test("suspends", () => {
    const text = changeState(FILE, "iris", { state: "suspended", reason: "no: reason", since: "2026-11-01" });
    expect(text).toBe(
      FILE.replace(
        "  state: active # since the beginning\n",
        '  state: suspended # since the beginning\n  reason: "no: reason"\n  since: 2026-11-01\n',
      ),
    );
  });

  test("resumes", () => {
    expect(changeState(FILE, "lotus", { state: "active" })).toBe(
      FILE.replace('suspended\n  reason: "asked: by its board"\n', "active\n").replace(
        "  since: 2026-10-12\n",
        "",
      ),
    );
  });

  test("archives, and keeps reason and date in place", () => {
    expect(changeState(FILE, "lotus", { state: "archived", reason: "dissolved", since: "2026-11-02" })).toBe(
      FILE.replace("state: suspended", "state: archived")
        .replace('"asked: by its board"', "dissolved")
        .replace("2026-10-12", "2026-11-02"),
    );
  });
});

test("removing an entry removes the comments right above it; the last entry leaves an empty list", () => {
  const rest = removeEntry(FILE, "iris");
  expect(rest).toBe(FILE.replace(/- id: iris[^]*?\n\n/, ""));
  expect(removeEntry(rest, "lotus")).toBe(FILE.slice(0, FILE.indexOf("- id: iris")) + "[]\n\n# The end.\n");
});

test.each([
  ["active", "suspended", undefined],
  ["active", "archived", "it is active; run `npm run space -- suspend lotus --reason …` first"],
  [
    "active",
    "removed",
    "it is active, and only archived spaces may be removed; run `npm run space -- suspend lotus --reason …` first",
  ],
  ["active", "active", "it is active already"],
  ["suspended", "active", undefined],
  ["suspended", "archived", undefined],
  [
    "suspended",
    "removed",
    "it is suspended, and only archived spaces may be removed; run `npm run space -- archive lotus` first",
  ],
  ["suspended", "suspended", "it is suspended already, since 2026-10-12"],
  ["archived", "removed", undefined],
  ["archived", "active", undefined],
  ["archived", "suspended", "it is archived: its live data is gone or about to go"],
] as const)("from %s to %s: %s", (from, to, refusal) => {
  const entry = { ...draft("lotus"), state: from, reason: "why", since: "2026-10-12" } as Entry;
  expect(refuseTransition(entry, to)).toBe(refusal);
});
