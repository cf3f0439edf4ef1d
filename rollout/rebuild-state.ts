// `npm run state -- rebuild`: makes lost states again. What is declared is known, and so are its ids: names are planned,
// and the cloud is asked for its numbers. It changes nothing but states, and none that still has resources.
import { record } from "../evaluate/recorder.ts";
import { parseStackName } from "../infra/inventory/stack-name.ts";
import type { Fleet } from "../spaces/fleet/fleet.ts";
import { readPassphrase } from "../spaces/gated-pulumi/passphrase.ts";
import { count } from "../validation/positions.ts";
import { CloudIds } from "./cloud-ids.ts";
import { stacksInOrder } from "./choose-stacks.ts";
import { knownId } from "./known-ids.ts";
import { importEntries, readState } from "./stack-state.ts";
import type { Backend } from "./backend.ts";

export interface RebuildOptions {
  backend: Backend;
  fleet: Fleet;
  /** Only says what would be taken over. */
  dryRun: boolean;
}

/** Makes the states again that the backend lacks, or that are empty. Throws a UserError. */
export async function rebuildStates({ backend, fleet, dryRun }: RebuildOptions): Promise<void> {
  const known = await backend.stacks();
  let rebuilt = 0;
  for (const stack of stacksInOrder(fleet)) {
    const resources = known.has(stack) ? (await readState(backend, stack)).resources.length : 0;
    if (resources > 0) {
      console.log(`${stack}: its state has ${count(resources, "resource")}; left as it is.`);
      continue;
    }
    if (!dryRun && !known.has(stack)) await backend.create(stack);
    const { taken, missing } = await rebuild(backend, stack, dryRun);
    rebuilt += 1;
    console.log(`${stack}: ${dryRun ? "would take" : "took"} over ${count(taken, "resource")}.`);
    if (missing.length > 0)
      console.log(`  not in the cloud, so not in the state either: ${missing.join(", ")}`);
  }
  if (rebuilt > 0 && !dryRun)
    console.log(
      `\nNext, let the engine compare each with what is there, platform first, then bring them up:\n  npm run pulumi -- refresh --stack ${fleet.environmentName}-platform   # and each stack of spaces\n  npm run rollout -- --env ${fleet.environmentName}`,
    );
}

async function rebuild(backend: Backend, stack: string, dryRun: boolean) {
  const { root, configFile } = backend.project;
  const cloud = new CloudIds();
  const isPlatform = parseStackName(stack).part.kind === "platform";
  const graph = await record({
    stack,
    root,
    configFile,
    passphrase: await readPassphrase(),
    ...(isPlatform && { newResource: (resource) => cloud.look(resource) }),
  });
  const planned = graph.resources.flatMap((resource) => {
    const id = knownId(resource);
    return id === undefined ? [] : [[resource.urn, id] as const];
  });
  const ids = isPlatform ? cloud.found : new Map(planned);
  if (!dryRun) await importEntries(backend, stack, graph, ids);
  return { taken: ids.size, missing: cloud.missing };
}
