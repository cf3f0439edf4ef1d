// Lines of a plan about settings, and about resources of the engine.
import { NAMES_KEPT, type Group, type Kind, type Loss } from "./comparison.ts";
import type { Difference } from "./differences.ts";
import { block, code, grouped, names } from "./markdown.ts";

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
const VERBS: Readonly<Record<Kind, string>> = {
  create: "added",
  update: "changed",
  replace: "replaced",
  delete: "deleted",
};

/** What happens to resources that change alike, in one line. */
export function groupLine({ kind, type, stateful, names: some, count, ofSpaces }: Group): string {
  const warning =
    stateful && !ofSpaces && (kind === "replace" || kind === "delete") ? " ⚠️ **holds data**" : "";
  const size = count > 1 ? `${grouped(count)} × ` : "";
  return `- ${SIGNS[kind]} ${size}${typeName(type)} ${VERBS[kind]}: ${names(some, count, NAMES_KEPT)}${warning}`;
}

/** The same, with what differs. */
export function groupLines(group: Group): string[] {
  return [
    groupLine(group),
    ...group.differences.map((difference) => `  ${differenceLines(difference)}`.replaceAll("\n", "\n  ")),
  ];
}

/** One difference in one line: of a long text, only that it changes. */
export function differenceLine({ path, before, after, patch }: Difference): string {
  const what = code(path.join(" › "));
  if (path.at(-1) === "secure") return `- ${code(path.slice(0, -1).join(" › "))}: the secret changes`;
  if (patch) return `- ${what}: ${grouped(patch.filter((line) => /^[-+]/.test(line)).length)} lines change`;
  if (before === undefined) return `- ${what}: added, ${code(after ?? "")}`;
  if (after === undefined) return `- ${what}: removed, was ${code(before)}`;
  if (before === after) return `- ${what}: the secret changes`;
  return `- ${what}: ${code(before)} → ${code(after)}`;
}

/** One difference with every line that changes. */
export function differenceLines(difference: Difference): string {
  const { path, patch } = difference;
  if (!patch || path.at(-1) === "secure") return differenceLine(difference);
  return [
    `- ${code(path.join(" › "))}:`,
    "  <details><summary>lines that change</summary>",
    "",
    ...block("diff", patch, "  "),
    "",
    "  </details>",
  ].join("\n");
}

/** A resource whose data would be destroyed, and what to do instead. */
export function lossLine({ kind, type, name, urn, stack, because }: Loss): string {
  const cause =
    because.length > 0 ? `, because ${because.map(code).join(" and ")} cannot be changed in place` : "";
  return `${typeName(type)} ${code(name)} of ${stack} would be ${VERBS[kind]}${cause}. Undo that change. If it is intended, an administrator first moves the data elsewhere and then runs ${code(`npx pulumi state unprotect --stack ${stack} '${urn}'`)}.`;
}
