// `npm run plan`: says what merging the work tree would do, compared with a base. Both versions are evaluated
// in-process, without engine, cloud or credentials, so that the pull request of anybody can be planned. The plan runs
// the code of that pull request: give it no credentials and no write token.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { environmentNames, readEnvironment } from "../infra/inventory/environment-file.ts";
import type { Environment } from "../infra/inventory/environment.ts";
import type { Catalog } from "../spaces/fleet/catalog.ts";
import { CATALOG_FILE, reportFleets, type Fleet } from "../spaces/fleet/fleet.ts";
import { loadFleet, readCatalog } from "../spaces/fleet/load-fleet.ts";
import { entrySchema, type Entry } from "../spaces/fleet/entry.ts";
import { merge, type Comparison, type Kind } from "./comparison.ts";
import { describeDifferences, type Difference } from "./differences.ts";
import { figuresOf, type Figures } from "./fleet-figures.ts";
import {
  changedStacks,
  codeIn,
  DATA,
  mayChangeProgram,
  readLeniently,
  type Stack,
} from "./changed-stacks.ts";
import { block } from "./markdown.ts";
import { startPool, type ComparisonPool } from "./comparison-pool.ts";
import { countAllResources, type EnvironmentPlan, type Outcome } from "./outcome.ts";
import { isDangerous, renderPlan } from "./report.ts";
import { compareSpaces, dangerOf, readBaseEntries } from "./space-changes.ts";
import { findBase, removeExtracted, type Base } from "./trees.ts";
import { UserError } from "../validation/user-error.ts";

/** An environment without data that anybody would miss. It is left out unless it is asked for. */
const LABORATORY = "lab";

export interface PlanOptions {
  root: string;
  /** @default where the branch left origin/main or main */
  base?: string;
  /** @default all but the laboratory */
  environments?: readonly string[];
  /** Whether a change of many spaces is intended. @default false */
  allowMany?: boolean;
}

export interface Plan {
  /** 0: fine. 1: not valid. 2: would destroy data, or changes too many spaces at once. */
  status: 0 | 1 | 2;
  /** Markdown: what must be read before merging, the dangers first. Ends with a newline. */
  summary: string;
  /** Markdown: all the rest, in folded sections. Empty, or ends with a newline. */
  details: string;
  /** How many resources each kind of change concerns. Absent if nothing was planned. */
  resources?: Readonly<Record<Kind, number>>;
}

/** Both parts of a plan as one text. */
export function planText({ summary, details }: Pick<Plan, "summary" | "details">): string {
  return details === "" ? summary : `${summary}\n${details}`;
}

/** What a terminal shows: the summary, and how to see the rest. */
export function terminalText({ summary, details }: Pick<Plan, "summary" | "details">): string {
  const more = "All resources, settings and spaces: npm run plan -- --details\n";
  return details === "" ? summary : `${summary}\n${more}`;
}

/** Throws a UserError if nothing can be planned. Closes the pool. */
export async function plan(options: PlanOptions, pool = startPool(options.root)): Promise<Plan> {
  try {
    const found = findBase(options.root, options.base);
    const base = { ...found, root: found.extract(mayChangeProgram(found.changed) ? [] : DATA) };
    try {
      return await planAgainst(base, pool, options);
    } finally {
      removeExtracted(base.root);
    }
  } finally {
    await pool.close();
  }
}

