// A space's database and directory, as they come to be, and what the directory says of the database.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { asRoot } from "../old-versions.ts";
import { isWhole } from "../prepared-release.ts";
import { textOf } from "../read-space.ts";
import { read, succeeds } from "../../../../infra/machine/programs/run-command.ts";
import { sql } from "../space-database.ts";
import { SpaceDirectory } from "../space-directory.ts";
import { failure, numberOf, spaceUser } from "../space-work.ts";
import { APPS_OF, releaseOf, type Converging, type WithData } from "./converging.ts";
import { look } from "./database-facts.ts";
import { prepare } from "./release-checks.ts";

/** Loads what a release begins with in one transaction: all of it is there, or nothing. */
export async function installSchema(work: WithData): Promise<void> {
  const { wanted, prepared } = work;
  if (work.facts.version !== undefined) return;
  if (!isWhole(prepared.folder)) await prepare(work, wanted.release);
  await keepVersions(work);
  const variables = {
    office: APPS_OF.office(work) ?? "",
    offices: APPS_OF.offices(work).join(" "),
    quota: quotaOf(work),
    name: wanted.name,
  };
  const { status } = await sql(
    work,
    ["-1", ...Object.entries(variables).flatMap(([key, value]) => ["-v", `${key}=${value}`]), "-f", "-"],
    readFileSync(`${prepared.folder}/schema.sql`, "utf8") + FIRST_SETTINGS,
  );
  if (status !== 0)
    throw failure(
      work,
      `release ${wanted.release} could not be loaded into its database; nothing of it is there. See above, then run up again`,
    );
  work.changed.push(`installed ${wanted.release}`);
  work.facts = await look(work);
}

// Apps of two suites may open the same documents, so only the app of the entry's suite is on. This is done once: from
// then on, it is the space's own choice.
const FIRST_SETTINGS = `UPDATE public.oc_appconfig SET configvalue = 'no' WHERE configkey = 'enabled' AND :'office' <> ''
   AND appid = ANY (string_to_array(:'offices', ' ')) AND appid <> :'office';
INSERT INTO public.oc_appconfig (appid, configkey, configvalue) VALUES ('files', 'default_quota', :'quota'), ('theming', 'name', :'name');
INSERT INTO public.framaspace VALUES ('quota', :'quota'), ('title', :'name');
`;

/** In Nextcloud's form of quotas: 1 GB is 2^30 bytes. */
export const quotaOf = ({ wanted }: Converging) => `${Math.trunc(wanted.limits.storageBytes / 2 ** 30)} GB`;

/**
 * The bucket keeps old versions from its first file on, so that deleted files can be brought back. reconcile-storage
 * sets up the rest of the bucket.
 */
async function keepVersions(work: WithData): Promise<void> {
  const bucket = work.space.document.s3?.bucket;
  if (bucket === undefined) return;
  if (!(await succeeds("mc", ["version", "enable", `serving/${bucket}`], asRoot(work))))
    throw failure(
      work,
      `its bucket ${bucket} cannot be made to keep old versions; does object storage serve (mc admin info serving)? Nothing was installed; run up again`,
    );
}

/** A new directory appears complete, because nginx would serve an incomplete one. */
export async function makeDirectory(work: Converging): Promise<void> {
  const { places, space, directory } = work;
  if (existsSync(directory.path)) return;
  const path = `${places.spaces}/.new.${space.id}`;
  rmSync(path, { recursive: true, force: true });
  const mark = `${places.undistributed}/${space.id}`;
  const fresh = new SpaceDirectory(path, mark, () => {});
  await read("install", ["-d", "-m", "0700", path, `${path}/config`, `${path}/data`, `${path}/tmp`]);
  await fresh.put("data/.ncdata", 0o640, "root:root", "# Nextcloud data directory");
  await writeFiles({ ...work, directory: fresh });
  // First everything in it must be on disk: after a power loss, a directory must not be there without its files.
  await read("sync", ["-f", path]);
  // No web server has files of a user of before.
  writeFileSync(mark, "");
  renameSync(path, directory.path);
  work.changed.push("directory");
}

/** Writes what fits the database. Files for another release are written once the database is upgraded. */
export async function writeFiles(work: Converging): Promise<void> {
  const { directory, facts, places } = work;
  const { version = "", fingerprint } = facts;
  const { version: _, ...document } = work.space.document;
  const fitting = {
    ...document,
    release: releaseOf(version),
    ...(fingerprint !== undefined && fingerprint !== "" && { dataFingerprint: fingerprint }),
  };
  const user = spaceUser(work);
  const text = `${textOf(fitting).slice(0, -1)},"version":"${version}"}`;
  await directory.put("config/space.json", 0o640, `root:${user}`, text);
  // Nextcloud's command line refuses a file that its user does not own.
  await directory.put("config/config.php", 0o440, `${user}:${user}`, CONFIG);
  directory.linkRelease(places.releases, releaseOf(version));
  await directory.giveTo(numberOf(work));
}

const CONFIG = "<?php $CONFIG = (require '/usr/local/share/framaspace/config.php')(__DIR__);";
