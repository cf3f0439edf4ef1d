// The temporary database of a release, in which Nextcloud installs itself once.
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { DROP_JOBS } from "../job-queries.ts";
import { dropScratch, scratchConfig } from "../nextcloud-command.ts";
import { officeSettings } from "../office-settings.ts";
import { CA } from "../places.ts";
import { REPAIRS } from "../repairs.ts";
import { read } from "../../../../infra/machine/programs/run-command.ts";
import { execute, psqlAsAdministrator, sql } from "../space-database.ts";
import { CommandError } from "../../../../infra/machine/programs/program-error.ts";
import { held, spaceUser } from "../space-work.ts";
import { logged, refusal, type Preparing } from "./preparing.ts";

/** Makes the scratch configuration and an empty database. */
export async function makeDatabase(work: Preparing): Promise<void> {
  const folder = scratchConfig(work);
  rmSync(folder, { recursive: true, force: true });
  await read("install", ["-d", "-m", "0711", work.places.scratch]);
  const user = String(spaceUser(work));
  const own = ["-d", "-m", "0700", "-o", user, "-g", user];
  await read("install", [...own, folder, `${folder}/data`, `${folder}/tmp`]);
  const { name, password } = work;
  await administrate(
    work,
    `${dropping(work)}
CREATE ROLE ${name} LOGIN PASSWORD '${password}';
CREATE DATABASE ${name} OWNER ${name} TEMPLATE template0;`,
  );
}

/** Removes what this run made, or one that was cut off: the folder goes last, and says that there may be more. */
export async function clear(work: Preparing): Promise<void> {
  if (!existsSync(scratchConfig(work))) return;
  await administrate(work, dropping(work));
  dropScratch(work);
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

/** Has Nextcloud install itself, with what every new space begins with. */
export async function installRelease(work: Preparing): Promise<void> {
  const { catalog, platform } = work.space;
  const { hosts, port = 5432 } = platform.database;
  const folder = scratchConfig(work);
  await writeConfiguration(work);
  await logged(
    work,
    "maintenance:install",
    "--disable-admin-user",
    `--data-dir=${folder}/data`,
    "--database=pgsql",
    `--database-host=${hosts}`,
    `--database-port=${port}`,
    `--database-name=${work.name}`,
    `--database-user=${work.name}`,
    "--database-pass=",
  );
  if (catalog.apps.length > 0) await logged(work, "app:enable", ...catalog.apps);
  const set = (app: string, key: string, value: string, ...more: string[]) =>
    logged(work, "config:app:set", app, key, `--value=${value}`, ...more);
  // If somebody turns registration on, accounts wait for approval.
  await set("registration", "admin_approval_required", "yes", "--type=boolean");
  await logged(work, "background:cron");
  // Here everything is empty, so no space has to wait for it.
  for (const words of REPAIRS) await logged(work, ...words);
  // Whichever space turns Collabora's connector on later finds them, too.
  if (existsSync(`${work.code}/apps/richdocuments`))
    for (const [key, value] of officeSettings(platform)) await set("richdocuments", key, value);
}

async function writeConfiguration(work: Preparing): Promise<void> {
  const folder = scratchConfig(work);
  const user = spaceUser(work);
  // libpq reads the password from a file if it is given an empty one. As an option, it would show in process lists.
  const pgpass = `*:*:${work.name}:${work.name}:${work.password}\n`;
  for (const [name, text] of [
    ["pgpass", pgpass],
    ["config.php", configuration(folder)],
  ] as const) {
    writeFileSync(`${folder}/${name}`, text, { mode: 0o600 });
    await read("chown", [`${user}:${user}`, `${folder}/${name}`]);
  }
}

const configuration = (folder: string) => `<?php $CONFIG = [
  'datadirectory' => '${folder}/data', 'tempdirectory' => '${folder}/tmp', 'check_data_directory_permissions' => false,
  'appstoreenabled' => false, 'skeletondirectory' => '', 'log_type' => 'errorlog', 'loglevel' => 2,
  'pgsql_ssl' => ['mode' => 'verify-full', 'rootcert' => '${CA}', 'cert' => "''", 'key' => "''", 'crl' => "''"],
];
`;

/** Removes whatever would make two spaces know something of each other, or point at the scratch configuration. */
export async function strip(work: Preparing, version: string): Promise<void> {
  const { status } = await sql(work, ["-f", "-"], TRUNCATE);
  if (status !== 0) throw new CommandError("psql", status);
  await execute(work, DROP_JOBS, FORGET_INTEGRITY);
  const { output } = await sql(work, [
    "-c",
    "SELECT count(*) FROM oc_users",
    "-c",
    `SELECT count(*) FROM oc_appconfig WHERE configvalue LIKE '%${work.places.scratch}%'`,
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
