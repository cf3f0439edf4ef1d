// list-spaces [--fresh] [ID…]: prints one line of JSON for each space: state, release, accounts, bytes of files, last
// activity, last export, and what is wanted and not done yet. Accounts, bytes and activity come from the databases. For
// named spaces they are asked now; for all spaces they are at most an hour old, because a survey of thousands takes a
// minute. It only reads.
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import type { Places } from "./places.ts";
import type { Result } from "../../../infra/machine/programs/program.ts";
import { idsIn, idsOfSpaces, isId, type StoredDocument } from "./read-space.ts";
import { psqlAsAdministrator } from "./space-database.ts";
import { ProgramError } from "../../../infra/machine/programs/program-error.ts";
import { STORAGES } from "./storage-queries.ts";
import { readIfThere } from "../../../infra/machine/programs/texts.ts";

/** Databases asked at once: well below the number of connections that the server has for the spaces. */
const WORKERS = 8;
/** So many spaces are always asked. */
const FEW = 100;
const LATEST_SECONDS = 3600;

export async function listSpaces(places: Places, argv: readonly string[]): Promise<Result> {
  const fresh = argv[0] === "--fresh";
  const named = fresh ? argv.slice(1) : argv;
  const unknown = named.find((id) => !isId(id) || !existsSync(documentOf(places, id)));
  if (unknown !== undefined) {
    console.error(`there is no space "${unknown}" on this machine; has its stack been brought up?`);
    return { output: "", status: 1 };
  }
  // Spaces that are wanted and not there yet are listed, too.
  const all = [...new Set([...idsOfSpaces(places), ...idsIn(places.wanted)])].sort();
  const ids = named.length > 0 ? named : all;
  const said = await (named.length > 0 ? survey(places, ids) : surveyAll(places, all, fresh));
  const facts = new Map(
    linesOf(said)
      .map((line) => JSON.parse(line) as Facts)
      .map((one) => [one.id, one]),
  );
  const lines = ids.map((id) => `${JSON.stringify(describe(places, id, facts.get(id)))}\n`);
  return { output: lines.join(""), status: 0 };
}

/** Its space.json, or what is wanted of it. */
function documentOf({ spaces, wanted }: Places, id: string): string {
  const own = `${spaces}/${id}/config/space.json`;
  return existsSync(own) ? own : `${wanted}/${id}`;
}

/** What a space's database says. */
interface Facts {
  id: string;
  accounts: number;
  bytes: number;
  /** The moment in UTC: `2026-11-02T14:00:00Z`. */
  lastActivity: string | null;
}

const FACTS = `SELECT json_build_object('id', current_database(),
  'accounts', (SELECT count(*) FROM oc_users),
  'bytes', (SELECT coalesce(sum(f.size), 0) FROM oc_filecache f JOIN ${STORAGES} s ON s.numeric_id = f.storage
              JOIN oc_mimetypes m ON m.id = f.mimetype
             WHERE s.id LIKE 'object::%' AND m.mimetype <> 'httpd/unix-directory' AND f.size > 0),
  'lastActivity', (SELECT to_char(to_timestamp(max(last_activity)) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM oc_authtoken));`;

/** The last survey of all spaces, or a new one. */
async function surveyAll(places: Places, ids: readonly string[], fresh: boolean): Promise<string> {
  const last = statSync(places.survey, { throwIfNoEntry: false });
  const isRecent = last !== undefined && Date.now() - last.mtimeMs <= LATEST_SECONDS * 1000;
  if (!fresh && isRecent && ids.length > FEW) return readFileSync(places.survey, "utf8");
  const said = await survey(places, ids);
  writeFileSync(`${places.survey}.new`, said);
  renameSync(`${places.survey}.new`, places.survey);
  return said;
}

/** Asks those that have a database, because a refused connection would end the psql that asks. */
async function survey(places: Places, ids: readonly string[]): Promise<string> {
  if (ids.length === 0) return "";
  const { status, output } = await psqlAsAdministrator(places, "postgres", [
    "-c",
    "SELECT datname FROM pg_database",
  ]);
  if (status !== 0)
    throw new ProgramError(
      "list-spaces",
      "the databases do not answer; look at the primary (psql service=framaspace)",
    );
  const there = new Set(linesOf(output));
  const asked = ids.filter((id) => there.has(id));
  const shares = Array.from({ length: WORKERS }, (_, worker) =>
    asked.filter((_id, index) => index % WORKERS === worker),
  );
  const said = await Promise.all(
    shares.filter((share) => share.length > 0).map((share) => ask(places, share)),
  );
  return said.join("");
}

/** What each database says. One psql goes from one to the next. A database without a Nextcloud says nothing. */
async function ask(places: Places, ids: readonly string[]): Promise<string> {
  const script = ids.map(
    (id) => String.raw`\connect "${id}"
SELECT to_regclass('public.oc_filecache') IS NOT NULL AS nextcloud \gset
\if :nextcloud
${FACTS}
\endif
`,
  );
  return (await psqlAsAdministrator(places, "postgres", [], { input: script.join("") })).output;
}

/** Nothing of it opens a space. */
function describe(places: Places, id: string, facts: Facts | undefined) {
  const document = JSON.parse(readFileSync(documentOf(places, id), "utf8")) as StoredDocument;
  const exported = parse<LastExport>(`${places.exports}/${id}`);
  const flags = ["maintenance", "suspended", "archived"].filter((flag) =>
    existsSync(`${places.spaces}/${id}/${flag}`),
  );
  return {
    id: document.id,
    name: document.name ?? null,
    host: document.host ?? null,
    state: document.state,
    release: (document.version ?? document.release).split(".").slice(0, 3).join("."),
    reason: document.reason ?? null,
    since: document.since ?? null,
    limits: document.limits ?? null,
    flags: flags.join(" "),
    accounts: facts?.accounts ?? null,
    bytes: facts?.bytes ?? null,
    lastActivity: facts?.lastActivity ?? null,
    lastExport: exported && {
      export: exported.export,
      at: exported.at,
      objects: exported.objects,
      bytes: exported.bytes,
    },
    archived: parse<object>(`${places.archivedRecords}/${id}`),
    unfinished: readIfThere(`${places.unfinished}/${id}`)?.trimEnd() ?? null,
  };
}

/** The record of an export. */
interface LastExport {
  export: string;
  at: string;
  objects: number;
  bytes: number;
}

function parse<Record>(file: string): Record | null {
  const text = readIfThere(file);
  return text === undefined ? null : (JSON.parse(text) as Record);
}

const linesOf = (text: string) => text.split("\n").filter(Boolean);