/** The plan of one environment against main, as a terminal shows it; undefined where there is no main. */
export async function planIfComparable(
  root: string,
  environment: string,
): Promise<{ status: number; text: string } | undefined> {
  try {
    const planned = await plan({ root, environments: [environment] });
    return { status: planned.status, text: terminalText(planned) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return undefined;
  }
}

async function planAgainst(
  base: ExtractedBase,
  pool: ComparisonPool,
  { root, environments, allowMany = false }: PlanOptions,
): Promise<Plan> {
  const { changed: stacks, total, programChanged } = changedStacks(base.changed, base.root, root);
  const all = [...new Set([...environmentNames(base.root), ...environmentNames(root)])].sort();
  const kept = all.filter((name) => name !== LABORATORY);
  const names = environments ?? (kept.length > 0 ? kept : all);
  const unknown = names.find((name) => !all.includes(name));
  if (unknown !== undefined)
    throw new UserError(
      `there is no environment "${unknown}"; write one of ${all.join(", ")} after --environment.`,
    );
  const wanted = stacks.filter(({ environment }) => names.includes(environment));

  const comparisons = new Map<string, Comparison>();
  const compared = pool.run(
    wanted.map(({ name, inBase, inHead }) => ({
      stack: name,
      ...(inBase && { base: { root: base.root, program: programChanged ? base.root : root } }),
      ...(inHead && { head: { root, program: root } }),
    })),
    (comparison, stack) => comparisons.set(stack, comparison),
  );
  // Awaited below. Until then, a failure must not count as unhandled.
  compared.catch(() => {});

  const fleets = environmentNames(root).map((name) => loadFleet(root, name));
  if (fleets.some(({ problems }) => problems.length > 0))
    return { status: 1, summary: renderInvalid(fleets), details: "" };
  await compared;
  const outcome: Outcome = {
    base,
    environments: names.map((name) =>
      describeEnvironment({
        name,
        base,
        root,
        stacks: wanted.filter(({ environment }) => environment === name),
        fleet: fleets.find(({ environmentName }) => environmentName === name),
        // In the order of the stacks, not in the order of the threads' answers.
        comparison: sum(
          wanted.flatMap((stack) => (stack.environment === name ? (comparisons.get(stack.name) ?? []) : [])),
        ),
      }),
    ),
    code: codeIn(base.changed),
    allowMany,
    evaluated: wanted.length,
    total,
    leftOut: [...new Set(stacks.map(({ environment }) => environment))].filter(
      (name) => !names.includes(name),
    ),
  };
  const resources = countAllResources(outcome.environments);
  return { status: isDangerous(outcome) ? 2 : 0, ...renderPlan(outcome), resources };
}

function sum(comparisons: readonly Comparison[]): Comparison {
  const groups: Comparison["groups"] = new Map();
  for (const comparison of comparisons) for (const group of comparison.groups.values()) merge(groups, group);
  return {
    groups,
    losses: comparisons.flatMap(({ losses }) => losses),
    unchanged: comparisons.reduce((total, { unchanged }) => total + unchanged, 0),
  };
}

/** The text of `npm run check`, as a block because it quotes the files. */
function renderInvalid(fleets: readonly Fleet[]): string {
  const report = reportFleets(fleets).split("\n");
  return ["# This change is not valid, so nothing was planned", "", ...block("text", report), ""].join("\n");
}

type ExtractedBase = Base & { root: string };

interface Sides {
  name: string;
  base: ExtractedBase;
  root: string;
  /** The environment's stacks that were compared. */
  stacks: readonly Stack[];
  /** Absent when the environment is removed. */
  fleet: Fleet | undefined;
  comparison: Comparison;
}

function describeEnvironment({ name, base, root, stacks, fleet, comparison }: Sides): EnvironmentPlan {
  const changed = new Set(
    stacks.flatMap(({ tenantsFile }) =>
      tenantsFile !== undefined && base.changed.includes(tenantsFile) ? [tenantsFile] : [],
    ),
  );
  const tenantsFiles = fleet?.tenantsFiles ?? [];
  const [touched, untouched] = [true, false].map((is) =>
    tenantsFiles.filter(({ file }) => changed.has(file) === is),
  );
  const kept = (untouched ?? []).flatMap(({ entries }) => entries);
  const old = readBaseEntries(base.root, [...changed]);
  const spaces = compareSpaces(old, new Map(touched?.map(({ file, entries }) => [file, entries])));

  const oldEntries = [...old.values()].flat();
  const oldParsed = oldEntries.flatMap((entry): Entry[] => {
    const parsed = entrySchema.safeParse(entry);
    return parsed.success ? [parsed.data] : [];
  });
  const entries = tenantsFiles.flatMap((tenantsFile) => tenantsFile.entries);
  const before =
    oldParsed.length === oldEntries.length
      ? figures([...kept, ...oldParsed], readCatalog(base.root).value, readEnvironment(base.root, name).value)
      : undefined;
  const after = figures(entries, fleet?.catalog, fleet?.environment);

  const archived = new Set(
    [...entries, ...oldParsed].filter(({ state }) => state === "archived").map(({ id }) => id),
  );
  const dangerous = new Set(spaces.filter((change) => dangerOf(change) !== undefined).map(({ id }) => id));
  return {
    name,
    configuration: differencesOf(`Pulumi.${name}.yaml`, base.root, root),
    catalog: differencesOf(CATALOG_FILE, base.root, root),
    spaces,
    promises: {
      domain: fleet?.environment?.domain ?? "",
      ...(fleet?.catalog && { catalog: fleet.catalog }),
    },
    groups: [...comparison.groups.values()],
    losses: comparison.losses.filter(
      ({ space }) => space === undefined || !(archived.has(space) || dangerous.has(space)),
    ),
    unchanged: comparison.unchanged,
    existingSpaces: kept.length + oldEntries.length,
    ...(before && { before }),
    ...(after && { after }),
  };
}

/** Undefined if today's rules cannot read the data. */
function figures(entries: Entry[], catalog?: Catalog, environment?: Environment): Figures | undefined {
  return catalog && environment && figuresOf(entries, catalog, environment);
}

function differencesOf(file: string, base: string, head: string): Difference[] {
  const read = (root: string) => (existsSync(join(root, file)) ? readLeniently(join(root, file)) : {});
  return describeDifferences(read(base), read(head))
    .filter(({ path }) => path[0] !== "encryptionsalt")
    .map(({ path, ...rest }) => ({ path: path[0] === "config" ? path.slice(1) : path, ...rest }));
}
