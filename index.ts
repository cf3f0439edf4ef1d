// The Pulumi program. The stack's name decides what it declares. It is a function, so that an import declares nothing
// and `evaluate/recorder.ts` can evaluate it many times.
import * as pulumi from "@pulumi/pulumi";
import { parseStackName, readConfiguration } from "./config.ts";
import { Platform } from "./infra/platform.ts";
import { spaceSoftware } from "./spaces/agent/agent.ts";
import { catalogOf } from "./spaces/fleet/catalog.ts";
import { assertValid, InvalidFleet, loadFleet, tenantsFolder, type Fleet } from "./spaces/fleet/fleet.ts";
import { passGate, Spaces } from "./spaces/spaces.ts";

/**
 * Declares the stack's resources and returns its outputs. A caller that evaluates many stacks of one environment passes
 * `fleet`, so that its 10,000 entries are read once. Throws a RunError with every problem if a file is not valid.
 */
export default async function program(fleet?: Fleet): Promise<Record<string, unknown>> {
  const { environment: name, part } = parseStackName(pulumi.getStack());
  const configuration = readConfiguration(name);
  const { catalog: shared, shards } = validFleet(fleet ?? loadFleet(import.meta.dirname, name));
  const catalog = catalogOf(shared, configuration.environment);
  if (part.kind === "platform") {
    const software = spaceSoftware({ ...configuration, catalog });
    const { opsAddress, deployPublicKey } = new Platform("platform", { ...configuration, software });
    return { opsAddress, deployPublicKey };
  }
  const shard = shards.find((candidate) => candidate.name === part.shard);
  if (!shard)
    throw new pulumi.RunError(
      `stack ${pulumi.getStack()}: ${tenantsFolder(name)}/${part.shard}.yaml is missing; \`npm run space -- add\` makes a new file when all are full.`,
    );
  const spaces = new Spaces(`spaces-${shard.name}`, {
    ...configuration,
    ca: await passGate(configuration.environment, configuration.secrets),
    catalog,
    tenants: shard.tenants,
  });
  return { spaces: spaces.results };
}

/** Throws the text that `npm run check` prints, without a stack trace: the fault is in a file, not in the program. */
function validFleet(fleet: Fleet) {
  try {
    assertValid(fleet);
    return fleet;
  } catch (error) {
    throw error instanceof InvalidFleet ? new pulumi.RunError(error.message) : error;
  }
}
