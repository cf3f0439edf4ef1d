// The Pulumi program. The stack's name decides what it declares. It is a function, so that an import declares nothing
// and `evaluate/recorder.ts` can evaluate it many times.
import * as pulumi from "@pulumi/pulumi";
import { readConfiguration } from "./config.ts";
import { parseStackName } from "./infra/inventory/stack-name.ts";
import { Platform } from "./infra/platform.ts";
import { spaceSoftware } from "./spaces/agent/agent.ts";
import { passGate, Spaces } from "./spaces/spaces.ts";
import { catalogOf } from "./spaces/fleet/catalog.ts";
import { assertValid, tenantsFolder, type Fleet } from "./spaces/fleet/fleet.ts";
import { loadFleet } from "./spaces/fleet/load-fleet.ts";
import { assertPinned } from "./spaces/fleet/unpinned.ts";
import { UserError } from "./validation/user-error.ts";

/**
 * Declares the stack's resources and returns its outputs. A caller that evaluates many stacks of one environment passes
 * `fleet`, so that its 10,000 entries are read once. Throws a RunError with every problem if a file is not valid.
 */
export default async function program(fleet?: Fleet): Promise<Record<string, unknown>> {
  try {
    return await declare(fleet);
  } catch (error) {
    // The engine shows its message alone, without a stack trace.
    throw error instanceof UserError ? new pulumi.RunError(error.message) : error;
  }
}

async function declare(given?: Fleet): Promise<Record<string, unknown>> {
  const { environment: name, part } = parseStackName(pulumi.getStack());
  const configuration = readConfiguration(name);
  const fleet = given ?? loadFleet(import.meta.dirname, name);
  assertValid(fleet);
  const catalog = catalogOf(fleet.catalog, configuration.environment);
  if (part.kind === "platform") {
    // A preview, and a plan, show what would be done, whatever is not pinned yet.
    if (pulumi.runtime.hasEngine() && !pulumi.runtime.isDryRun())
      assertPinned(configuration.environment, catalog);
    const software = spaceSoftware({ ...configuration, catalog });
    const { opsAddress, deployPublicKey } = new Platform("platform", { ...configuration, software });
    return { opsAddress, deployPublicKey };
  }
  const tenantsFile = fleet.tenantsFiles.find((candidate) => candidate.name === part.tenantsFile);
  if (!tenantsFile)
    throw new UserError(
      `stack ${pulumi.getStack()}: ${tenantsFolder(name)}/${part.tenantsFile}.yaml is missing; \`npm run space -- add\` makes a new file when all are full.`,
    );
  const spaces = new Spaces(`spaces-${tenantsFile.name}`, {
    ...configuration,
    ca: await passGate(configuration.environment, configuration.secrets),
    catalog,
    entries: tenantsFile.entries,
  });
  return { spaces: spaces.results };
}
