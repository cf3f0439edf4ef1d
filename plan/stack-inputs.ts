// Reads as much of a version of the repository as one stack is made from. A hundred stacks that each read ten thousand
// entries would take minutes; what spans the tenants files is checked once, where the whole fleet is loaded.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as z from "zod";
import { readStackConfiguration, type StackConfiguration } from "../evaluate/stack-configuration.ts";

interface Reading {
  value?: unknown;
  problems: unknown[];
}
const isFunction = (value: unknown) => typeof value === "function";
/** What the version's own code must offer; its older self may not. */
const tenantsModule = z.object({
  readCatalog: z.custom<(root: string) => Reading>(isFunction),
  readShard: z.custom<(file: string, bytes: Uint8Array) => { problems: unknown[] }>(isFunction),
});
const environmentModule = z.object({
  readEnvironment: z.custom<(root: string, name: string) => Reading>(isFunction),
});

interface StackInputs {
  config: StackConfiguration;
  /** A `Fleet` of that version; absent where its program must read the files itself. */
  fleet?: unknown;
}

/**
 * Reads the stacks of one environment in one version, by the code under `program`; what they share is read once.
 * Where two versions have the same code, one of them serves for the data of both.
 */
export async function stackReader(
  program: string,
  root: string,
  environmentName: string,
): Promise<(stack: string) => StackInputs> {
  const config = await readStackConfiguration(join(root, `Pulumi.${environmentName}.yaml`));
  const load = async (path: string): Promise<unknown> =>
    existsSync(join(program, path)) ? import(pathToFileURL(join(program, path)).href) : undefined;
  const tenants = tenantsModule.safeParse(await load("spaces/fleet/fleet.ts"));
  const configuration = environmentModule.safeParse(await load("infra/inventory/environment-file.ts"));
  if (!tenants.success || !configuration.success) return () => ({ config });
  const environment = configuration.data.readEnvironment(root, environmentName);
  const catalog = tenants.data.readCatalog(root);
  return (stack) => {
    const shardName = /-spaces-(\d{3})$/.exec(stack)?.[1];
    const file = `spaces/tenants/${environmentName}/${shardName}.yaml`;
    const shards =
      shardName === undefined ? [] : [tenants.data.readShard(file, readFileSync(join(root, file)))];
    const fleet = {
      environmentName,
      environment: environment.value,
      catalog: catalog.value,
      shards,
      problems: [environment, catalog, ...shards].flatMap(({ problems }) => problems),
      sources: { environment, catalog },
    };
    return { config, fleet };
  };
}
