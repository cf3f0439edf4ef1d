// One space as the programs of ops-1 read it: as it is wanted, or as its space.json has it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { SpaceDocument } from "../../space-document.ts";
import type { CatalogFile, PlatformFile } from "../machine-files.ts";
import type { Places } from "./places.ts";
import { SpaceError } from "./space-error.ts";

/** A record of an earlier version of the program lacks fields. */
export type StoredDocument = Partial<SpaceDocument> & Pick<SpaceDocument, "id" | "release" | "state">;

/** A space with what all spaces share. Nothing of it changes while a program runs. */
export interface Space {
  readonly id: string;
  readonly document: StoredDocument;
  readonly platform: PlatformFile;
  readonly catalog: CatalogFile;
  /** Its address: `https://lotus.example.org/`. */
  readonly url: string;
  readonly directory: string;
}

/** The id becomes a path. The whole rule is in spaces/fleet/ids.ts. */
export const isId = (word: unknown): word is string =>
  typeof word === "string" && /^[a-z][a-z0-9-]{2,31}$/.test(word);

/** The ids that have a file in a folder, sorted. */
export function idsIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && isId(entry.name))
    .map(({ name }) => name)
    .sort();
}

/** The spaces that have a directory on this machine, sorted. */
export function idsOfSpaces({ spaces }: Places): string[] {
  return readdirSync(spaces)
    .filter((name) => isId(name) && existsSync(`${spaces}/${name}/config/space.json`))
    .sort();
}

/** Reads a space's JSON. Throws SpaceError if it is none, or if paths could not be made of it. */
export function readSpace(places: Places, text: string): Space {
  const document = parse(text);
  const fail = (what: string) => new SpaceError({ id: String(document.id ?? "?"), step: "reading" }, what);
  const { id, release, state } = document;
  if (!isId(id)) throw fail("this is no id");
  if (!/^[0-9]+(\.[0-9]+){2}$/.test(release ?? "")) throw fail(`"${release}" is no release`);
  if (!/^(active|suspended|archived)$/.test(state ?? "")) throw fail(`"${state}" is no state`);
  const platform = readPlatform(places);
  return {
    id,
    // The three that every record has were checked just now.
    document: document as StoredDocument,
    platform,
    catalog: readCatalog(places),
    url: `https://${document.host}${platform.port === undefined ? "" : `:${platform.port}`}/`,
    directory: `${places.spaces}/${id}`,
  };
}

export const readPlatform = ({ platform }: Places) =>
  JSON.parse(readFileSync(platform, "utf8")) as PlatformFile;

export const readCatalog = ({ catalog }: Places) => JSON.parse(readFileSync(catalog, "utf8")) as CatalogFile;

function parse(text: string): Partial<SpaceDocument> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // The message of JSON.parse repeats the text, which has secrets.
  }
  throw new SpaceError({ id: "?", step: "reading" }, "standard input is no JSON");
}

/** The text of a document in files: one line, keys sorted, so that equal documents have equal texts. */
export function textOf(document: object): string {
  return JSON.stringify(sorted(document));
}

/** The same for people: with sorted keys, on many lines. */
export const prettyTextOf = (document: object) => `${JSON.stringify(sorted(document), null, 2)}\n`;

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
