// prepare-release VERSION: installs the release once, in a temporary database of its own, and keeps what new spaces
// begin with under /var/lib/framaspace/releases/VERSION: schema.sql, without anybody's identity; apps, those that are
// on; version, with its four parts; integrity.json, how its files compare with what their makers signed. Does nothing if
// they are complete and made from the same input. Prints a line if it made them. If it is killed, the next run begins
// again.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { lock } from "../../../../infra/machine/programs/lock-file.ts";
import type { Places } from "../places.ts";
import { isWhole, lineOf, preparedFolder, type Integrity } from "../prepared-release.ts";
import type { Result } from "../../../../infra/machine/programs/program.ts";
import { prettyTextOf, textOf } from "../read-space.ts";
import { read } from "../../../../infra/machine/programs/run-command.ts";
import { dumpPlain } from "../space-database.ts";
import { UsageError } from "../../../../infra/machine/programs/program-error.ts";
import { held } from "../space-work.ts";
import { beginLog, beginPreparing, namingRelease, refusal, type Preparing } from "./preparing.ts";
import { appsOf, clear, installRelease, makeDatabase, strip } from "./release-database.ts";
import { checkIntegrity } from "./release-integrity.ts";
import { readIfThere, sha256Hex } from "../../../../infra/machine/programs/texts.ts";

/**
 * Runs the program.
 * @param program Its own file: another program prepares all releases again.
 */
export async function prepareRelease(
  places: Places,
  [release = ""]: readonly string[],
  program: string,
): Promise<Result> {
  if (!/^[0-9]+(\.[0-9]+){2}$/.test(release))
    throw new UsageError("prepare-release: write a version such as 34.0.4");
  if (!existsSync(`${places.releases}/${release}/occ`))
    throw refusal({ release }, "it is not on this machine; run up for the platform");
  const work = beginPreparing(places, release);
  try {
    return {
      output: (await prepareUnlessDone(work, program)) ? `release ${release} prepared\n` : "",
      status: 0,
    };
  } catch (error) {
    throw namingRelease(work, error);
  }
}

/** Resolves to whether there was something to do. */
async function prepareUnlessDone(work: Preparing, program: string): Promise<boolean> {
  const { places, release } = work;
  await lockRelease(work);
  const folder = preparedFolder(places, release);
  const key = keyOf(work, program);
  rmSync(freshFolder(work), { recursive: true, force: true });
  await clear(work);
  if (readIfThere(`${folder}/key`) === key && isWhole(folder)) return false;
  work.step = "apps";
  checkApps(work);
  beginLog(work);
  work.step = "database";
  await makeDatabase(work);
  work.step = "install";
  await installRelease(work);
  const version = versionOf(work);
  work.step = "integrity";
  const integrity = await checkIntegrity(work);
  work.step = "stripping";
  await strip(work, version);
  work.step = "keeping";
  await keep(work, version, integrity, key);
  work.step = "clearing";
  await clear(work);
  work.step = "exchange";
  await exchange(freshFolder(work), folder);
  warn(work, integrity);
  return true;
}

/** Says once that the release is not what its makers signed. try-space says it until it is accepted or gone. */
function warn({ places, release, space }: Preparing, integrity: Integrity): void {
  const accepted = space.catalog.acceptedReleases?.includes(release);
  const line = integrity.signed
    ? lineOf(places, release, integrity, accepted)
    : `release ${release}: not signed, so its integrity can't be checked`;
  if (line !== undefined) console.error(`warning: ${line}`);
}

/** One program at a time prepares a release. */
async function lockRelease(work: Preparing): Promise<void> {
  const file = `${work.places.run}/release-${work.release}.lock`;
  const descriptor = await lock(file, 3600);
  if (descriptor === undefined)
    throw refusal(work, `another run has been preparing it for an hour (fuser -v ${file})`);
  work.locks.space = descriptor;
}

/** What a prepared release depends on. */
function keyOf({ places, release, space }: Preparing, program: string): string {
  const { apps, appsOptional, appsOff, officeApps } = space.catalog;
  const { domain, port, office } = space.platform;
  const parts = [
    readFileSync(`${places.releases}/.${release}.sha256`, "utf8"),
    readFileSync(program, "utf8"),
    textOf({ apps, appsOptional, appsOff, officeApps }),
    textOf({ domain, port, office }),
  ];
  return `${sha256Hex(parts.join("\n"))}\n`;
}

function checkApps(work: Preparing): void {
  const { apps, appsOptional } = work.space.catalog;
  const missing = [...apps, ...appsOptional].filter(
    (app) => !existsSync(`${work.code}/apps/${app}/appinfo/info.xml`),
  );
  if (missing.length > 0)
    throw refusal(
      work,
      `it lacks ${missing.join(" ")}, which spaces/catalog.yaml lists under apps or appsOptional; nothing was changed. Build the app into the archive (apps/<name>), or take it off the list`,
    );
}

/** What Nextcloud calls itself, in four parts: it wrote that when it installed itself. */
function versionOf({ configuration }: Preparing): string {
  const [, version] = /^ *'version' => '(\d+(?:\.\d+){3})',$/m.exec(configuration) ?? [];
  if (version === undefined) throw new Error("its config.php names no version in four parts");
  return version;
}

const freshFolder = ({ places, release }: Preparing) => `${places.prepared}/.new.${release}`;

/** Writes everything beside what is there. It is on disk then. */
async function keep(work: Preparing, version: string, integrity: Integrity, key: string): Promise<void> {
  const fresh = freshFolder(work);
  mkdirSync(fresh, { recursive: true });
  await dumpPlain(work, `${fresh}/schema.sql`);
  writeFileSync(`${fresh}/version`, `${version}\n`);
  writeFileSync(`${fresh}/apps`, await appsOf(work));
  writeFileSync(`${fresh}/integrity.json`, prettyTextOf(integrity));
  const names = ["schema.sql", "version", "apps", "integrity.json"];
  const sums = names.map((name) => `${sha256Hex(readFileSync(`${fresh}/${name}`))}  ${name}\n`);
  writeFileSync(`${fresh}/checksums`, sums.join(""));
  writeFileSync(`${fresh}/key`, key);
  await read("sync", ["-f", fresh], held(work));
}

/** Puts a folder in the place of another one, which is there or not, in one step. */
async function exchange(fresh: string, folder: string): Promise<void> {
  if (!existsSync(folder)) return renameSync(fresh, folder);
  // Node has no call for it.
  await read("mv", ["--exchange", "-T", fresh, folder]);
  rmSync(fresh, { recursive: true });
}
