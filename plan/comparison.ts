// Compares two graphs of one stack: what differs, and what the engine would do about it. Equal changes of many
// resources form one group, so that a change of ten thousand spaces stays short enough to read.
import type { Graph, Resource } from "../evaluate/graph.ts";
import { describeDifferences, type Difference } from "./differences.ts";
import { holdsData, replacingProperties } from "./provider-knowledge.ts";

export type Kind = "create" | "update" | "replace" | "delete";

/** One change that several resources share. */
export interface Group {
  kind: Kind;
  type: string;
  /** Whether the resources belong to spaces, not to the platform. */
  ofSpaces: boolean;
  /** Whether the resources hold data that people would miss. */
  stateful: boolean;
  differences: Difference[];
  /** Logical names of the first resources. */
  names: string[];
  count: number;
}

/** A resource with data that would be destroyed. */
export interface Loss {
  stack: string;
  kind: "replace" | "delete";
  type: string;
  name: string;
  urn: string;
  /** The space that the resource belongs to. */
  space?: string;
  /** Properties that cannot be changed in place. */
  because: string[];
}

export interface Comparison {
  groups: Map<string, Group>;
  losses: Loss[];
  /** Number of resources that do not change, components not counted. */
  unchanged: number;
}

/** How many names a group keeps: enough to give an idea, and few enough for one line. */
export const NAMES_KEPT = 6;
const SPACE = "framaspace:spaces:Space";

/** Compares two graphs. A stack that one side does not have counts as an empty graph. */
export function compare(stack: string, before: Graph | undefined, after: Graph | undefined): Comparison {
  const comparison: Comparison = { groups: new Map(), losses: [], unchanged: 0 };
  const old = new Map(before?.resources.map((resource) => [resource.urn, resource]));
  for (const resource of after?.resources ?? []) {
    const previous = old.get(resource.urn);
    old.delete(resource.urn);
    if (previous) compareResource(comparison, stack, previous, resource);
    else if (resource.custom) add(comparison, resource, "create", []);
  }
  for (const resource of old.values()) {
    if (resource.custom) add(comparison, resource, "delete", []);
    if (holdsData(resource)) comparison.losses.push(loss(stack, "delete", resource, []));
  }
  return comparison;
}

function compareResource(comparison: Comparison, stack: string, before: Resource, after: Resource): void {
  const ignored = new Set(after.options.ignoreChanges);
  const differences = [
    ...describeDifferences(before.inputs, after.inputs).filter(({ path }) => !ignored.has(path[0] ?? "")),
    ...(before.protect && !after.protect ? [{ path: ["protect"], before: "true", after: "false" }] : []),
    ...describeDifferences({ provider: before.provider }, { provider: after.provider }),
  ];
  if (!after.custom) return;
  if (differences.length === 0) {
    comparison.unchanged += 1;
    return;
  }
  const because = replacingProperties(after).filter((property) =>
    differences.some(({ path }) => path[0] === property),
  );
  const kind = because.length > 0 ? "replace" : "update";
  add(comparison, after, kind, differences);
  if (kind === "replace" && holdsData(before)) comparison.losses.push(loss(stack, kind, before, because));
}

function loss(stack: string, kind: Loss["kind"], resource: Resource, because: string[]): Loss {
  const { type, name, urn } = resource;
  const space = spaceOf(resource);
  return { stack, kind, type, name, urn, because, ...(space !== undefined && { space }) };
}

/** The id of the space whose component holds the resource. */
function spaceOf({ parent }: Resource): string | undefined {
  const [, , type, name] = parent?.split("::") ?? [];
  return type?.split("$").includes(SPACE) ? name : undefined;
}

function add({ groups }: Comparison, resource: Resource, kind: Kind, differences: Difference[]): void {
  const { type, name } = resource;
  const ofSpaces = spaceOf(resource) !== undefined;
  const stateful = holdsData(resource);
  merge(groups, { kind, type, ofSpaces, stateful, differences, names: [name], count: 1 });
}

/** Adds a group. If there is an equal group already, adds the names and the count to that one. */
export function merge(groups: Map<string, Group>, group: Group): void {
  const { kind, type, ofSpaces, stateful, differences, names, count } = group;
  const key = JSON.stringify([kind, type, ofSpaces, stateful, differences]);
  const like = groups.get(key);
  if (!like) groups.set(key, { ...group, names: names.slice(0, NAMES_KEPT) });
  else {
    like.names = [...like.names, ...names].slice(0, NAMES_KEPT);
    like.count += count;
  }
}
