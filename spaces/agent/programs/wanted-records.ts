// What is wanted of each space. This machine has the record. PostgreSQL has a copy, encrypted, because this machine can
// be lost with all web servers.
import { createCipheriv, createDecipheriv, pbkdf2Sync, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Places } from "./places.ts";
import { idsIn, isId } from "./read-space.ts";
import type { Ended } from "../../../infra/machine/programs/run-command.ts";
import { psqlAsAdministrator } from "./space-database.ts";
import { ProgramError } from "../../../infra/machine/programs/program-error.ts";
import { sha256Hex } from "../../../infra/machine/programs/texts.ts";

const WHO = "finish-spaces";
// The table is in the administrators' own schema. No space reaches the database postgres.
const TABLE =
  "CREATE TABLE IF NOT EXISTS framaspace.spaces (id text PRIMARY KEY, digest text NOT NULL, key text NOT NULL, sealed text NOT NULL);";

/** A row of PostgreSQL's copy. */
interface Row {
  /** Of the record, before it was encrypted. */
  digest: string;
  /** Which key it was encrypted with. With another generation of the key, all rows are encrypted again. */
  key: string;
}

/**
 * Records what is wanted of a space. PostgreSQL comes first, because what only this machine knows would be lost with it.
 * Throws ProgramError if PostgreSQL does not store it.
 * @param record Its JSON, with a new line.
 */
export async function keepWanted(places: Places, id: string, record: string): Promise<void> {
  if (record === "") throw new ProgramError(WHO, `nothing to keep of ${id} on standard input`);
  if (recordOf(places, id) === record) return;
  makeWantedFolder(places);
  const fresh = freshFile(places, id);
  writeFileSync(fresh, record, { mode: 0o600, flush: true });
  if (!(await store(places, id, record)))
    throw new ProgramError(
      WHO,
      `what is wanted of ${id} cannot be kept in PostgreSQL; look at the primary (psql service=framaspace), then run up again`,
    );
  renameSync(fresh, `${places.wanted}/${id}`);
}

/** Throws ProgramError if PostgreSQL does not answer. */
export async function forgetWanted(places: Places, id: string): Promise<void> {
  const statement = `${TABLE}\nDELETE FROM framaspace.spaces WHERE id = :'id';\n`;
  const { status } = await psql(places, statement, { id });
  if (status !== 0)
    throw new ProgramError(
      WHO,
      `${id} cannot be forgotten: PostgreSQL does not answer (psql service=framaspace); run it again`,
    );
  for (const folder of [places.wanted, places.unfinished, places.closed, places.tries])
    rmSync(`${folder}/${id}`, { force: true });
}

/**
 * Makes both the same. This machine's record counts. A record that only PostgreSQL has was lost with a former ops-1: it
 * is fetched, and its space is unfinished. Resolves to what is wrong, as lines.
 */
export async function exchangeWanted(places: Places): Promise<string[]> {
  const { status, output } = await psql(places, `${TABLE}\nSELECT id, digest, key FROM framaspace.spaces;\n`);
  if (status !== 0) return [NO_COPY];
  const there = new Map(rowsOf(output).map(([id, digest = "", key = ""]) => [id, { digest, key }]));
  const here = idsIn(places.wanted);
  const problems = await storeMissing(places, here, there);
  const lost = [...there.keys()].filter((id) => !here.includes(id));
  return lost.length > 0 ? [...problems, ...(await fetchLost(places, lost))] : problems;
}

const NO_COPY = "spaces kept: what is wanted of them cannot be kept in PostgreSQL; psql service=framaspace";

async function storeMissing(
  places: Places,
  here: readonly string[],
  there: ReadonlyMap<string, Row>,
): Promise<string[]> {
  const problems: string[] = [];
  const key = keyId(places);
  for (const id of here) {
    const record = recordOf(places, id);
    // It was forgotten meanwhile.
    if (record === undefined) continue;
    const row = there.get(id);
    if (row?.digest === sha256Hex(record) && row.key === key) continue;
    if (!(await store(places, id, record))) problems.push(`spaces kept: that of ${id} is not in PostgreSQL`);
  }
  return problems;
}

