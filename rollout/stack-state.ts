// A stack's state as the CLI exports and imports it.
import * as z from "zod";
import type { Graph } from "../evaluate/graph.ts";
import type { Backend } from "./backend.ts";
import { pluginVersions } from "./plugin-versions.ts";
import { stateEntries } from "./state-entries.ts";

const resource = z.looseObject({ urn: z.string(), id: z.string().optional() });
const exported = z.looseObject({
  deployment: z.looseObject({
    resources: z.array(resource).nullish(),
    pending_operations: z.array(z.looseObject({ resource })).nullish(),
  }),
});

/** The whole export, and its resources. */
export async function readState(backend: Backend, stack: string) {
  const whole = exported.parse(JSON.parse(await backend.exportState(stack)));
  return { whole, resources: whole.deployment.resources ?? [] };
}

/**
 * Adds resources to a stack's state, with the components and providers that they need.
 * @param ids URN → the id by which the provider knows the resource.
 */
export async function importEntries(
  backend: Backend,
  stack: string,
  graph: Graph,
  ids: ReadonlyMap<string, string>,
): Promise<void> {
  const { whole, resources } = await readState(backend, stack);
  const existing = new Map(resources.map(({ urn, id }) => [urn, id]));
  const plugins = pluginVersions(backend.project.root);
  const pending = whole.deployment.pending_operations?.filter(
    (operation) => !ids.has(operation.resource.urn),
  );
  const deployment = {
    ...whole.deployment,
    resources: [...resources, ...stateEntries({ graph, ids, existing, plugins })],
    ...(pending && { pending_operations: pending }),
  };
  await backend.importState(stack, JSON.stringify({ ...whole, deployment }));
}
