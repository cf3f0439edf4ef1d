// What a change does to spaces, read from both versions of the tenants files. The base is read leniently, because it
// may follow an older schema. The work tree has passed its checks.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import type { Entry } from "../spaces/fleet/entry.ts";
import { readTenantsFile } from "../spaces/fleet/load-fleet.ts";
import { readLeniently } from "./changed-stacks.ts";
import { code } from "./markdown.ts";

/** An entry as it stands in a file. */
export type LooseEntry = Record<string, unknown> & { id: string };

export interface FieldChange {
  field: string;
  before?: string;
  after?: string;
}

export interface SpaceChange {
  id: string;
  before?: LooseEntry;
  after?: LooseEntry;
  /** The fields that differ, without those of the state. */
  fields: FieldChange[];
  /** The two tenants files, for a space that changed its file. */
  moved?: { from: string; to: string };
}

/** Fields that describe the state and change with it. The id is the same on both sides. */
const OF_STATE = new Set(["id", "state", "reason", "since"]);

/** The state of an entry. An entry of the base may have none. */
export const stateOf = (entry: LooseEntry | undefined): string | undefined => {
  const state = entry?.["state"];
  return typeof state === "string" ? state : undefined;
};

/** The entries of the base's files, file by file; a file that cannot be read has none. */
export function readBaseEntries(root: string, files: readonly string[]): Map<string, LooseEntry[]> {
  const schema = z.looseObject({ id: z.string() });
  return new Map(
    files.map((file) => {
      const path = join(root, file);
      if (!existsSync(path)) return [file, []];
      // The strict reader is many times faster. If it finds no problem, its result is as good.
      const strict = readTenantsFile(file, readFileSync(path));
      if (strict.problems.length === 0) return [file, strict.entries];
      const entries = readLeniently(path);
      return [
        file,
        Array.isArray(entries) ? entries.flatMap((entry) => schema.safeParse(entry).data ?? []) : [],
      ];
    }),
  );
}

/** The differences between the entries of the same files, sorted by id. */
export function compareSpaces(
  before: ReadonlyMap<string, readonly LooseEntry[]>,
  after: ReadonlyMap<string, readonly Entry[]>,
): SpaceChange[] {
  const [old, now] = [index(before), index(after)];
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((id) => {
    const [left, right] = [old.get(id), now.get(id)];
    const change: SpaceChange = {
      id,
      ...(left && { before: left.entry }),
      ...(right && { after: right.entry }),
      fields: left && right ? compareFields(left.entry, right.entry) : [],
      ...(left && right && left.file !== right.file && { moved: { from: left.file, to: right.file } }),
    };
    const same =
      left &&
      right &&
      !change.moved &&
      change.fields.length === 0 &&
      stateText(left.entry) === stateText(right.entry);
    return same ? [] : [change];
  });
}

function index(
  files: ReadonlyMap<string, readonly LooseEntry[]>,
): Map<string, { file: string; entry: LooseEntry }> {
  return new Map(
    [...files].flatMap(([file, entries]) => entries.map((entry) => [entry.id, { file, entry }] as const)),
  );
}

function compareFields(before: LooseEntry, after: LooseEntry): FieldChange[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((field) => !OF_STATE.has(field) && text(before[field]) !== text(after[field]))
    .map((field) => ({
      field,
      ...(before[field] !== undefined && { before: text(before[field]) }),
      ...(after[field] !== undefined && { after: text(after[field]) }),
    }));
}

function stateText(entry: LooseEntry): string {
  return [...OF_STATE].map((field) => text(entry[field])).join("\n");
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined ? "" : JSON.stringify(value);
}

/** A state of the base in a sentence. What is no word there is shown as code. */
export function inWords(state = "there"): string {
  return /^[a-z]+$/.test(state) ? state : code(state);
}

/** Why the change would destroy the data of a space. Undefined if it would not. */
export function dangerOf({ id, before, after, moved }: SpaceChange): string | undefined {
  const state = stateOf(before);
  if (moved)
    return `space ${code(id)} moves from ${moved.from} to ${moved.to}: its data would be destroyed, and an empty space would be created. Put the entry back in its first file: an entry never moves to another file.`;
  if (before && !after && state !== "archived")
    return `space ${code(id)} is ${inWords(state)}, and removing its entry would destroy its data. Put the entry back. To give up the space, suspend it first, then archive it (\`state: archived\` with \`reason\` and \`since\`), and remove the entry when its export is verified.`;
  if (state === "active" && stateOf(after) === "archived")
    return `space ${code(id)} goes from active to archived in one step. Suspend it first (\`state: suspended\`), so that nobody writes while it is exported. Archive it in a later change.`;
  return undefined;
}

/**
 * The limit of octodns (provider/plan.py): a larger change comes from a lost file or a wrong script, not from a
 * decision.
 */
const MANY = { percent: 30, fewest: 10 };

/** Why the change concerns too many spaces of an environment at once. */
export function tooMany(changes: readonly SpaceChange[], existing: number): string[] {
  const rank = (entry: LooseEntry | undefined) =>
    ["active", "suspended", "archived"].indexOf(stateOf(entry) ?? "archived");
  const known = changes.filter(({ before }) => before);
  const kinds: [string, SpaceChange[]][] = [
    [
      "suspended, archived or removed",
      known.filter(({ before, after }) => !after || rank(after) > rank(before)),
    ],
    ["changed", known.filter(({ fields }) => fields.length > 0)],
  ];
  return kinds.flatMap(([what, { length }]) => {
    const percent = (100 * length) / existing;
    if (existing < MANY.fewest || percent <= MANY.percent) return [];
    return `too many spaces ${what}: ${percent.toFixed(2)} % is over ${MANY.percent}.00 % (${length}/${existing}). Check whether a file was lost or overwritten. If it is intended, split it into several changes, or let an administrator plan it with \`npm run plan -- --allow-many\`.`;
  });
}
