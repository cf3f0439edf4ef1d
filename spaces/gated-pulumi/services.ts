// The services that hold the data of an environment's spaces.
import { primaryPostgres, siteName } from "../../infra/inventory/addresses.ts";
import type { Environment } from "../../infra/inventory/environment.ts";
import { PORTS } from "../../infra/machine/firewall.ts";
import type { Service } from "./gate.ts";

/** The services that must answer before a stack of spaces is changed or refreshed. */
export function servicesOf(environment: Environment): Service[] {
  const { storage } = environment;
  return [
    { kind: "PostgreSQL", host: primaryPostgres(environment).privateAddress, port: PORTS.postgres },
    ...(storage ? [{ kind: "MinIO" as const, host: siteName(storage.serving), port: PORTS.minio }] : []),
  ];
}
