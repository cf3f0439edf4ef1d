// Reads only the part of a version of the repository that one stack is made from: a hundred stacks that each read ten
// thousand entries would take minutes. Checks across tenants files run once, where the whole fleet is loaded.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as z from "zod";
import { readStackConfiguration, type StackConfiguration } from "./stack-configuration.ts";

interface Reading {
  value?: unknown;
  problems: unknown[];
}
const isFunction = (value: unknown) => typeof value === "function";
/** What the code of the version must offer. An older version may lack it. */
const tenantsModule = z.object({
  readCatalog: z.custom<(root: string) => Reading>(isFunction),
  readTenantsFile: z.custom<(file: string, bytes: Uint8Array) => { problems: unknown[] }>(isFunction),
});
const environmentModule = z.object({
  readEnvironment: z.custom<(root: string, name: string) => Reading>(isFunction),
});

interface StackInputs {
  config: StackConfiguration;
  /** A `Fleet` of that version. Absent if its program must read the files itself. */
  fleet?: unknown;
}

/**
 * Reads the stacks of one environment in one version, with the code under `program`. What the stacks share is read
 * once. If two versions have the same code, the code of one reads the data of both.
 * @param configFile The environment's configuration, if it is not the version's own.
 */
export async function stackReader(
  program: string,
  root: string,
  environmentName: string,
  configFile = join(root, `Pulumi.${environmentName}.yaml`),
): Promise<(stack: string) => StackInputs> {
  const config = await readStackConfiguration(configFile);
  const load = async (path: string): Promise<unknown> =>
    existsSync(join(program, path)) ? import(pathToFileURL(join(program, path)).href) : undefined;
  const reader = tenantsModule.safeParse(await load("spaces/fleet/load-fleet.ts"));
  const configuration = environmentModule.safeParse(await load("infra/inventory/environment-file.ts"));
  if (!reader.success || !configuration.success) return () => ({ config });
  const environment = configuration.data.readEnvironment(root, environmentName);
  const catalog = reader.data.readCatalog(root);
  return (stack) => {
    const fileName = /-spaces-(\d{3})$/.exec(stack)?.[1];
    const file = `spaces/tenants/${environmentName}/${fileName}.yaml`;
    const tenantsFiles =
      fileName === undefined ? [] : [reader.data.readTenantsFile(file, readFileSync(join(root, file)))];
    const fleet = {
      environmentName,
      environment: environment.value,
      catalog: catalog.value,
      tenantsFiles,
      problems: [environment, catalog, ...tenantsFiles].flatMap(({ problems }) => problems),
      sources: { environment, catalog },
    };
    return { config, fleet };
  };
}
