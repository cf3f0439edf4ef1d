// How much storage holds, and how much of it is promised to spaces.
import type { Environment } from "../../infra/inventory/environment.ts";
import { describePools, usableBytes } from "../../infra/inventory/pools.ts";
import { GIGABYTE, type Catalog } from "./catalog.ts";
import type { Entry } from "./entry.ts";

/** What is promised to spaces, and the most that may be, in bytes. */
export interface Capacity {
  /** Each pool of a site, described in words. */
  pools: string[];
  committed: number;
  usable: number;
  /** `usable` times the environment's commitRatio. */
  promisable: number;
}

/** Counts each space that is not archived with its plan's full storage. Undefined where no storage is declared. */
export function capacityOf(
  entries: Iterable<Entry>,
  catalog: Catalog,
  environment: Environment,
): Capacity | undefined {
  if (!environment.storage) return undefined;
  let committed = 0;
  for (const { plan, state } of entries)
    if (state !== "archived") committed += (catalog.plans[plan]?.storageGb ?? 0) * GIGABYTE;
  const usable = usableBytes(environment.storage);
  return {
    pools: describePools(environment.storage),
    committed,
    usable,
    promisable: usable * environment.storage.commitRatio,
  };
}

/** `192 TB`, `1.6 TB`: terabytes of 10^12 bytes, as drives are sold. */
export function terabytes(bytes: number): string {
  return `${Number((bytes / 1e12).toPrecision(3))} TB`;
}
