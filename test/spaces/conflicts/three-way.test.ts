import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mergeVersions } from "../../../spaces/conflicts/three-way.ts";
import { insertEntry, removeEntry, changeState, type Draft } from "../../../spaces/fleet/edit.ts";

const draft = (id: string): Draft => ({
  id,
  name: `The ${id}`,
  kind: "association",
  contact: `contact@${id}.example`,
  plan: "standard",
  office: "collabora",
  wave: "main",
});
const withAll = (text: string, ...ids: string[]) =>
  ids.reduce((before, id) => insertEntry(before, draft(id)).text, text);
const suspend = (text: string, id: string) =>
  changeState(text, id, { state: "suspended", reason: "asked", since: "2026-11-01" });

const BASE = `# yaml-language-server: $schema=../../tenants.schema.json
# The head.

- id: iris # kept
  name: Iris
  state: active

# A word between, about nobody.

# About lotus.
- id: lotus
  name: Lotus
  state: active
# The end.
`;

describe("merges", () => {
  test.each([
    [
      "two entries at one place",
      withAll(BASE, "jasmin"),
      withAll(BASE, "kiwi"),
      withAll(BASE, "jasmin", "kiwi"),
    ],
    [
      "two entries at the end",
      withAll(BASE, "tulipe"),
      withAll(BASE, "zinnia"),
      withAll(BASE, "tulipe", "zinnia"),
    ],
    [
      "two entries at the top",
      withAll(BASE, "acacia"),
      withAll(BASE, "aster"),
      withAll(BASE, "acacia", "aster"),
    ],
    [
      "the same entry once",
      withAll(BASE, "kiwi"),
      withAll(BASE, "kiwi", "zinnia"),
      withAll(BASE, "kiwi", "zinnia"),
    ],
    [
      "a change beside a new entry",
      suspend(BASE, "lotus"),
      withAll(BASE, "kiwi"),
      suspend(withAll(BASE, "kiwi"), "lotus"),
    ],
    [
      "a removal beside a change",
      removeEntry(BASE, "iris"),
      suspend(BASE, "lotus"),
      suspend(removeEntry(BASE, "iris"), "lotus"),
    ],
    [
      "comments: of the head, of an entry, between and at the end",
      BASE.replace("The head", "Our head").replace("A word", "Our word"),
      withAll(BASE.replace("About lotus", "Their lotus").replace("The end", "Their end"), "kiwi"),
      withAll(
        BASE.replace("The head", "Our head")
          .replace("A word", "Our word")
          .replace("About lotus", "Their lotus")
          .replace("The end", "Their end"),
        "kiwi",
      ),
    ],
  ])("%s", (_title, ours, theirs, text) => {
    expect(mergeVersions({ base: BASE, ours, theirs })).toEqual({ text });
    expect(mergeVersions({ base: BASE, ours: theirs, theirs: ours })).toEqual({ text });
  });

  test("a file that both sides began", () => {
    const [ours, theirs] = ["iris", "lotus"].map((id) => insertEntry(undefined, draft(id)).text);
    expect(mergeVersions({ base: "", ours: ours!, theirs: theirs! })).toEqual({
      text: insertEntry(ours, draft("lotus")).text,
    });
  });

  test("a file without blank lines", () => {
    const dense = "- id: iris\n  state: active\n- id: lotus\n  state: active\n";
    expect(
      mergeVersions({ base: dense, ours: withAll(dense, "jasmin"), theirs: withAll(dense, "kiwi") }),
    ).toEqual({ text: withAll(dense, "jasmin", "kiwi") });
  });

  test("the last two entries away, each by one side", () => {
    const both = removeEntry(removeEntry(BASE, "lotus"), "iris");
    expect(
      mergeVersions({ base: BASE, ours: removeEntry(BASE, "iris"), theirs: removeEntry(BASE, "lotus") }),
    ).toMatchObject({ text: expect.stringContaining("[]\n") as string });
    expect(mergeVersions({ base: both, ours: withAll(both, "kiwi"), theirs: both })).toEqual({
      text: withAll(both, "kiwi"),
    });
  });
});

test("merges any additions of two sides to what adding them one after the other gives", () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[a-z]{3,6}$/), { maxLength: 6 });
  fc.assert(
    fc.property(ids, ids, (one, other) => {
      const added = (list: string[]) =>
        withAll(BASE, ...list.filter((id) => id !== "iris" && id !== "lotus"));
      const merged = mergeVersions({ base: BASE, ours: added(one), theirs: added(other) });
      expect(merged).toEqual({ text: added([...new Set([...one, ...other])].sort()) });
    }),
  );
});

test.each([
  [
    "changed by both",
    suspend(BASE, "lotus"),
    BASE.replace("name: Lotus", "name: Lotos"),
    'space "lotus" was changed by both sides',
  ],
  [
    "removed and changed",
    removeEntry(BASE, "lotus"),
    suspend(BASE, "lotus"),
    'space "lotus" was removed by one side and changed by the other',
  ],
  [
    "added in two ways",
    withAll(BASE, "kiwi"),
    withAll(BASE, "kiwi").replace("name: The kiwi", "name: Kiwi"),
    'space "kiwi" was added by both sides, with different lines',
  ],
  [
    "two heads",
    BASE.replace("The head", "Our head"),
    BASE.replace("The head", "Their head"),
    "the comment at its top was changed by both sides",
  ],
  ["no list", BASE, "spaces: 3\n", "one version of it is no list of entries, or has an id twice"],
])("leaves to a person: %s", (_title, ours, theirs, what) =>
  expect(mergeVersions({ base: BASE, ours, theirs })).toEqual({ undecided: [what] }),
);
