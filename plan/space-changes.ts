// What a change does to spaces, read from the two versions of the tenants files. The base is read leniently, so that
// it may have been written for another schema; the work tree has passed its checks.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { readShard, type Tenant } from "../spaces/fleet/fleet.ts";
import { readLeniently } from "./changed-stacks.ts";

/** An entry as it stands in a file. */
export type Entry = Record<string, unknown> & { id: string };

export interface FieldChange {
  field: string;
  before?: string;
  after?: string;
}

export interface SpaceChange {
  id: string;
  before?: Entry;
  after?: Entry;
  /** What differs besides the state and what belongs to it. */
  fields: FieldChange[];
  /** The two tenants files, for a space that changed its file. */
  moved?: { from: string; to: string };
}

/** Fields that say more about a state, and change with it. */
const OF_STATE = new Set(["id", "state", "reason", "since"]);

/** Whether a space has a state, or had it in the base. */
export const stateOf = (entry: Entry | undefined): string | undefined => {
  const state = entry?.["state"];
  return typeof state === "string" ? state : undefined;
};

/** The entries of the base's files, file by file; a file that cannot be read has none. */
export function readBaseEntries(root: string, files: readonly string[]): Map<string, Entry[]> {
  const schema = z.looseObject({ id: z.string() });
  return new Map(
    files.map((file) => {
      const path = join(root, file);
      if (!existsSync(path)) return [file, []];
      // The strict reader is many times faster, and as good where it finds nothing wrong.
      const strict = readShard(file, readFileSync(path));
      if (strict.problems.length === 0) return [file, strict.tenants];
      const entries = readLeniently(path);
      return [
        file,
        Array.isArray(entries) ? entries.flatMap((entry) => schema.safeParse(entry).data ?? []) : [],
      ];
    }),
  );
}

/** What differs between the entries of the same files, sorted by id. */
export function compareSpaces(
  before: ReadonlyMap<string, readonly Entry[]>,
  after: ReadonlyMap<string, readonly Tenant[]>,
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

function index(files: ReadonlyMap<string, readonly Entry[]>): Map<string, { file: string; entry: Entry }> {
  return new Map(
    [...files].flatMap(([file, entries]) => entries.map((entry) => [entry.id, { file, entry }] as const)),
  );
}

function compareFields(before: Entry, after: Entry): FieldChange[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((field) => !OF_STATE.has(field) && text(before[field]) !== text(after[field]))
    .map((field) => ({
      field,
      ...(before[field] !== undefined && { before: text(before[field]) }),
      ...(after[field] !== undefined && { after: text(after[field]) }),
    }));
}

function stateText(entry: Entry): string {
  return [...OF_STATE].map((field) => text(entry[field])).join("\n");
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined ? "" : JSON.stringify(value);
}

/** Why the change would destroy an active space's data; undefined where it does not. */
export function dangerOf({ id, before, after, moved }: SpaceChange): string | undefined {
  const state = stateOf(before);
  if (moved)
    return `space \`${id}\` moves from ${moved.from} to ${moved.to}: it would be destroyed there and made again here. Put its entry back where it was; a space stays in its file.`;
  if (before && !after && state !== "archived")
    return `space \`${id}\` is ${state}, and removing its entry would destroy its data. Put the entry back; to give the space up, first suspend it, then archive it (\`state: archived\` with \`reason\` and \`since\`), and remove the entry once its export is verified.`;
  if (state === "active" && stateOf(after) === "archived")
    return `space \`${id}\` goes from active to archived at once. Suspend it first (\`state: suspended\`), so that nobody writes while it is exported; archive it in a later change.`;
  return undefined;
}

/** As octodns has it (provider/plan.py): beyond this, a change is a lost file or a wrong script, not a decision. */
const MANY = { percent: 30, fewest: 10 };

/** Why the change concerns too many of an environment's spaces at once. */
export function tooMany(changes: readonly SpaceChange[], existing: number): string[] {
  const rank = (entry: Entry | undefined) =>
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
    return `too many spaces ${what}: ${percent.toFixed(2)} % is over ${MANY.percent}.00 % (${length}/${existing}). Look whether a file was lost or overwritten. Where it is meant, make several changes of it, or let an administrator plan it with \`npm run plan -- --allow-many\`.`;
  });
}
