// Which stacks a rollout applies, why, and in which order.
import type { Fleet, TenantsFile } from "../spaces/fleet/fleet.ts";
import type { Applied, Backend } from "./backend.ts";
import { digestsOf, sourceKeys } from "./digests.ts";
import type { Rendered } from "./digest-worker.ts";

export interface Choice {
  stack: string;
  /** `canary`: the one stack of spaces that goes before the others. */
  kind: "platform" | "canary" | "spaces";
  rendered: Rendered;
  /** Hash of the files that it was evaluated from. */
  key: string;
  /** Whether the backend has no such stack yet. */
  isNew: boolean;
  /** Why it is applied, for people. */
  why: string;
}

/** Stacks of an environment, in the order in which they are rolled out: the platform, one with canary spaces, the rest. */
export function stacksInOrder(fleet: Pick<Fleet, "environmentName" | "tenantsFiles">): string[] {
  return kindsInOrder(fleet).map(([stack]) => stack);
}

type Kinds = [stack: string, kind: Choice["kind"]][];

function kindsInOrder({
  environmentName,
  tenantsFiles,
}: Pick<Fleet, "environmentName" | "tenantsFiles">): Kinds {
  const hasCanary = ({ entries }: TenantsFile) => entries.some(({ wave }) => wave === "canary");
  const canary = tenantsFiles.find(hasCanary);
  const stackOf = ({ name }: TenantsFile) => `${environmentName}-spaces-${name}`;
  const rest = tenantsFiles.filter((file) => file !== canary);
  return [
    [`${environmentName}-platform`, "platform"],
    ...(canary ? ([[stackOf(canary), "canary"]] satisfies Kinds) : []),
    ...rest.map((file): Kinds[number] => [stackOf(file), "spaces"]),
  ];
}

/** Chooses the stacks to apply. Rejects with a UserError if a stack cannot be evaluated, or the backend not be read. */
export async function chooseStacks(
  backend: Backend,
  fleet: Fleet,
  all: boolean,
): Promise<{ chosen: Choice[]; unchanged: string[] }> {
  const kinds = kindsInOrder(fleet);
  const stacks = kinds.map(([stack]) => stack);
  const keys = sourceKeys(backend.project, stacks);
  const [digests, known] = await Promise.all([digestsOf(backend.project, keys), backend.stacks()]);
  const applied = await backend.applied(new Map([...known].filter(([stack]) => stacks.includes(stack))));
  const chosen: Choice[] = [];
  const unchanged: string[] = [];
  for (const [stack, kind] of kinds) {
    const [rendered, key] = [digests.get(stack), keys.get(stack)];
    if (!rendered || key === undefined) throw new Error(`${stack} was not evaluated`);
    const isNew = !known.has(stack);
    const why = isNew ? "new" : whyApply(rendered, applied.get(stack), known.get(stack), all);
    if (why === undefined) unchanged.push(stack);
    else chosen.push({ stack, kind, rendered, key, isNew, why });
  }
  return { chosen, unchanged };
}

/** Undefined if the stack is, as far as anybody knows, as it is declared. */
function whyApply(
  { digest }: Rendered,
  applied: Applied | undefined,
  updated: Date | undefined,
  all: boolean,
): string | undefined {
  if (!applied) return "no rollout has applied it yet";
  // Somebody ran `up`, `refresh` or `destroy` by hand, or an `up` was cut off.
  if (updated && updated > applied.at)
    return `its state was written at ${updated.toISOString()}, after the last rollout`;
  if (applied.digest !== digest) return "changed";
  return all ? "unchanged, but --all" : undefined;
}
