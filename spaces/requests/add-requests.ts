// `npm run space -- add --from FILE`: many requests at once become entries. What is written holds the group's answers
// only. What is refused is printed for a moderator, with a reply to send, and written nowhere.
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { count } from "../../validation/positions.ts";
import { UserError } from "../../validation/user-error.ts";
import {
  addSpace,
  DEFAULTS,
  NOTHING_CHANGED,
  save,
  type Edit,
  type NewSpace,
  type Place,
} from "../fleet/change-space.ts";
import { fileFor, idOf, insertEntry, type Draft } from "../fleet/edit.ts";
import { splitEntries } from "../fleet/entries.ts";
import { assertValid, tenantsFolder, type Fleet } from "../fleet/fleet.ts";
import { loadFleet } from "../fleet/load-fleet.ts";
import { judgeRequests, type Defaults, type Verdicts } from "./judge-requests.ts";
import { readRequests, visible } from "./read-requests.ts";
import { renderReply } from "./replies.ts";

/** One space, or a file of requests. What else is given holds for all of them. */
export type Additions = Place & Partial<NewSpace> & { from?: string };

/** Adds one space, or those of a file. If it throws a UserError, nothing was changed. */
export function add({ from, id, name, contact, ...rest }: Additions): Edit {
  if (from !== undefined && id === undefined && name === undefined && contact === undefined)
    return addRequests({ from, ...rest });
  if (from === undefined && id !== undefined && name !== undefined)
    return addSpace({ id, name, ...(contact !== undefined && { contact }), ...rest });
  throw new UserError(
    "Write --id and --name for one space, or --from FILE for a file of requests, which have their own names and contacts.",
  );
}

/**
 * Inserts an entry for each good request of a file. Requests that were taken before are left out, so the same file may
 * be given again. Throws a UserError if the file cannot be read, or holds requests and all of them are refused; then
 * nothing was changed.
 */
function addRequests({ root, env, from, ...chosen }: Place & Partial<Defaults> & { from: string }): Edit {
  const before = loadFleet(root, env);
  assertValid(before, NOTHING_CHANGED);
  if (!existsSync(from) || statSync(from).isDirectory())
    throw new UserError(`There is no file ${from}.${NOTHING_CHANGED}`);
  const requests = readRequests(basename(from), readFileSync(from));
  const verdicts = judgeRequests(requests, before, { ...DEFAULTS, ...chosen });
  const { accepted, present, refused } = verdicts;
  const texts = insertAll(
    root,
    before,
    accepted.map(({ draft }) => draft),
  );
  if (accepted.length > 0) save({ root, env }, texts);
  const text = describe(verdicts, placesIn(texts)) + warnOfFile(root, from);
  if (accepted.length === 0 && present.length === 0 && refused.length > 0)
    throw new UserError(`${text}${NOTHING_CHANGED}`);
  return { files: [...texts.keys()].sort(), text, title: titleOf(accepted.map(({ draft }) => draft.id)) };
}

/** The file holds what people wrote of themselves. */
function warnOfFile(root: string, from: string): string {
  return relative(root, resolve(from)).startsWith("..")
    ? ""
    : `${from} lies in the repository: delete it when you are done, never commit it.\n`;
}

/** Only ids: a commit is read by everybody. */
function titleOf([first = "", ...others]: readonly string[]): string {
  return others.length === 0 ? `Add the space ${first}` : `Add the spaces ${first} and ${others.length} more`;
}

/** The new texts of the files, by path. */
function insertAll(
  root: string,
  { environmentName, tenantsFiles }: Fleet,
  drafts: readonly Draft[],
): Map<string, string> {
  const texts = new Map<string, string>();
  const sizes = new Map(tenantsFiles.map(({ name, entries }) => [name, entries.length]));
  for (const draft of drafts) {
    const name = fileFor(
      draft.id,
      [...sizes].map(([number, length]) => ({ name: number, entries: { length } })),
    );
    const file = `${tenantsFolder(environmentName)}/${name}.yaml`;
    const text = texts.get(file) ?? (sizes.has(name) ? readFileSync(join(root, file), "utf8") : undefined);
    texts.set(file, insertEntry(text, draft).text);
    sizes.set(name, (sizes.get(name) ?? 0) + 1);
  }
  return texts;
}

/** File and line of each entry, by its id. */
function placesIn(texts: ReadonlyMap<string, string>): Map<string, string> {
  return new Map(
    [...texts].flatMap(([file, text]) =>
      (splitEntries(text) ?? []).map((block) => [idOf(block), `${file}:${block.line}`] as const),
    ),
  );
}

function describe({ accepted, present, refused }: Verdicts, places: ReadonlyMap<string, string>): string {
  const said: string[] = [];
  if (accepted.length > 0) {
    said.push(`Added ${count(accepted.length, "space")}:`, "");
    for (const { request, draft, notes } of accepted)
      said.push(
        `  ${request.where}: ${visible(draft.name)} is "${draft.id}" in ${places.get(draft.id)}`,
        ...notes.map((note) => `    ${note}`),
      );
    said.push("");
  }
  if (present.length > 0)
    said.push(
      `There already, and left as ${present.length === 1 ? "it is" : "they are"}:`,
      "",
      ...present.map(({ request, id }) => `  ${request.where}: "${id}"`),
      "",
    );
  if (refused.length > 0)
    said.push(
      `Refused ${count(refused.length, "request")}. ${refused.length === 1 ? "It is" : "They are"} written nowhere: send ${refused.length === 1 ? "this reply" : "these replies"} now.`,
      "",
      ...refused.flatMap(({ request, reasons }) => {
        const { name, contact } = request.answers;
        const who = [name, contact].filter((answer) => answer !== undefined).map(visible);
        return [
          `--- ${request.where}${who.length > 0 ? `: ${who.join(", ")}` : ""}`,
          ...reasons.flatMap(({ note }) => (note === undefined ? [] : [`    (${note})`])),
          "",
          renderReply(reasons, request),
          "",
        ];
      }),
    );
  if (said.length === 0) said.push("The file holds no request.", "");
  return said.join("\n");
}
