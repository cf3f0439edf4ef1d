// Reads as much of an environment's fleet as one stack is made from. A hundred stacks that each read ten thousand
// entries would take minutes; what spans the tenants files is checked once, where the whole fleet is loaded.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as z from "zod";

interface Reading {
  value?: unknown;
  problems: unknown[];
  at: unknown;
}
const isFunction = (value: unknown) => typeof value === "function";
const readers = z.object({
  readCatalog: z.custom<(root: string) => Reading>(isFunction),
  readShard: z.custom<(file: string, bytes: Uint8Array) => { problems: unknown[] }>(isFunction),
});
const environmentReaders = z.object({
  readEnvironment: z.custom<(root: string, name: string) => Reading>(isFunction),
});

/**
 * A `Fleet` of that version of the repository, made by its own code; undefined where that code has other functions,
 * and its program must read the files itself.
 */
export async function readStackFleet(root: string, stack: string): Promise<unknown> {
  const load = async (path: string): Promise<unknown> => {
    const file = join(root, path);
    return existsSync(file) ? import(pathToFileURL(file).href) : undefined;
  };
  const tenants = readers.safeParse(await load("spaces/tenants.ts"));
  const configuration = environmentReaders.safeParse(await load("infra/environment-file.ts"));
  if (!tenants.success || !configuration.success) return undefined;
  const [environmentName = "", , shardName] = stack.split("-");
  const environment = configuration.data.readEnvironment(root, environmentName);
  const catalog = tenants.data.readCatalog(root);
  const file = `spaces/tenants/${environmentName}/${shardName}.yaml`;
  const shards =
    shardName === undefined ? [] : [tenants.data.readShard(file, readFileSync(join(root, file)))];
  return {
    environmentName,
    environment: environment.value,
    catalog: catalog.value,
    shards,
    problems: [environment, catalog, ...shards].flatMap(({ problems }) => problems),
    sources: { environment, catalog },
  };
}
