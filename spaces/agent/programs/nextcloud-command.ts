// Nextcloud's own programs. They run on workers, as the space's user.
import { readFileSync } from "node:fs";
import { SHARED_CONFIG } from "./places.ts";
import type { Ended } from "../../../infra/machine/programs/run-command.ts";
import { CONNECTION, WRITES } from "./space-database.ts";
import { heldButSpace, spaceUser, type SpaceWork } from "./space-work.ts";
import { runOnWorker, type WorkerOptions } from "./workers.ts";

export interface PhpOptions extends Omit<WorkerOptions, "locks"> {
  /** What must not show in process lists, among others. */
  env?: Readonly<Record<string, string>>;
  /** The program is ended then. @default never */
  longestSeconds?: number;
}

/** Which configuration a program of Nextcloud's uses, and which release's code. */
export interface Installation {
  config: Configuration;
  release: string;
}

/** What a program of Nextcloud's finds in the space's directory: path → content. */
export type Configuration = Readonly<Record<string, string>>;

/** The space's own configuration, as it is now. */
export const ownConfig = (work: SpaceWork): Configuration => configuration(work, SHARED);

/**
 * A configuration that Nextcloud may write to, and that does not limit the space's accounts. An upgrade would check the
 * release's files, while visitors wait: prepare-release has done that once for all spaces.
 */
export const scratchConfig = (work: SpaceWork): Configuration =>
  configuration(
    work,
    `['config_is_read_only' => false, 'one-click-instance' => false, 'integrity.check.disabled' => true] + ${SHARED}`,
  );

const SHARED = `(require '${SHARED_CONFIG}')(__DIR__)`;

const configuration = ({ space }: SpaceWork, values: string): Configuration => ({
  "config/config.php": `<?php $CONFIG = ${values};\n`,
  "config/space.json": readFileSync(`${space.directory}/config/space.json`, "utf8"),
});

/** Where the programs find the configuration. */
export const configDirectory = ({ places, space }: SpaceWork) => `${homeOf({ places, space })}/config`;
export const homeOf = ({ places, space }: Pick<SpaceWork, "places" | "space">) =>
  `${places.spaces}/${space.id}`;

/** Runs a script of a release. */
export const runPhp = (
  work: SpaceWork,
  installation: Installation,
  script: string,
  words: readonly string[] = [],
  options: PhpOptions = {},
): Promise<Ended> => runCommands(work, installation, [phpOf(work, installation, script, words)], options);

const QUIET = ["--no-interaction", "--no-ansi"];

/** Nextcloud's command line. */
export const occ = (
  work: SpaceWork,
  installation: Installation,
  words: readonly string[],
  options: PhpOptions = {},
): Promise<Ended> => runPhp(work, installation, "occ", [...QUIET, ...words], options);

/**
 * Runs Nextcloud's command line with each of the lists of words, until one fails. What one writes into the directory, the
 * next one finds. Resolves to the status, and to config.php after them.
 * @param log Gets all that they say. A line `occ WORD` stands before each.
 */
export function occInTurn(
  work: SpaceWork,
  installation: Installation,
  lists: readonly (readonly string[])[],
  { log, ...options }: { log: number } & Pick<PhpOptions, "env">,
): Promise<Ended> {
  const occs = lists.flatMap((words) => [
    ["echo", `occ ${words[0]}`],
    phpOf(work, installation, "occ", [...QUIET, ...words]),
  ]);
  // Standard output is for config.php alone.
  const commands = occs.map((words) => ["sh", "-c", 'exec "$@" >&2', "sh", ...words]);
  const show = ["cat", "config/config.php"];
  return runCommands(work, installation, [...commands, show], { ...options, errors: log });
}

function phpOf(
  work: SpaceWork,
  { release }: Installation,
  script: string,
  words: readonly string[],
): string[] {
  const code = `${work.places.releases}/${release}`;
  const tmp = `${homeOf(work)}/tmp`;
  const settings = { sys_temp_dir: tmp, upload_tmp_dir: tmp, "syslog.ident": work.space.id };
  const flags = Object.entries(settings).flatMap(([key, value]) => ["-d", `${key}=${value}`]);
  return ["env", "-C", code, "php", ...flags, `${code}/${script}`, ...words];
}

function runCommands(
  work: SpaceWork,
  { config, release }: Installation,
  commands: readonly (readonly string[])[],
  { env, longestSeconds = 0, ...options }: PhpOptions,
): Promise<Ended> {
  const request = {
    id: work.space.id,
    user: spaceUser(work),
    release,
    files: { "data/.ncdata": "# Nextcloud data directory\n", ...config },
    env: {
      LC_ALL: "C.UTF-8",
      ...CONNECTION,
      PGOPTIONS: WRITES,
      NEXTCLOUD_CONFIG_DIR: configDirectory(work),
      HOME: `${homeOf(work)}/tmp`,
      ...env,
    },
    commands,
    longestSeconds,
  };
  return runOnWorker(work.places, request, { ...heldButSpace(work), ...options });
}

/** The last line of an output that says something, cut. */
export function lastLine(text: string, longest: number): string {
  const lines = text.split("\n").filter((line) => !/^ *$/.test(line));
  return (lines.at(-1) ?? "").slice(0, longest);
}
