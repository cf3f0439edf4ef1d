// Nextcloud's own programs, as the user and within the limits that PHP has on the web servers
// (infra/web/rootfs/etc/php/8.4/fpm/conf.d/90-framaspace.ini).
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { SHARED_CONFIG } from "./places.ts";
import { read, run, type CommandOptions, type Ended } from "../../../infra/machine/programs/run-command.ts";
import { CONNECTION, WRITES } from "./space-database.ts";
import { heldButSpace, spaceUser, type SpaceWork } from "./space-work.ts";

export interface PhpOptions extends Pick<CommandOptions, "errors" | "log"> {
  /** What must not show in process lists, among others. */
  env?: Readonly<Record<string, string>>;
  /** The program is ended then. @default never */
  longestSeconds?: number;
}

/** Which configuration a program of Nextcloud's uses, and which release's code. */
export interface Installation {
  config: string;
  release: string;
}

/** The space's own configuration. */
export const ownConfig = ({ space }: SpaceWork) => `${space.directory}/config`;
/** A configuration that Nextcloud may write to: see makeScratch. */
export const scratchConfig = ({ places, space }: SpaceWork) => `${places.scratch}/${space.id}`;

/** Without any group but the space's own. */
function asSpace(work: SpaceWork): string[] {
  const user = spaceUser(work);
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", "--no-new-privs", "php"];
}

/** Runs a script of a release. */
export function runPhp(
  work: SpaceWork,
  { config, release }: Installation,
  script: string,
  words: readonly string[] = [],
  { env, longestSeconds, ...options }: PhpOptions = {},
): Promise<Ended> {
  const { places, space } = work;
  const code = `${places.releases}/${release}`;
  const settings = {
    sys_temp_dir: `${space.directory}/tmp`,
    upload_tmp_dir: `${space.directory}/tmp`,
    "syslog.ident": space.id,
  };
  const flags = Object.entries(settings).flatMap(([key, value]) => ["-d", `${key}=${value}`]);
  const command = [...asSpace(work), ...flags, `${code}/${script}`, ...words];
  const [program = "", ...rest] =
    longestSeconds === undefined ? command : ["timeout", String(longestSeconds), ...command];
  return run(program, rest, {
    ...heldButSpace(work),
    ...options,
    cwd: code,
    env: {
      ...CONNECTION,
      PGOPTIONS: WRITES,
      NEXTCLOUD_CONFIG_DIR: config,
      HOME: `${space.directory}/tmp`,
      ...env,
    },
  });
}

/** Nextcloud's command line. */
export function occ(
  work: SpaceWork,
  installation: Installation,
  words: readonly string[],
  options: PhpOptions = {},
): Promise<Ended> {
  return runPhp(work, installation, "occ", ["--no-interaction", "--no-ansi", ...words], options);
}

/** An upgrade would check the release's files, while visitors wait: prepare-release has done that once for all spaces. */
const SCRATCH =
  "['config_is_read_only' => false, 'one-click-instance' => false, 'integrity.check.disabled' => true]";

/**
 * Makes the scratch configuration. It does not limit the space's accounts. It holds secrets: call dropScratch when done.
 */
export async function makeScratch(work: SpaceWork): Promise<void> {
  const folder = scratchConfig(work);
  dropScratch(work);
  await read("install", ["-d", "-m", "0711", work.places.scratch]);
  await read("install", ["-d", "-m", "0700", folder]);
  const file = `${folder}/config.php`;
  const own = `(require '${SHARED_CONFIG}')('${ownConfig(work)}')`;
  writeFileSync(file, `<?php $CONFIG = ${SCRATCH} + ${own};\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  const user = spaceUser(work);
  await read("chown", [`${user}:${user}`, folder, file]);
}

export function dropScratch(work: SpaceWork): void {
  rmSync(scratchConfig(work), { recursive: true, force: true });
}

/** The last line of an output that says something, cut. */
export function lastLine(text: string, longest: number): string {
  const lines = text.split("\n").filter((line) => !/^ *$/.test(line));
  return (lines.at(-1) ?? "").slice(0, longest);
}
