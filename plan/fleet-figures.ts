// What a version of the repository promises, can hold and costs.
import { CLOUD_ROLES, type Environment } from "../infra/inventory/environment.ts";
import type { Catalog } from "../spaces/fleet/catalog.ts";
import { capacityOf, type Capacity } from "../spaces/fleet/capacity.ts";
import type { Entry } from "../spaces/fleet/entry.ts";

export interface Figures {
  /** Number of active and suspended spaces: those that have storage promised to them and cost money. */
  present: number;
  /** Number of all spaces: an archived one keeps its number, too. */
  spaces: number;
  capacity: Capacity | undefined;
  /** Per month, without VAT. */
  cost: number;
  pricesAsOf: string;
}

export function figuresOf(entries: readonly Entry[], catalog: Catalog, environment: Environment): Figures {
  return {
    present: entries.filter(({ state }) => state !== "archived").length,
    spaces: entries.length,
    capacity: capacityOf(entries, catalog, environment),
    cost: monthlyCost(environment),
    pricesAsOf: environment.prices.asOf,
  };
}

/**
 * The cost of all machines and the load balancer, at the prices of the configuration. The checks of the configuration
 * make sure that each type has a price.
 */
export function monthlyCost({ machines, storage, hcloud, prices }: Environment): number {
  const servers = Object.values(storage?.sites ?? {}).flatMap((site) => site?.servers ?? []).length;
  const bought: [type: string, count: number][] = [
    ...CLOUD_ROLES.map((role): [string, number] => [machines[role].type, machines[role].count]),
    [hcloud.loadBalancerType, 1],
    ...(storage ? [[storage.serverType, servers] satisfies [string, number]] : []),
  ];
  return bought.reduce((sum, [type, count]) => sum + (prices.monthly[type] ?? 0) * count, 0);
}
