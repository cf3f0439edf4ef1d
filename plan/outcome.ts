// What a plan found, before it becomes a text.
import type { Group, Kind, Loss } from "./comparison.ts";
import type { Difference } from "./differences.ts";
import type { Figures } from "./fleet-figures.ts";
import { tooMany, type SpaceChange } from "./space-changes.ts";
import type { Promises } from "./space-sentences.ts";

/** What a plan found in one environment. */
export interface EnvironmentPlan {
  name: string;
  configuration: Difference[];
  catalog: Difference[];
  spaces: SpaceChange[];
  promises: Promises;
  groups: Group[];
  /** Losses that `dangerOf` does not report already, and that do not belong to an archived space. */
  losses: Loss[];
  unchanged: number;
  /** Absent if the environment is new, or if today's rules cannot read its base. */
  before?: Figures;
  after?: Figures;
  existingSpaces: number;
}

export interface Outcome {
  base: { name: string; commit: string };
  environments: EnvironmentPlan[];
  evaluated: number;
  total: number;
  /** Environments that the plan left out. */
  leftOut: string[];
  /** Files of the change that run with credentials after the merge, or that decide what runs. */
  code: string[];
  /** Whether a change of many spaces is intended. */
  allowMany: boolean;
}

/** How many spaces an environment's plan adds, changes and removes. */
export function countSpaces({ spaces }: EnvironmentPlan) {
  const add = spaces.filter(({ before }) => !before).length;
  const remove = spaces.filter(({ after }) => !after).length;
  return { add, change: spaces.length - add - remove, remove };
}

/** How many resources of spaces, or of the platform, the engine would create, update, replace and delete. */
export function countResources({ groups }: EnvironmentPlan, ofSpaces: boolean): Record<Kind, number> {
  const counts = { create: 0, update: 0, replace: 0, delete: 0 };
  for (const group of groups) if (group.ofSpaces === ofSpaces) counts[group.kind] += group.count;
  return counts;
}

/** How many resources of all environments each kind of change concerns. */
export function countAllResources(environments: readonly EnvironmentPlan[]): Record<Kind, number> {
  const all = environments.flatMap((one) => [countResources(one, true), countResources(one, false)]);
  const of = (kind: Kind) => all.reduce((sum, counts) => sum + counts[kind], 0);
  return { create: of("create"), update: of("update"), replace: of("replace"), delete: of("delete") };
}

/** Whether the environment's storage or cost becomes another. */
export function figuresChange({ before, after }: EnvironmentPlan): boolean {
  return JSON.stringify(before) !== JSON.stringify(after);
}

/** Why the change concerns too many spaces at once. Empty if that is intended. */
export function crowds({ environments, allowMany }: Outcome): string[] {
  if (allowMany) return [];
  return environments.flatMap(({ name, spaces, existingSpaces }) =>
    tooMany(spaces, existingSpaces).map((text) => `${name}: ${text}`),
  );
}
