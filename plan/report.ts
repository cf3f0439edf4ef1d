// Writes the plan as Markdown, for readers who have never seen the program. What must be read comes first and is short.
// A section without content is left out, but one line names it, so that nobody takes it for forgotten.
import { MOST_SPACES } from "../infra/inventory/space-users.ts";
import { terabytes } from "../spaces/fleet/capacity.ts";
import type { Kind } from "./comparison.ts";
import type { Figures } from "./fleet-figures.ts";
import { code, cut, grouped, groupedCount, MOST_LISTED, MOST_NAMED, names } from "./markdown.ts";
import {
  countResources,
  countSpaces,
  crowds,
  figuresChange,
  type EnvironmentPlan,
  type Outcome,
} from "./outcome.ts";
import { renderDetails } from "./report-details.ts";
import { differenceLine, groupLine, lossLine } from "./resource-lines.ts";
import { dangerOf } from "./space-changes.ts";
import { describeSpaces, fitsSummary, spaceLine, SPACE_VERBS, type SpaceLine } from "./space-sentences.ts";

/** The plan's text in its two parts: what must be read, and the rest. */
export function renderPlan(outcome: Outcome): { summary: string; details: string } {
  const dangers = [...outcome.environments.flatMap(losses), ...crowds(outcome)].map((text) => `- ${text}`);
  return {
    summary: asText([
      ...renderVerdict(outcome, dangers),
      ...outcome.environments.flatMap(renderEnvironment),
      renderUnchanged(outcome.environments),
      "",
      renderBase(outcome),
    ]),
    details: asText(renderDetails(outcome, dangers.length > MOST_LISTED ? dangers : [])),
  };
}

function asText(lines: readonly string[]): string {
  return `${lines
    .join("\n")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trimEnd()}\n`;
}

/** Whether merging would destroy something that cannot be made again, or changes too many spaces at once. */
export function isDangerous(outcome: Outcome): boolean {
  return outcome.environments.some((plan) => losses(plan).length > 0) || crowds(outcome).length > 0;
}

function losses({ spaces, losses: found }: EnvironmentPlan): string[] {
  return [...spaces.flatMap((change) => dangerOf(change) ?? []), ...found.map(lossLine)];
}

/** The dangers, or that there are none, and all that happens in one sentence. */
function renderVerdict(outcome: Outcome, dangers: readonly string[]): string[] {
  const why = [
    ...(outcome.environments.some((plan) => losses(plan).length > 0) ? ["it would destroy data"] : []),
    ...(crowds(outcome).length > 0 ? ["it concerns too many spaces at once"] : []),
  ].join(", and ");
  return [
    why === "" ? "# What this change does" : `# ⛔ Do not merge this: ${why}`,
    "",
    ...cut(dangers),
    "",
    ...renderCode(outcome.code),
    `It is valid. ${renderTotals(outcome.environments)}`,
    "",
  ];
}

/** A pull request that adds a space changes one tenants file. An administrator must read every other file. */
function renderCode(files: readonly string[]): string[] {
  if (files.length === 0) return [];
  return [
    `⚠️ **This changes more than tenants files.** These files run with credentials after the merge, so an administrator must read them first: ${names(files, files.length, MOST_NAMED)}.`,
    "",
  ];
}

/** One sentence that names only the changes that occur. */
function renderTotals(environments: readonly EnvironmentPlan[]): string {
  const counted = (counts: readonly Readonly<Record<string, number>>[], thing: string, whose = "") =>
    Object.keys(counts[0] ?? {}).flatMap((verb) => {
      const total = counts.reduce((sum, count) => sum + (count[verb] ?? 0), 0);
      return total > 0 ? [`${verb}s ${groupedCount(total, thing)}${whose}`] : [];
    });
  const resources = (ofSpaces: boolean) => environments.map((plan) => countResources(plan, ofSpaces));
  const said = [
    ...counted(environments.map(countSpaces), "space"),
    ...counted(resources(true), "resource", " of spaces"),
    ...counted(resources(false), "resource", " of the platform"),
  ];
  if (said.length === 0) return "Merging it changes nothing that is declared here.";
  return `Merging it, and running \`up\`, ${said.join(", ").replace(/, ([^,]*)$/, " and $1")}.`;
}

function renderEnvironment(plan: EnvironmentPlan): string[] {
  const { name, spaces, promises, catalog, configuration, groups } = plan;
  // What an entry's own change does to its resources is no news. What the catalog or the program does to them is.
  const shown = groups.filter(({ kind, ofSpaces }) => {
    if (kind === "replace") return true;
    return ofSpaces ? kind === "update" && spaces.length === 0 : kind !== "update";
  });
  const lines = [
    ...list("", renderSpaces(describeSpaces(spaces, promises))),
    ...list("**Catalog**, which all spaces share:", cut(catalog.map(differenceLine))),
    ...list("**Configuration:**", cut(configuration.map(differenceLine))),
    ...list("**Resources:**", cut(shown.map(groupLine))),
    ...(figuresChange(plan) ? renderFigures(plan) : []),
  ];
  return lines.length > 0 ? [`## In ${name}`, "", ...lines, ""] : [];
}

