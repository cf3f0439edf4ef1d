// Tests what the whole program declares. The list is reviewed in test/golden (`npx vitest -u` accepts a change), and
// two evaluations of one declaration are equal to the byte.
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Graph } from "../evaluate/graph.ts";
import { record } from "../evaluate/recorder.ts";
import { graphOf } from "./support/platform-graph.ts";
import { loadFleet } from "../spaces/fleet/load-fleet.ts";
import type { Fleet } from "../spaces/fleet/fleet.ts";
import type { Entry } from "../spaces/fleet/entry.ts";

const GOLDEN = join(import.meta.dirname, "golden");

/** `type name` of every resource, sorted. */
function list({ resources }: Graph): string {
  return `${resources
    .map(({ type, name }) => `${type} ${name}`)
    .sort()
    .join("\n")}\n`;
}

/** A resource as text, by its URN. */
function byUrn({ resources }: Graph): Map<string, string> {
  return new Map(resources.map((resource) => [resource.urn, JSON.stringify(resource)]));
}

const fleet = loadFleet(join(import.meta.dirname, ".."), "prod");
const entries = fleet.tenantsFiles[0]?.entries ?? [];

/** The prod fleet with other entries in its first tenants file. */
function withEntries(others: Entry[]): Fleet {
  return {
    ...fleet,
    tenantsFiles: fleet.tenantsFiles.slice(0, 1).map((tenantsFile) => ({ ...tenantsFile, entries: others })),
  };
}

const spacesOf = (changed: Fleet) => record({ stack: "prod-spaces-001", fleet: changed });

test.each([
  ["the platform", "platform.txt", () => graphOf("prod-platform")],
  ["two spaces", "two-spaces.txt", () => spacesOf(withEntries(entries.slice(0, 2)))],
] as const)("%s declares what test/golden/%s lists", async (_, file, evaluate) => {
  await expect(list(await evaluate())).toMatchFileSnapshot(join(GOLDEN, file));
});

test.each(["prod-platform", "prod-spaces-001"])(
  "%s gives the same bytes in two evaluations",
  async (stack) => {
    const [once, again] = [await graphOf(stack), await record({ stack })];
    expect(JSON.stringify(again)).toBe(JSON.stringify(once));
  },
);

test("the order of the entries does not matter", async () => {
  const [forward, backward] = [await spacesOf(fleet), await spacesOf(withEntries(entries.toReversed()))];
  expect(backward.resources).toEqual(forward.resources);
});

test("a space inserted at the top changes only its own resources", async () => {
  const [first] = entries;
  if (!first) throw new Error("prod has no tenants");
  const [before, after] = [
    byUrn(await spacesOf(fleet)),
    byUrn(await spacesOf(withEntries([{ ...first, id: "aaa-first" }, ...entries]))),
  ];
  const added = [...after.keys()].filter((urn) => !before.has(urn));
  expect(added.every((urn) => /::aaa-first(-[a-z]+)?$/.test(urn))).toBe(true);
  expect(added).toHaveLength(7);
  for (const [urn, text] of before) expect(after.get(urn)).toBe(text);
});
