// Changes a space's entry in its tenants file as a person would in an editor. It refuses what `npm run check` would
// refuse, and says what to type next. A pull request and `up` do the rest.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sentence } from "../../validation/positions.ts";
import { UserError } from "../../validation/user-error.ts";
import { nearest } from "../../validation/wording.ts";
import {
  changeState,
  entryText,
  insertEntry,
  refuseTransition,
  removeEntry,
  fileFor,
  type StateChange,
} from "./edit.ts";
import { assertValid, tenantsFolder, type Fleet, type TenantsFile } from "./fleet.ts";
import { loadFleet } from "./load-fleet.ts";
import type { Entry } from "./entry.ts";

/** What a new space gets if the command line says nothing else. */
export const DEFAULTS = { kind: "association", plan: "standard", office: "collabora", wave: "main" };

/** Which environment of which repository. */
export interface Place {
  /** Folder of the repository. */
  root: string;
  env: string;
}

export type NewSpace = { id: string; name: string; contact?: string } & Partial<typeof DEFAULTS>;

/** Why a space is out of service, and its first day (`2026-11-01`). */
export interface Stop {
  reason?: string;
  since: string;
}

/** Tenants files that were written. */
export interface Edit {
  /** Paths from the root of the repository. None if there was nothing to do. */
  files: string[];
  /** What was done, for people. */
  text: string;
  /** The title of a commit of it. */
  title: string;
}

/** Inserts an entry at its place in a file with room. If it throws a UserError, nothing was changed. */
export function addSpace({ root, env, id, name, contact, ...chosen }: Place & NewSpace): Edit {
  const before = loadFleet(root, env);
  assertValid(before, NOTHING_CHANGED);
  const file = `${tenantsFolder(env)}/${fileFor(id, before.tenantsFiles)}.yaml`;
  const existing = before.tenantsFiles.some((tenantsFile) => tenantsFile.file === file)
    ? readFileSync(join(root, file), "utf8")
    : undefined;
  const defaults = { ...DEFAULTS, contact: before.environment.administrators.mail };
  const given = { ...chosen, ...(contact !== undefined && { contact }) };
  const { text, line } = insertEntry(existing, { id, name, ...defaults, ...given });
  save({ root, env }, new Map([[file, text]]));
  const assumed = Object.entries(defaults).filter(([key]) => !Object.hasOwn(given, key));
  const said = [`Added space "${id}" to ${file}, line ${line}:`, "", indent(entryText(text, id)), ""];
  if (assumed.length > 0)
    said.push(`By default: ${assumed.map(([key, value]) => `--${key} ${value}`).join(" ")}`, "");
  return { files: [file], text: said.join("\n"), title: `Add the space ${id}` };
}

/** Takes a space out of service. If it throws a UserError, nothing was changed. */
export function suspendSpace(id: string, { reason, since, ...place }: Place & Required<Stop>): Edit {
  return changeSpace(place, id, () => ({ state: "suspended", reason, since }), "Suspend");
}

/** Puts a space back in service. If it throws a UserError, nothing was changed. */
export function resumeSpace(id: string, place: Place): Edit {
  return changeSpace(place, id, () => ({ state: "active" }), "Resume");
}

/**
 * Archives a suspended space, by default for the reason of its suspension. If it throws a UserError, nothing was
 * changed.
 */
export function archiveSpace(id: string, { reason, since, ...place }: Place & Stop): Edit {
  return changeSpace(
    place,
    id,
    (entry) => ({ state: "archived", reason: reason ?? entry.reason ?? "", since }),
    "Archive",
  );
}

function changeSpace(
  { root, env }: Place,
  id: string,
  to: (entry: Entry) => StateChange,
  verb: string,
): Edit {
  const { tenantsFile, entry } = findSpace(loadFleet(root, env), id);
  const wanted = to(entry);
  refuse(entry, wanted.state);
  const text = changeState(readFileSync(join(root, tenantsFile.file), "utf8"), id, wanted);
  save({ root, env }, new Map([[tenantsFile.file, text]]));
  const said = [
    `Space "${id}" is now ${wanted.state} in ${tenantsFile.file}:`,
    "",
    indent(entryText(text, id)),
    "",
  ];
  return { files: [tenantsFile.file], text: said.join("\n"), title: `${verb} the space ${id}` };
}

/** Removes the entry of an archived space. If it throws a UserError, nothing was changed. */
export function removeSpace(id: string, { root, env }: Place): Edit {
  const { tenantsFile, entry } = findSpace(loadFleet(root, env), id);
  refuse(entry, "removed");
  const text = removeEntry(readFileSync(join(root, tenantsFile.file), "utf8"), id);
  save({ root, env }, new Map([[tenantsFile.file, text]]));
  return {
    files: [tenantsFile.file],
    text: `Removed space "${id}" from ${tenantsFile.file}.\n`,
    title: `Remove the space ${id}`,
  };
}

/**
 * Prints what was done, its plan, and what to type next. Resolves to the plan's status.
 * @param plan Resolves to undefined if there is nothing to compare with.
 */
export async function propose(
  { files, text, title }: Edit,
  plan: () => Promise<{ status: number; text: string } | undefined>,
): Promise<number> {
  console.log(text);
  if (files.length === 0) return 0;
  const planned = await plan();
  if (planned) console.log(planned.text);
  const next = [
    planned ? "Next, open a pull request:" : "Next, see what it will do, then open a pull request:",
    ...(planned ? [] : [`  npm run plan`]),
    `  git switch -c ${title.toLowerCase().replaceAll(" ", "-")}`,
    `  git add ${files.join(" ")}`,
    `  git commit -m "${title}"`,
  ];
  console.log(next.join("\n"));
  return planned?.status ?? 0;
}

/** Finds the entry of a space, and its file. If there is none, throws a UserError that names the nearest id. */
export function findSpace(fleet: Fleet, id: string): { tenantsFile: TenantsFile; entry: Entry } {
  assertValid(fleet, NOTHING_CHANGED);
  for (const tenantsFile of fleet.tenantsFiles) {
    const entry = tenantsFile.entries.find((candidate) => candidate.id === id);
    if (entry) return { tenantsFile, entry };
  }
  const ids = fleet.tenantsFiles.flatMap(({ entries }) => entries.map((entry) => entry.id));
  const meant = nearest(id, ids);
  const where = tenantsFolder(fleet.environmentName);
  throw new UserError(
    `There is no space "${id}" in ${where}${meant === undefined ? "." : `; did you mean "${meant}"?`}`,
  );
}

/** Ends the message of an error before which nothing was written. */
export const NOTHING_CHANGED = "\nNothing was changed.";

function refuse(entry: Entry, to: StateChange["state"] | "removed"): void {
  const reason = refuseTransition(entry, to);
  if (reason !== undefined) throw new UserError(`Space "${entry.id}": ${sentence(reason)}`);
}

/** Writes tenants files if the fleet with them passes every check. */
export function save({ root, env }: Place, texts: ReadonlyMap<string, string>): void {
  assertValid(loadFleet(root, env, texts), NOTHING_CHANGED);
  for (const [file, text] of texts) writeFileSync(join(root, file), text);
}

/** Indents each line by two spaces. */
export function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}
