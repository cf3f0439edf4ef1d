// The part of a plan that few need to read: every line that the summary leaves out or shortens, in folded sections.
import { markdownTable } from "markdown-table";
import { terabytes } from "../spaces/fleet/capacity.ts";
import type { Group, Kind } from "./comparison.ts";
import type { Figures } from "./fleet-figures.ts";
import { folded, grouped, groupedCount } from "./markdown.ts";
import { figuresChange, type EnvironmentPlan, type Outcome } from "./outcome.ts";
import { differenceLines, groupLines } from "./resource-lines.ts";
import { describeSpaces, fitsSummary, SPACE_VERBS, wholeSpaceLine } from "./space-sentences.ts";

/** The sections that have something to say. `dangers` are all of them, where the summary has not all. */
export function renderDetails(outcome: Outcome, dangers: readonly string[]): string[] {
  return [
    ...folded("Every danger", dangers),
    ...outcome.environments.flatMap(renderEnvironment),
    ...folded("What was compared", renderCompared(outcome)),
  ];
}

function renderEnvironment(plan: EnvironmentPlan): string[] {
  const { name, spaces, promises, catalog, configuration, groups } = plan;
  const lines = describeSpaces(spaces, promises);
  const ofSpaces = groups.filter((group) => group.ofSpaces);
  const platform = (kind: Kind) => groups.filter((group) => !group.ofSpaces && group.kind === kind);
  const resources = (title: string, found: readonly Group[]) => {
    const count = found.reduce((sum, group) => sum + group.count, 0);
    return folded(`${title}: ${grouped(count)}`, found.flatMap(groupLines));
  };
  return [
    ...SPACE_VERBS.flatMap((verb) => {
      const found = lines.filter((line) => line.verb === verb);
      const count = found.reduce((sum, { ids }) => sum + ids.length, 0);
      return folded(
        `Spaces of ${name} that are ${verb}: ${grouped(count)}`,
        fitsSummary(found) ? [] : found.map(wholeSpaceLine),
      );
    }),
    ...folded(`Catalog, as ${name} uses it`, catalog.map(differenceLines)),
    ...resources(`Resources of spaces of ${name}`, ofSpaces),
    ...folded(`Configuration of ${name}`, configuration.map(differenceLines)),
    ...resources(`Platform of ${name}, added`, platform("create")),
    ...resources(`Platform of ${name}, changed in place`, platform("update")),
    ...resources(`Platform of ${name}, replaced`, platform("replace")),
    ...resources(`Platform of ${name}, deleted`, platform("delete")),
    ...folded(`Storage and cost of ${name}`, figuresChange(plan) ? renderFigures(plan) : []),
  ];
}

function renderFigures({ before, after }: EnvironmentPlan): string[] {
  if (!after) return [];
  const rows: [string, (figures: Figures) => string][] = [
    ["active and suspended spaces", ({ present }) => grouped(present)],
    [
      "storage promised to these spaces",
      ({ capacity }) => (capacity ? terabytes(capacity.committed) : "no storage"),
    ],
    ["pools of each site", ({ capacity }) => (capacity ? capacity.pools.join("; ") : "no storage")],
    ["usable storage", ({ capacity }) => (capacity ? terabytes(capacity.usable) : "no storage")],
    [
      "share of the storage that may be promised",
      ({ capacity }) =>
        capacity
          ? `${((100 * capacity.committed) / capacity.promisable).toFixed(1)} % of ${terabytes(capacity.promisable)}`
          : "no storage",
    ],
    ["cost per month", ({ cost }) => `${grouped(cost)} EUR`],
    [
      "cost per month and space",
      ({ cost, present }) => (present > 0 ? `${(cost / present).toFixed(2)} EUR` : "no space"),
    ],
  ];
  const table = rows.map(([label, show]) => [label, before ? show(before) : "unknown", show(after)]);
  return [
    ...markdownTable([["", "before", "after"], ...table], { align: ["l", "r", "r"] }).split("\n"),
    "",
    `Prices without VAT, as of ${after.pricesAsOf}.`,
  ];
}

function renderCompared({ environments, evaluated, total }: Outcome): string[] {
  const existing = environments.reduce((sum, { existingSpaces }) => sum + existingSpaces, 0);
  const unchanged = environments.reduce((sum, plan) => sum + plan.unchanged, 0);
  return [
    `Evaluated ${evaluated} of ${groupedCount(total, "stack")}: ${evaluated < total ? "nothing that the others are made from has changed" : "all"}.`,
    `${groupedCount(existing, "space")} before. Of what was evaluated, ${groupedCount(unchanged, "resource")} unchanged.`,
  ];
}
