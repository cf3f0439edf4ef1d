// A space's database, by PostgreSQL's own programs.
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { CA, type Places } from "./places.ts";
import { endOf, read, run, start, succeeds, type CommandOptions, type Ended } from "./run-command.ts";
import { held, type SpaceWork } from "./space-work.ts";

/** Lets a session write to a database that is shut. Only the programs of ops-1 ask for this. */
export const WRITES = "-c default_transaction_read_only=off";
const PLAIN_ROWS = ["-XAtq", "-v", "ON_ERROR_STOP=1"];

/** libpq's settings for every connection to a space's database. */
export const CONNECTION = {
  PGTARGETSESSIONATTRS: "read-write",
  PGCONNECT_TIMEOUT: "5",
  PGSSLMODE: "verify-full",
  PGSSLROOTCERT: CA,
  // libpq knows no digest for the Ed25519 signatures of our certificates.
  PGCHANNELBINDING: "disable",
};

/** What a program of PostgreSQL needs to work on the space's database with the space's own role. */
function asRole(work: SpaceWork, options = "") {
  const { database } = work.space.document;
  const { hosts, port = 5432 } = work.space.platform.database;
  return {
    ...held(work),
    env: {
      ...CONNECTION,
      PGHOST: hosts,
      PGPORT: String(port),
      PGUSER: database?.user ?? "",
      PGDATABASE: database?.name ?? "",
      PGPASSWORD: database?.password ?? "",
      PGOPTIONS: `${options} ${WRITES}`,
    },
  };
}

/** psql for programs: it gives plain rows, and stops at the first error. */
export function sql(work: SpaceWork, words: readonly string[], input?: string): Promise<Ended> {
  return run(`${work.places.postgresql}/psql`, [...PLAIN_ROWS, ...words], {
    ...asRole(work),
    ...(input !== undefined && { input }),
  });
}

/** Runs statements that must succeed, in one session. Throws CommandError. */
export async function execute(work: SpaceWork, ...statements: string[]): Promise<void> {
  const words = [...PLAIN_ROWS, ...statements.flatMap((statement) => ["-c", statement])];
  await read(`${work.places.postgresql}/psql`, words, asRole(work));
}

/** A value in a statement. */
export const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`;

/** Writes into the space's database what was set last. */
export async function remember(work: SpaceWork, key: string, value: string): Promise<void> {
  const statement = `INSERT INTO framaspace VALUES ('${key}', ${quoted(value)}) ON CONFLICT (key) DO UPDATE SET value = excluded.value`;
  await execute(work, statement);
}

/** Forgets it. */
export const forget = (work: SpaceWork, key: string) =>
  execute(work, `DELETE FROM framaspace WHERE key = '${key}'`);

/** Runs a statement with the administrators' role. */
export const administrate = (work: SpaceWork, statement: string) =>
  psqlAsAdministrator(work.places, "postgres", ["-c", statement], held(work));

/** psql with the administrators' role. */
export function psqlAsAdministrator(
  { postgresql }: Places,
  database: string,
  words: readonly string[],
  { env, ...options }: CommandOptions = {},
): Promise<Ended> {
  const connection = ["-d", `service=framaspace dbname=${database}`];
  return run(`${postgresql}/psql`, [...PLAIN_ROWS, ...connection, ...words], {
    ...options,
    env: { HOME: "/root", ...env },
  });
}

/** Writes a whole dump or none: `FILE.sql.zst`. It is on disk then. Resolves to whether it is. */
export async function dumpDatabase(work: SpaceWork, file: string): Promise<boolean> {
  mkdirSync(dirname(file), { recursive: true });
  // One name: what a killed run left is replaced.
  const fresh = `${file}.new`;
  rmSync(fresh, { force: true });
  writeFileSync(fresh, "", { mode: 0o600 });
  const words = ["--no-owner", "--no-privileges"];
  const dump = start(`${work.places.postgresql}/pg_dump`, words, { ...asRole(work), output: "pipe" });
  const pack = start("zstd", ["-q", "-3", "-f", "-o", fresh], { ...held(work), input: "", output: "pipe" });
  pack.stdout?.resume();
  const [dumped, packed] = await Promise.all([endOf(dump), endOf(pack), connect(dump.stdout, pack.stdin)]);
  if (dumped === 0 && packed === 0 && (await succeeds("zstd", ["-q", "--test", fresh]))) {
    writeToDisk(fresh);
    renameSync(fresh, file);
    return true;
  }
  rmSync(fresh, { force: true });
  return false;
}

/**
 * Replaces everything in the database by a dump, in one transaction. Resolves to whether it did. psql would commit what
 * it has where its input ends, so the input is one `\if`: if it ends before `\endif` (this program was killed, the file
 * is damaged), psql fails, and nothing has changed.
 */
export async function loadDatabase(work: SpaceWork, file: string): Promise<boolean> {
  const words = [...PLAIN_ROWS, "-1", "-f", "-"];
  const load = start(`${work.places.postgresql}/psql`, words, {
    ...asRole(work, "-c client_min_messages=warning"),
    input: "",
    output: "pipe",
  });
  const unpack = start("zstd", ["-qdc", file], { ...held(work), output: "pipe" });
  load.stdout?.resume();
  load.stdin?.on("error", () => {});
  load.stdin?.write(`\\if true\n${readFileSync(`${work.places.library}/empty-database.sql`, "utf8")}`);
  const loaded = endOf(load);
  const [unpacked] = await Promise.all([endOf(unpack), connect(unpack.stdout, load.stdin, { end: false })]);
  load.stdin?.end(unpacked === 0 ? "\\endif\n" : "");
  return (await loaded) === 0 && unpacked === 0;
}

/** Passes everything on. A reader that ends early says so by its status. */
async function connect(
  from: NodeJS.ReadableStream | null,
  to: NodeJS.WritableStream | null,
  options: { end?: boolean } = {},
): Promise<void> {
  if (from && to) await pipeline(from, to, options).catch(() => undefined);
}

function writeToDisk(file: string): void {
  const descriptor = openSync(file, "r+");
  fsyncSync(descriptor);
  closeSync(descriptor);
}
