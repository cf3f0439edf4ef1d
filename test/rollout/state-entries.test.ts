// Entries of a state, made of the graph that the program declares.
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Graph } from "../../evaluate/graph.ts";
import { record } from "../../evaluate/recorder.ts";
import { knownId } from "../../rollout/known-ids.ts";
import { pluginVersions } from "../../rollout/plugin-versions.ts";
import { stateEntries, type StateEntry } from "../../rollout/state-entries.ts";

const plugins = pluginVersions(join(import.meta.dirname, "../.."));
let graph: Graph;
let all: Map<string, string>;
beforeAll(async () => {
  graph = await record({ stack: "prod-spaces-001", passphrase: "example" });
  all = new Map(
    graph.resources.flatMap((resource) => {
      const id = knownId(resource);
      return id === undefined ? [] : [[resource.urn, id] as const];
    }),
  );
});

const named = (entries: readonly StateEntry[], name: string) =>
  entries.find(({ urn }) => urn.endsWith(`::${name}`));

describe("a whole state", () => {
  test("has every resource whose id is planned, and what these need, each after what it names", () => {
    const entries = stateEntries({ graph, ids: all, existing: new Map(), plugins });
    const custom = entries.filter((entry) => entry.custom && !entry.type.startsWith("pulumi:providers:"));
    // A space's role, database, bucket and storage user. Its attachment and its command are made again.
    expect(custom).toHaveLength(4 * graph.resources.filter(({ type }) => type.endsWith(":Space")).length);
    const seen = new Set<string>();
    for (const { urn, parent, provider, dependencies } of entries) {
      const provided = provider === undefined ? [] : [provider.slice(0, provider.lastIndexOf("::"))];
      for (const one of [...(parent === undefined ? [] : [parent]), ...provided, ...dependencies])
        expect(seen).toContain(one);
      seen.add(urn);
    }
  });

  test("knows resources by their planned ids, protected, without secrets, which the next up sets again", () => {
    const entries = stateEntries({ graph, ids: all, existing: new Map(), plugins });
    expect(named(entries, "atelier-velo-bucket")).toMatchObject({ id: "space-atelier-velo", protect: true });
    const role = named(entries, "atelier-velo-role");
    expect(role).toMatchObject({ id: "atelier-velo", protect: true, inputs: { name: "atelier-velo" } });
    expect(role?.inputs).not.toHaveProperty("password");
    expect(role?.outputs).not.toHaveProperty("password");
    const provider = entries.find(({ type }) => type === "pulumi:providers:postgresql");
    expect(provider?.inputs).toMatchObject({ version: plugins.get("postgresql") });
    // The CLI encrypts it.
    expect(provider?.inputs["password"]).toHaveProperty("plaintext");
    expect(role?.provider).toBe(`${provider?.urn}::${provider?.id}`);
  });
});

test("one resource joins a state that has the rest, under the provider that is there", () => {
  const urnOf = (name: string) => graph.resources.find((resource) => resource.name === name)?.urn ?? "";
  const database = urnOf("atelier-velo-database");
  const rest = graph.resources.filter(({ urn }) => urn !== database);
  const existing = new Map(rest.map(({ urn }) => [urn, "an-id"]));
  const entries = stateEntries({ graph, ids: new Map([[database, "atelier-velo"]]), existing, plugins });
  expect(entries).toEqual([
    expect.objectContaining({
      urn: database,
      id: "atelier-velo",
      parent: graph.resources.find(({ type, name }) => type.endsWith(":Space") && name === "atelier-velo")
        ?.urn,
      provider: `${urnOf("postgresql")}::an-id`,
      dependencies: [urnOf("atelier-velo-role")],
    }),
  ]);
});
