// The committed environments, as the program reads them.
import { join } from "node:path";
import { readEnvironment } from "../../infra/inventory/environment-file.ts";
import type { Environment } from "../../infra/inventory/environment.ts";

/** Reads one environment. Throws if it has problems. */
export function exampleEnvironment(name: "prod" | "lab"): Environment {
  const { value, problems } = readEnvironment(join(import.meta.dirname, "../.."), name);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value;
}
