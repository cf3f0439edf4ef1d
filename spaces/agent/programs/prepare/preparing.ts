// What prepare-release knows of a release on its way.
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { configDirectory, homeOf, type Installation } from "../nextcloud-command.ts";
import { CA, type Places } from "../places.ts";
import { readCatalog, readPlatform } from "../read-space.ts";
import { ProgramError } from "../../../../infra/machine/programs/program-error.ts";
import { SpaceError } from "../space-error.ts";
import { beginWork, type SpaceWork } from "../space-work.ts";

/** For the functions that work on spaces, a release on its way is a space. */
export interface Preparing extends SpaceWork {
  readonly release: string;
  /** Its code. */
  readonly code: string;
  /** Name of its temporary database and role. No space can have it: an id has no underscore. */
  readonly name: string;
  readonly password: string;
  /** Nextcloud's config.php. Installing itself changes it. */
  configuration: string;
  /** Whether commands have written to the log. */
  logs: boolean;
}

export function beginPreparing(places: Places, release: string): Preparing {
  const id = `release-${release}`;
  const name = `golden_${release.replaceAll(".", "_")}`;
  const password = randomBytes(24).toString("base64url");
  const work = beginWork(places, {
    id,
    document: {
      id,
      release,
      state: "active",
      database: { name, user: name, password },
      // Numbers of spaces begin with 1: its Unix user is nobody's.
      redis: { database: 0, user: "", password: "", prefix: "" },
    },
    platform: readPlatform(places),
    catalog: readCatalog(places),
    url: "",
    directory: `${places.spaces}/${id}`,
  });
  const code = `${places.releases}/${release}`;
  return {
    ...work,
    release,
    code,
    name,
    password,
    configuration: configurationIn(homeOf(work)),
    logs: false,
  };
}

export const logOf = ({ places, release }: Preparing) => `${places.log}/prepare-${release}.log`;

/** Empties the log. It may hold anything: root alone reads it. */
export function beginLog(work: Preparing): void {
  mkdirSync(work.places.log, { recursive: true });
  closeSync(openSync(logOf(work), "w", 0o600));
  work.logs = true;
}

const configurationIn = (home: string) => `<?php $CONFIG = [
  'datadirectory' => '${home}/data', 'tempdirectory' => '${home}/tmp', 'check_data_directory_permissions' => false,
  'appstoreenabled' => false, 'skeletondirectory' => '', 'log_type' => 'errorlog', 'loglevel' => 2,
  'pgsql_ssl' => ['mode' => 'verify-full', 'rootcert' => '${CA}', 'cert' => "''", 'key' => "''", 'crl' => "''"],
];
`;

/**
 * What Nextcloud's command line needs to work on the release's database. libpq reads the password from a file if it is
 * given an empty one. As an option, it would show in process lists.
 */
export function installationOf(work: Preparing): { installation: Installation; env: Record<string, string> } {
  const { release, name, password, configuration } = work;
  const config = {
    "config/config.php": configuration,
    "config/pgpass": `*:*:${name}:${name}:${password}\n`,
  };
  return { installation: { config, release }, env: { PGPASSFILE: `${configDirectory(work)}/pgpass` } };
}

/** The error that ends the program: what is wrong, and what to do next. */
export const refusal = ({ release }: Pick<Preparing, "release">, what: string) =>
  new ProgramError(`release ${release}`, what);

/** The error, with release and step, and the end of what commands said. */
export function namingRelease(work: Preparing, error: unknown): Error {
  if (error instanceof ProgramError && !(error instanceof SpaceError)) return error;
  const what = error instanceof Error ? error.message : String(error);
  const said = work.logs && existsSync(logOf(work)) ? readFileSync(logOf(work), "utf8") : "";
  const end = said
    .trimEnd()
    .split("\n")
    .slice(-20)
    .map((line) => line.slice(0, 300));
  return new ProgramError(
    `release ${work.release}, ${work.step}`,
    `${what}; the end of what it said:\n${end.join("\n")}`,
  );
}
