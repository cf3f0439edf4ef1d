// The temporary database of a release, in which Nextcloud installs itself once.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { DROP_JOBS } from "../job-queries.ts";
import { homeOf, occInTurn } from "../nextcloud-command.ts";
import { officeSettings } from "../office-settings.ts";
import { REPAIRS } from "../repairs.ts";
import { execute, psqlAsAdministrator, sql } from "../space-database.ts";
import { CommandError } from "../../../../infra/machine/programs/program-error.ts";
import { held } from "../space-work.ts";
import { installationOf, logOf, refusal, type Preparing } from "./preparing.ts";

/** Says that the temporary database may be there. */
const markOf = ({ places, release }: Preparing) => `${places.prepared}/.begun.${release}`;

/** Makes an empty database. */
export async function makeDatabase(work: Preparing): Promise<void> {
  mkdirSync(work.places.prepared, { recursive: true });
  writeFileSync(markOf(work), "");
  const { name, password } = work;
  await administrate(
    work,
    `${dropping(work)}
CREATE ROLE ${name} LOGIN PASSWORD '${password}';
CREATE DATABASE ${name} OWNER ${name} TEMPLATE template0;`,
  );
}

/** Removes what this run made, or one that was cut off. */
export async function clear(work: Preparing): Promise<void> {
  if (!existsSync(markOf(work))) return;
  await administrate(work, dropping(work));
  rmSync(markOf(work));
}

const dropping = ({ name }: Preparing) => `DROP DATABASE IF EXISTS ${name} WITH (FORCE);
DROP ROLE IF EXISTS ${name};`;

/** Statements with the administrators' role, from standard input: a command line shows in process lists. */
async function administrate(work: Preparing, input: string): Promise<void> {
  const options = {
    ...held(work),
    input: `${input}\n`,
    env: { PGOPTIONS: "-c client_min_messages=warning" },
  };
  const { status } = await psqlAsAdministrator(work.places, "postgres", ["-f", "-"], options);
  if (status !== 0) throw new CommandError("psql", status);
}

/** Has Nextcloud install itself, with what every new space begins with. Throws CommandError. */
export async function installRelease(work: Preparing): Promise<void> {
  const { installation, env } = installationOf(work);
  const log = openSync(logOf(work), "a");
  try {
    const { status, output } = await occInTurn(work, installation, installCommands(work), { env, log });
    if (status !== 0) throw new CommandError(lastCommand(work), status);
    work.configuration = output;
  } finally {
    closeSync(log);
  }
}

/** `occ WORD` of the command that was running at the end of the log. */
const lastCommand = (work: Preparing) =>
  readFileSync(logOf(work), "utf8")
    .match(/^occ \S+$/gm)
    ?.at(-1) ?? "occ";

function installCommands(work: Preparing): string[][] {
  const { catalog, platform } = work.space;
  const { hosts, port = 5432 } = platform.database;
  const set = (app: string, key: string, value: string, ...more: string[]) => [
    "config:app:set",
    app,
    key,
    `--value=${value}`,
    ...more,
  ];
  return [
    [
      "maintenance:install",
      "--disable-admin-user",
      `--data-dir=${homeOf(work)}/data`,
      "--database=pgsql",
      `--database-host=${hosts}`,
      `--database-port=${port}`,
      `--database-name=${work.name}`,
      `--database-user=${work.name}`,
      "--database-pass=",
    ],
    ...(catalog.apps.length > 0 ? [["app:enable", ...catalog.apps]] : []),
    // If somebody turns registration on, accounts wait for approval.
    set("registration", "admin_approval_required", "yes", "--type=boolean"),
    ["background:cron"],
    // Here everything is empty, so no space has to wait for it.
    ...REPAIRS.map((words) => [...words]),
    // Whichever space turns Collabora's connector on later finds them, too.
    ...(existsSync(`${work.code}/apps/richdocuments`)
      ? officeSettings(platform).map(([key, value]) => set("richdocuments", key, value))
      : []),
  ];
}

/** Removes whatever would make two spaces know something of each other, or point at the directory of the installation. */
export async function strip(work: Preparing, version: string): Promise<void> {
  const { status } = await sql(work, ["-f", "-"], TRUNCATE);
  if (status !== 0) throw new CommandError("psql", status);
  await execute(work, DROP_JOBS, FORGET_INTEGRITY);
  const { output } = await sql(work, [
    "-c",
    "SELECT count(*) FROM oc_users",
    "-c",
    `SELECT count(*) FROM oc_appconfig WHERE configvalue LIKE '%${homeOf(work)}%'`,
  ]);
  if (output !== "0\n0\n")
    throw refusal(
      work,
      `what it installs holds accounts or paths of its own (${output.trim()}); it cannot be what all spaces begin with`,
    );
  await execute(
    work,
    "CREATE TABLE framaspace (key text PRIMARY KEY, value text NOT NULL)",
    `INSERT INTO framaspace VALUES ('version', '${version}')`,
  );
}

const TRUNCATE = String.raw`SELECT format('TRUNCATE %I CASCADE', tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename IN
  ('oc_storages', 'oc_filecache', 'oc_filecache_extended', 'oc_mounts', 'oc_file_locks', 'oc_preferences', 'oc_authtoken') \gexec
`;
// Nextcloud keeps what its check found. A space's administrators could do nothing about it.
const FORGET_INTEGRITY =
  "DELETE FROM oc_appconfig WHERE appid = 'core' AND configkey = 'oc.integritycheck.checker'";

/** The apps that are on, as one line. Throws CommandError. */
export async function appsOf(work: Preparing): Promise<string> {
  const statement =
    "SELECT string_agg(appid, ' ' ORDER BY appid) FROM oc_appconfig WHERE configkey = 'enabled' AND configvalue <> 'no'";
  const { status, output } = await sql(work, ["-c", statement]);
  if (status !== 0) throw new CommandError("psql", status);
  return output;
}
