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
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { writeWhole } from "../../../infra/machine/programs/whole-file.ts";
import { CA, type Places } from "./places.ts";
import {
  endOf,
  outputOf,
  read,
  run,
  start,
  succeeds,
  type CommandOptions,
  type Ended,
} from "../../../infra/machine/programs/run-command.ts";
import { held, type NamedWork, type SpaceWork } from "./space-work.ts";

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

/** Writes what a statement prints to a file, however much it is. Throws CommandError. */
export async function writeRows(work: SpaceWork, statement: string, file: string): Promise<void> {
  const words = [...PLAIN_ROWS, "-c", statement];
  await writeWhole(file, outputOf(`${work.places.postgresql}/psql`, words, asRole(work)));
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

/** Runs statements with the administrators' role, one by one. */
export function administrate(work: NamedWork, ...statements: string[]): Promise<Ended> {
  return administrateIn(
    work,
    "postgres",
    statements.flatMap((statement) => ["-c", statement]),
  );
}

/** psql with the administrators' role in one of the databases, for a program that works on a space. */
export function administrateIn(
  work: NamedWork,
  database: string,
  words: readonly string[],
  options: Pick<CommandOptions, "input" | "errors"> = {},
): Promise<Ended> {
  return psqlAsAdministrator(work.places, database, words, { ...held(work), ...options });
}

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
    env: { ...ADMINISTRATOR.env, ...env },
  });
}

/** PostgreSQL's programs find the administrators' credentials in root's home. */
export const ADMINISTRATOR = { env: { HOME: "/root" } };

/** What prints "table rows" of every table in a database. */
export const COUNT_ROWS = String.raw`SELECT format('SELECT %L, count(*) FROM public.%I', relname, relname) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname COLLATE "C" \gexec
`;

/** The rows of every table of the space's database: "table rows". Undefined if it does not answer. */
export async function countRows(work: SpaceWork): Promise<string[] | undefined> {
  const { status, output } = await sql(work, ["-F", " ", "-f", "-"], COUNT_ROWS);
  return status === 0 ? output.split("\n").filter(Boolean) : undefined;
}

/** Whether the database has the table. Throws CommandError if it does not answer. */
export async function hasTable(work: SpaceWork, table: "framaspace" | "oc_filecache"): Promise<boolean> {
  const words = [...PLAIN_ROWS, "-c", `SELECT to_regclass('public.${table}') IS NOT NULL`];
  return (await read(`${work.places.postgresql}/psql`, words, asRole(work))).trim() === "t";
}

/** Writes a dump in SQL that creates everything as whoever loads it. Throws CommandError. */
export async function dumpPlain(work: SpaceWork, file: string): Promise<void> {
  const words = ["--no-owner", "--no-privileges"];
  await writeWhole(file, outputOf(`${work.places.postgresql}/pg_dump`, words, asRole(work)));
}

/** Writes a dump that pg_restore reads. Resolves to whether it could. */
export function dumpToRestore(work: SpaceWork, file: string): Promise<boolean> {
  const words = ["--format=custom", "--no-owner", "--no-privileges", `--file=${file}`];
  return succeeds(`${work.places.postgresql}/pg_dump`, words, asRole(work));
}

/** Writes a whole dump or none: `FILE.sql.zst`. It is on disk then. Resolves to whether it is. */
export async function dumpDatabase(work: SpaceWork, file: string): Promise<boolean> {
  mkdirSync(dirname(file), { recursive: true });
  // One name: what a killed run left is replaced.
  const fresh = `${file}.new`;
  rmSync(fresh, { force: true });
  writeFileSync(fresh, "", { mode: 0o600 });
  const words = ["--no-owner", "--no-privileges"];
  const dump = outputOf(`${work.places.postgresql}/pg_dump`, words, asRole(work));
  if ((await pack(work, dump, fresh)) && (await succeeds("zstd", ["-q", "--test", fresh]))) {
    writeToDisk(fresh);
    renameSync(fresh, file);
    return true;
  }
  rmSync(fresh, { force: true });
  return false;
}

/** Compresses everything into a file. Resolves to whether all of it came. */
export async function pack(work: SpaceWork, content: Readable, file: string): Promise<boolean> {
  const zstd = start("zstd", ["-q", "-3", "-f", "-o", file], { ...held(work), input: "", output: "pipe" });
  zstd.stdout?.resume();
  const came = zstd.stdin && pipeline(content, zstd.stdin).then(...TOLD);
  const [status, whole] = await Promise.all([endOf(zstd), came]);
  return status === 0 && whole === true;
}

const TOLD = [() => true, () => false] as const;

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
  load.stdin?.write(`\\if true\n${emptying(work)}`);
  const loaded = endOf(load);
  const [unpacked] = await Promise.all([endOf(unpack), connect(unpack.stdout, load.stdin, { end: false })]);
  load.stdin?.end(unpacked === 0 ? "\\endif\n" : "");
  return (await loaded) === 0 && unpacked === 0;
}

/** Drops everything in the database, in one transaction. Resolves to whether it did. */
export async function emptyDatabase(work: SpaceWork): Promise<boolean> {
  const words = [...PLAIN_ROWS, "-1", "-f", "-"];
  const options = {
    ...asRole(work, "-c client_min_messages=warning"),
    input: `\\if true\n${emptying(work)}\\endif\n`,
  };
  return succeeds(`${work.places.postgresql}/psql`, words, options);
}

const emptying = ({ places }: SpaceWork) => readFileSync(`${places.library}/empty-database.sql`, "utf8");

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
