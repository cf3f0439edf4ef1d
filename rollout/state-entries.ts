// Entries of a stack's state, made from the program itself: what a resource is, is declared, and its id is known. So a
// state that lost resources, or all of them, is made again without the engine's questions.
import { randomUUID } from "node:crypto";
import { isSecret, mapSecrets, stateSecret, type Graph, type Resource } from "../evaluate/graph.ts";

/** A resource as `pulumi stack import` reads it (apitype.ResourceV3). */
export interface StateEntry {
  urn: string;
  type: string;
  custom: boolean;
  id?: string;
  parent?: string;
  provider?: string;
  protect?: boolean;
  inputs: Record<string, unknown>;
  outputs: Record<string, unknown>;
  dependencies: string[];
  propertyDependencies: Record<string, string[]>;
}

interface Wanted {
  graph: Graph;
  /** URN → the id by which the provider knows the resource. Components and providers need none. */
  ids: ReadonlyMap<string, string>;
  /** What the state has already: URN → id. */
  existing: ReadonlyMap<string, string | undefined>;
  /** Package → version of its plug-in, such as `postgresql` → `3.18.1`. */
  plugins: ReadonlyMap<string, string>;
}

const PROVIDER = "pulumi:providers:";

/**
 * Entries for the resources in `ids`, and for the components and providers that these need and the state lacks. Each
 * comes after all that it names.
 */
export function stateEntries(wanted: Wanted): StateEntry[] {
  const { graph, ids, existing } = wanted;
  const resources = new Map(graph.resources.map((resource) => [resource.urn, resource]));
  const providerIds = new Map<string, string | undefined>(existing);
  const entries = new Map<string, StateEntry>();
  const add = (urn: string): void => {
    const resource = resources.get(urn);
    if (!resource || existing.has(urn) || entries.has(urn)) return;
    const { parent, provider, custom, dependencies } = resource;
    if (parent !== undefined) add(parent);
    if (provider !== undefined) add(provider);
    // What is not in the state may not be named there. The next `up` creates it.
    const known = dependencies.filter((one) => existing.has(one) || ids.has(one));
    known.forEach(add);
    const isProvider = resource.type.startsWith(PROVIDER);
    const id = isProvider ? randomUUID() : ids.get(urn);
    if (custom && id === undefined) return;
    if (isProvider) providerIds.set(urn, id);
    const provided = provider === undefined ? undefined : `${provider}::${providerIds.get(provider)}`;
    entries.set(urn, toEntry(resource, { id, provider: provided, known: new Set(known) }, wanted.plugins));
  };
  for (const { urn, type, custom } of graph.resources)
    if (ids.has(urn) || (ids.size > 0 && !custom && type === "pulumi:pulumi:Stack")) add(urn);
  return [...entries.values()];
}

function toEntry(
  { urn, type, custom, parent, protect, inputs, propertyDependencies }: Resource,
  found: { id: string | undefined; provider: string | undefined; known: ReadonlySet<string> },
  plugins: Wanted["plugins"],
): StateEntry {
  const isProvider = type.startsWith(PROVIDER);
  const version = isProvider ? plugins.get(type.slice(PROVIDER.length)) : undefined;
  // Nobody can read a secret back. Without it in the state, the next `up` sets it again. A provider needs its own.
  const kept = Object.entries(inputs).filter(([, value]) => isProvider || !isSecret(value));
  const values = {
    ...Object.fromEntries(kept.map(([name, value]) => [name, mapSecrets(value, stateSecret)])),
    ...(version !== undefined && { version }),
  };
  const { id, provider, known } = found;
  return {
    urn,
    type,
    custom,
    ...(id !== undefined && { id }),
    ...(parent !== undefined && { parent }),
    ...(provider !== undefined && { provider }),
    ...(protect && { protect }),
    inputs: values,
    // A refresh fills in what only the provider knows. Some providers look for the id among the outputs.
    outputs: { ...values, ...(id !== undefined && { id }) },
    dependencies: [...known],
    propertyDependencies: Object.fromEntries(
      Object.entries(propertyDependencies).map(([name, urns]) => [
        name,
        urns.filter((one) => known.has(one)),
      ]),
    ),
  };
}
