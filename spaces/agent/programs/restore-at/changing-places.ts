// The database of the moment takes the place of the one in use.
import { rmSync } from "node:fs";
import { read } from "../../../../infra/machine/programs/run-command.ts";
import { followDatabase, NEW_FINGERPRINT } from "../restore/follow-database.ts";
import { CommandError } from "../../../../infra/machine/programs/program-error.ts";
import { administrateIn, ADMINISTRATOR } from "../space-database.ts";
import { held } from "../space-work.ts";
import { dumpOf } from "./backup.ts";
import { record, type RestoringAt } from "./restoring-at.ts";

/** Runs psql, which must succeed. Resolves to what it prints. */
async function administer(
  work: RestoringAt,
  database: string,
  words: readonly string[],
  input?: string,
): Promise<string> {
  const { status, output } = await administrateIn(work, database, words, {
    ...(input !== undefined && { input }),
  });
  if (status !== 0) throw new CommandError("psql", status);
  return output.trim();
}

const drop = (work: RestoringAt, database: string) =>
  administer(work, "postgres", [
    "-c",
    "SET client_min_messages = warning",
    "-c",
    `DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`,
  ]);

/** Loads the dump beside the database in use. Resolves to the new fingerprint for sync clients. */
export async function loadBeside(work: RestoringAt): Promise<string> {
  const { databases, places, source, from, space } = work;
  const { restored } = databases;
  const user = space.document.database?.user ?? "";
  const bucket = space.document.s3?.bucket;
  await drop(work, restored);
  await administer(work, "postgres", [
    "-c",
    `CREATE DATABASE "${restored}" OWNER "${user}" TEMPLATE template0`,
  ]);
  // pg_restore takes the space's own role, so that the role owns everything in the database.
  const words = ["--no-owner", "--no-acl", "--exit-on-error", "--single-transaction", dumpOf(work)];
  await read(
    `${places.postgresql}/pg_restore`,
    [`--dbname=service=framaspace dbname=${restored}`, `--role=${user}`, ...words],
    { ...held(work), ...ADMINISTRATOR },
  );
  const role = `SET ROLE "${user}"`;
  const fingerprint = await administer(work, restored, ["-c", role, "-c", NEW_FINGERPRINT]);
  if (source !== space.id && bucket !== undefined)
    await administer(
      work,
      restored,
      [],
      String.raw`${role};
SELECT 'UPDATE oc_storages SET id = replace(id, ''::${from}'', ''::${bucket}'') WHERE id LIKE ''object::store:%::${from}''' WHERE to_regclass('oc_storages') IS NOT NULL \gexec
`,
    );
  return fingerprint;
}

/** The database in use becomes the one before, and the restored one is in use. */
export async function changePlaces(work: RestoringAt, version: string, fingerprint: string): Promise<void> {
  const { databases, places, space, begun } = work;
  const { before } = databases;
  const count = `SELECT count(*) FROM pg_database WHERE datname = '${before}'`;
  // What was in use is kept already: what is in use now is the half of a restore.
  const isKept = begun === "changing" && (await administer(work, "postgres", ["-c", count])) === "1";
  const old = isKept ? `${space.id}_half_restored` : before;
  await drop(work, old);
  await record(work, true);
  rmSync(`${places.restoring}/${space.id}`, { force: true });
  await administer(work, "postgres", [], swapping(work, old));
  if (old !== before) await administer(work, "postgres", ["-c", `DROP DATABASE "${old}" WITH (FORCE)`]);
  rmSync(dumpOf(work), { force: true });
  await followDatabase(work, version, fingerprint);
}

/** New connections are refused until this is done, because one could come in between. */
function swapping({ databases, space }: RestoringAt, old: string): string {
  const { name = "", user = "" } = space.document.database ?? {};
  return `ALTER DATABASE "${name}" CONNECTION LIMIT 0;
ALTER ROLE "${user}" IN DATABASE "${databases.restored}" SET default_transaction_read_only = on;
SET ROLE "${user}";
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '${name}';
RESET ROLE;
BEGIN;
ALTER DATABASE "${name}" RENAME TO "${old}";
ALTER DATABASE "${databases.restored}" RENAME TO "${name}";
COMMIT;
ALTER DATABASE "${old}" CONNECTION LIMIT -1;
`;
}