function list(title: string, lines: readonly string[]): string[] {
  return lines.length > 0 ? [...(title === "" ? [] : [title, ""]), ...lines, ""] : [];
}

function renderSpaces(lines: readonly SpaceLine[]): string[] {
  return SPACE_VERBS.flatMap((verb) => {
    const found = lines.filter((line) => line.verb === verb);
    const rest = found.slice(MOST_LISTED).reduce((sum, { ids }) => sum + ids.length, 0);
    const full = verb === "added" && fitsSummary(found);
    return [
      ...found.slice(0, MOST_LISTED).flatMap((line) => (full ? renderNew(line) : spaceLine(line))),
      ...(rest > 0 ? [`- … and ${groupedCount(rest, "space")} more ${verb}, in the details`] : []),
    ];
  });
}

function renderNew({ sign, ids, parts: [who = "", ...parts] = [] }: SpaceLine): string[] {
  return [`- ${sign} ${ids.map(code).join()}: ${who}`, ...parts.map((part) => `  - ${part}`)];
}

/** Whether it fits, and what it costs, in one line each. */
function renderFigures({ before, after }: EnvironmentPlan): string[] {
  if (!after) return ["The environment is removed."];
  const change = (show: (figures: Figures) => string) => {
    const [old, now] = [before ? show(before) : "unknown", show(after)];
    return old === now ? now : `${old} → ${now}`;
  };
  const { capacity } = after;
  const storage = capacity
    ? `it fits. ${change((figures) => (figures.capacity ? terabytes(figures.capacity.committed) : "none"))} promised, of ${change((figures) => (figures.capacity ? terabytes(figures.capacity.promisable) : "none"))} that may be: ${((100 * capacity.committed) / capacity.promisable).toFixed(1)} %.`
    : "none is declared.";
  // Said only when it is time to do something.
  const numbers =
    after.spaces > MOST_SPACES * 0.8
      ? [
          `- **Numbers:** ${grouped(after.spaces)} of ${grouped(MOST_SPACES)} spaces that web servers have pools for. Raise MOST_SPACES in infra/inventory/space-users.ts, and run \`up\` for the platform.`,
        ]
      : [];
  const each = ({ cost, present }: Figures) => (present > 0 ? (cost / present).toFixed(2) : "none");
  return [
    `- **Storage:** ${storage}`,
    ...numbers,
    `- **Cost:** ${change(({ cost }) => grouped(cost))} EUR a month; ${change(each)} EUR for each of ${change(({ present }) => grouped(present))} spaces.`,
  ];
}

/** One line that names everything that was looked at and stays as it is. */
function renderUnchanged(environments: readonly EnvironmentPlan[]): string {
  const verbs = new Set(
    environments.flatMap(({ spaces, promises }) => describeSpaces(spaces, promises).map(({ verb }) => verb)),
  );
  const kinds = new Set(
    environments.flatMap(({ groups }) => groups.flatMap(({ ofSpaces, kind }) => (ofSpaces ? [] : [kind]))),
  );
  const spaces = SPACE_VERBS.filter((verb) => !verbs.has(verb));
  const platform = KINDS.filter(([kind]) => !kinds.has(kind)).map(([, done]) => done);
  const same = [
    ...(environments.some(({ catalog }) => catalog.length > 0) ? [] : ["the catalog"]),
    ...(environments.some(({ configuration }) => configuration.length > 0) ? [] : ["the configuration"]),
    ...(environments.some(figuresChange) ? [] : ["storage", "cost"]),
    ...(environments.some(({ groups }) => groups.some(({ ofSpaces }) => ofSpaces))
      ? []
      : ["the resources of spaces"]),
  ];
  const clauses = [
    ...(spaces.length > 0 ? [`no space is ${anyOf(spaces)}`] : []),
    ...(platform.length > 0 ? [`nothing of the platform is ${anyOf(platform)}`] : []),
    ...(same.length > 0
      ? [`${same.join(", ").replace(/, ([^,]*)$/, " and $1")} stay${same.length === 1 ? "s" : ""} the same`]
      : []),
  ];
  if (clauses.length === 0) return "";
  return `Nothing else changes in ${environments.map(({ name }) => name).join(", ")}: ${clauses.join("; ")}.`;
}

const KINDS: readonly [Kind, string][] = [
  ["create", "added"],
  ["update", "changed"],
  ["replace", "replaced"],
  ["delete", "deleted"],
];

/** `a, b, c or d`, of names that may hold such a list themselves. */
function anyOf(words: readonly string[]): string {
  return words
    .join(", ")
    .replaceAll(" or ", ", ")
    .replace(/, ([^,]*)$/, " or $1");
}

function renderBase({ base, leftOut }: Outcome): string {
  const rest =
    leftOut.length > 0 ? ` Left out: ${leftOut.join(", ")} (\`--environment ${leftOut[0]}\` plans it).` : "";
  return `Compared with ${code(base.name)} (${base.commit.slice(0, 12)}).${rest}`;
}