async function fetchLost(places: Places, ids: readonly string[]): Promise<string[]> {
  const statement = `SELECT id, digest, sealed FROM framaspace.spaces WHERE id = ANY (string_to_array('${ids.join(" ")}', ' '));\n`;
  const { status, output } = await psql(places, statement);
  if (status !== 0) return [NO_COPY];
  const problems: string[] = [];
  for (const [id, digest, sealed = ""] of rowsOf(output)) {
    const record = unseal(places, sealed);
    if (record === undefined || sha256Hex(record) !== digest) {
      problems.push(
        `spaces kept: that of ${id} opens with another key than this machine has; write the former number of ops/wanted in framaspace:generations, and run up`,
      );
      continue;
    }
    const fresh = freshFile(places, id);
    writeFileSync(fresh, record, { mode: 0o600 });
    writeFileSync(`${places.unfinished}/${id}`, "it is to be made again on this ops-1\n");
    renameSync(fresh, `${places.wanted}/${id}`);
  }
  return problems;
}

const freshFile = ({ wanted }: Places, id: string) => `${wanted}/.new.${id}`;

/** Records have secrets. */
export function makeWantedFolder({ wanted }: Places): void {
  mkdirSync(wanted, { recursive: true, mode: 0o700 });
}

function recordOf({ wanted }: Places, id: string): string | undefined {
  try {
    return readFileSync(`${wanted}/${id}`, "utf8");
  } catch {
    return undefined;
  }
}

/** Writes this machine's record of a space to PostgreSQL. Resolves to whether it is there. */
async function store(places: Places, id: string, record: string): Promise<boolean> {
  const row = { id, digest: sha256Hex(record), key: keyId(places), sealed: seal(places, record) };
  const { status } = await psql(
    places,
    `${TABLE}
INSERT INTO framaspace.spaces VALUES (:'id', :'digest', :'key', :'sealed')
ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, key = excluded.key, sealed = excluded.sealed;
`,
    row,
  );
  return status === 0;
}

function psql(
  places: Places,
  statements: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const words = Object.entries(variables).flatMap(([name, value]) => ["-v", `${name}=${value}`]);
  return psqlAsAdministrator(places, "postgres", ["-F", " ", ...words, "-f", "-"], {
    input: statements,
    // The table is there already.
    env: { PGOPTIONS: "-c client_min_messages=warning" },
  });
}

/** Rows that begin with an id: it becomes a path. */
function rowsOf(output: string): [id: string, ...string[]][] {
  return output
    .split("\n")
    .map((line) => line.split(" "))
    .filter((row): row is [string, ...string[]] => isId(row[0]));
}

const keyId = ({ wantedKey }: Places) => sha256Hex(readFileSync(wantedKey)).slice(0, 16);

// The form of `openssl enc -aes-256-cbc -pbkdf2 -iter 1 -base64 -A`, so that people can open a row without this program.
const MAGIC = Buffer.from("Salted__");

/** One iteration is enough: the key has 240 bits, and a slow derivation only helps if people could guess it. */
function cipherKey({ wantedKey }: Places, salt: Buffer): { key: Buffer; iv: Buffer } {
  const [password = ""] = readFileSync(wantedKey, "utf8").split("\n");
  const derived = pbkdf2Sync(password, salt, 1, 48, "sha256");
  return { key: derived.subarray(0, 32), iv: derived.subarray(32) };
}

function seal(places: Places, record: string): string {
  const salt = randomBytes(8);
  const { key, iv } = cipherKey(places, salt);
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  return Buffer.concat([MAGIC, salt, cipher.update(record, "utf8"), cipher.final()]).toString("base64");
}

/** Undefined if the key does not fit. */
function unseal(places: Places, sealed: string): string | undefined {
  const data = Buffer.from(sealed, "base64");
  const { key, iv } = cipherKey(places, data.subarray(8, 16));
  try {
    const cipher = createDecipheriv("aes-256-cbc", key, iv);
    return Buffer.concat([cipher.update(data.subarray(16)), cipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}
