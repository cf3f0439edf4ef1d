// Writes the plan as Markdown, for readers who have never seen the program. Every section is always there and says when
// it is empty, so that nobody takes a missing section for "no change".
import { markdownTable } from "markdown-table";
import { terabytes } from "../spaces/fleet/capacity.ts";
import { NAMES_KEPT, type Group, type Kind, type Loss } from "./comparison.ts";
import type { Difference } from "./differences.ts";
import type { Figures } from "./fleet-figures.ts";
import { block, code, grouped, groupedCount } from "./markdown.ts";
import { dangerOf, stateOf, tooMany, type SpaceChange } from "./space-changes.ts";
import { describeSpace, type Promises } from "./space-sentences.ts";

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

export interface PlanReport {
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

/** The text, in two parts: what must be read, and the rest. */
export function renderPlan(plan: PlanReport): {
  summary: string;
  details: string;
  resources: Record<Kind, number>;
} {
  const summary = [
    "# What this change does",
    "",
    renderSummary(plan.environments),
    "",
    ...renderCode(plan.code),
    ...renderDangers(plan.environments),
    ...renderTooMany(plan),
    ...renderClosing(plan),
  ];
  return {
    summary: asText(summary),
    details: asText(plan.environments.flatMap(renderEnvironment)),
    resources: totals(plan.environments).resources,
  };
}

function asText(lines: readonly string[]): string {
  return `${lines.join("\n").replaceAll(/\n{3,}/g, "\n\n")}\n`;
}

/** One sentence that names only the changes that occur. */
function renderSummary(environments: readonly EnvironmentPlan[]): string {
  const { spaces, resources } = totals(environments);
  const parts = [
    ...Object.entries(spaces).map(([verb, n]): [string, number, string] => [verb, n, "space"]),
    ...Object.entries(resources).map(([verb, n]): [string, number, string] => [verb, n, "resource"]),
  ].filter(([, n]) => n > 0);
  if (parts.length === 0) return "Merging this changes nothing that is declared here.";
  const said = parts.map(([verb, n, thing]) => `${verb}s ${groupedCount(n, thing)}`);
  return `Merging this, and running \`up\`, ${said.join(", ").replace(/, ([^,]*)$/, " and $1")}.`;
}

function totals(environments: readonly EnvironmentPlan[]) {
  const changes = environments.flatMap(({ spaces }) => spaces);
  const added = changes.filter(({ before }) => !before).length;
  const removed = changes.filter(({ after }) => !after).length;
  const groups = environments.flatMap((environment) => environment.groups);
  const of = (kind: Kind) => groups.reduce((sum, group) => sum + (group.kind === kind ? group.count : 0), 0);
  return {
    spaces: { add: added, change: changes.length - added - removed, remove: removed },
    resources: { create: of("create"), update: of("update"), replace: of("replace"), delete: of("delete") },
  };
}

/** Whether merging would destroy something that cannot be made again, or changes too many spaces at once. */
export function isDangerous(plan: PlanReport): boolean {
  return plan.environments.some((environment) => dangers(environment).length > 0) || crowds(plan).length > 0;
}

/** A pull request that adds a space changes one tenants file. An administrator must read every other file. */
function renderCode(files: readonly string[]): string[] {
  if (files.length === 0) return [];
  const rest = files.length - NAMES_KEPT;
  return [
    `⚠️ **This changes more than tenants files.** These files run with credentials after the merge, so an administrator must read them first: ${files.slice(0, NAMES_KEPT).map(code).join(", ")}${rest > 0 ? ` and ${grouped(rest)} more` : ""}.`,
    "",
  ];
}

function crowds({ environments, allowMany }: PlanReport): string[] {
  if (allowMany) return [];
  return environments.flatMap(({ name, spaces, existingSpaces }) =>
    tooMany(spaces, existingSpaces).map((text) => `${name}: ${text}`),
  );
}

function renderTooMany(plan: PlanReport): string[] {
  const found = crowds(plan);
  if (found.length === 0) return [];
  return ["## ⛔ Too many spaces at once: do not merge it", "", ...found.map((text) => `- ${text}`), ""];
}

function renderDangers(environments: readonly EnvironmentPlan[]): string[] {
  const found = environments.flatMap(dangers);
  if (found.length === 0) return [];
  return ["## ⛔ This would destroy data: do not merge it", "", ...found.map((text) => `- ${text}`), ""];
}

const MOST_LISTED = 20;

function dangers({ spaces, losses }: EnvironmentPlan): string[] {
  const all = [...spaces.flatMap((change) => dangerOf(change) ?? []), ...losses.map(describeLoss)];
  const rest = all.length - MOST_LISTED;
  return rest > 0 ? [...all.slice(0, MOST_LISTED), `… and ${grouped(rest)} more.`] : all;
}

function describeLoss({ kind, type, name, urn, stack, because }: Loss): string {
  const cause =
    because.length > 0 ? `, because ${because.map(code).join(" and ")} cannot be changed in place` : "";
  return `${typeName(type)} ${code(name)} of ${stack} would be ${kind === "replace" ? "replaced" : "deleted"}${cause}. Undo that change. If it is intended, an administrator first moves the data elsewhere and then runs ${code(`npx pulumi state unprotect --stack ${stack} '${urn}'`)}.`;
}

function renderEnvironment(environment: EnvironmentPlan): string[] {
  const { name, groups, catalog, configuration } = environment;
  const platform = groups.filter(({ ofSpaces }) => !ofSpaces);
  return [
    `## Spaces of ${name}`,
    "",
    ...renderSpaces(environment),
    ...section("### What all spaces share", catalog.map(renderDifference), "The catalog does not change."),
    ...section(
      "### Resources of spaces",
      groups.filter(({ ofSpaces }) => ofSpaces).flatMap(renderGroup),
      "No resource of a space changes.",
    ),
    `## Platform of ${name}`,
    "",
    ...section(
      "### Configuration",
      configuration.map(renderDifference),
      "The configuration does not change.",
    ),
    ...KINDS.flatMap(([kind, heading, empty]) =>
      section(`### ${heading}`, platform.filter((group) => group.kind === kind).flatMap(renderGroup), empty),
    ),
    `## Storage and cost of ${name}`,
    "",
    ...renderFigures(environment),
    "",
  ];
}

const KINDS: readonly [Kind, string, string][] = [
  ["create", "Added", "Nothing is added to the platform."],
  ["update", "Changed", "Nothing in the platform changes in place."],
  ["replace", "Replaced", "Nothing in the platform is replaced."],
  ["delete", "Deleted", "Nothing in the platform is deleted."],
];

function section(heading: string, lines: readonly string[], empty: string): string[] {
  return [heading, "", ...(lines.length > 0 ? lines : [empty]), ""];
}

const SPACE_SECTIONS: readonly [string, string, (change: SpaceChange) => boolean][] = [
  ["Added", "No space is added.", ({ before }) => !before],
  [
    "Changed",
    "No space changes.",
    ({ before, after, fields }) => Boolean(before && after) && fields.length > 0,
  ],
  [
    "Suspended or resumed",
    "No space is suspended or resumed.",
    ({ before, after }) =>
      Boolean(before && after) && stateOf(after) !== "archived" && !sameState(before, after),
  ],
  [
    "Archived, removed or moved",
    "No space is archived, removed or moved.",
    ({ before, after, moved }) =>
      Boolean(before) &&
      (!after || Boolean(moved) || (stateOf(after) === "archived" && !sameState(before, after))),
  ],
];

function sameState(before: SpaceChange["before"], after: SpaceChange["after"]): boolean {
  return ["state", "reason", "since"].every((field) => before?.[field] === after?.[field]);
}

function renderSpaces({ spaces, promises }: EnvironmentPlan): string[] {
  return SPACE_SECTIONS.flatMap(([heading, empty, belongs]) =>
    section(
      `### ${heading}`,
      spaces.filter(belongs).map((change) => `- ${describeSpace(change, heading, promises)}`),
      empty,
    ),
  );
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  "command:remote:Command": "script on a machine",
  "framaspace:infra:DedicatedServer": "dedicated server",
};

function typeName(type: string): string {
  const last = type.slice(type.lastIndexOf(":") + 1);
  return (
    TYPE_NAMES[type] ??
    last
      .replaceAll(/(?<=[a-z0-9])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
      .replace(/^./, (letter) => letter.toLowerCase())
  );
}

const SIGNS: Readonly<Record<Kind, string>> = { create: "➕", update: "📝", replace: "♻️", delete: "❌" };

function renderGroup({ kind, type, stateful, differences, names, count: size, ofSpaces }: Group): string[] {
  const rest = size - names.length;
  const who = `${names.map(code).join(", ")}${rest > 0 ? ` and ${grouped(rest)} more` : ""}`;
  const warning =
    stateful && !ofSpaces && (kind === "replace" || kind === "delete") ? " ⚠️ **holds data**" : "";
  const verb = ofSpaces
    ? ` ${{ create: "added", update: "changed", replace: "replaced", delete: "deleted" }[kind]}`
    : "";
  return [
    `- ${SIGNS[kind]} ${size > 1 ? `${grouped(size)} × ` : ""}${typeName(type)}${verb}: ${who}${warning}`,
    ...differences.map((difference) => `  ${renderDifference(difference)}`.replaceAll("\n", "\n  ")),
  ];
}

function renderDifference({ path, before, after, patch }: Difference): string {
  const what = code(path.join(" › "));
  if (path.at(-1) === "secure") return `- ${code(path.slice(0, -1).join(" › "))}: the secret changes`;
  if (patch)
    return [
      `- ${what}:`,
      "  <details><summary>lines that change</summary>",
      "",
      ...block("diff", patch, "  "),
      "",
      "  </details>",
    ].join("\n");
  if (before === undefined) return `- ${what}: added, ${code(after ?? "")}`;
  if (after === undefined) return `- ${what}: removed, was ${code(before)}`;
  if (before === after) return `- ${what}: the secret changes`;
  return `- ${what}: ${code(before)} → ${code(after)}`;
}

function renderFigures({ before, after }: EnvironmentPlan): string[] {
  if (!after) return ["The environment is removed."];
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

function renderClosing({ base, environments, evaluated, total, leftOut }: PlanReport): string[] {
  const { spaces, resources } = totals(environments);
  const list = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([verb, n]) => `${grouped(n)} to ${verb}`)
      .join(", ");
  const existing = environments.reduce((sum, { existingSpaces }) => sum + existingSpaces, 0);
  const unchanged = environments.reduce((sum, environment) => sum + environment.unchanged, 0);
  return [
    "---",
    "",
    `**Spaces: ${list(spaces)}; ${groupedCount(existing, "space")} before. Resources: ${list(resources)}, ${grouped(unchanged)} unchanged.**`,
    "",
    `Compared with ${code(base.name)} (${base.commit.slice(0, 12)}). Evaluated ${evaluated} of ${groupedCount(total, "stack")}: ${evaluated < total ? "nothing that the others are made from has changed" : "all"}.${leftOut.length > 0 ? ` Left out: ${leftOut.join(", ")} (\`--environment ${leftOut[0]}\` plans it).` : ""}`,
  ];
}
