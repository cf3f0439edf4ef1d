// Files that come back from old versions of the space's bucket. Nextcloud writes to the bucket first: an ended request
// leaves its change there, and the database never hears of it.
import { run, succeeds } from "../../../infra/machine/programs/run-command.ts";
import { sql } from "./space-database.ts";
import { held, say, type NamedWork, type SpaceWork } from "./space-work.ts";
import { STORAGES } from "./storage-queries.ts";

/** One line of `mc ls --json --versions`. */
interface Version {
  type: string;
  key: string;
  versionId: string;
  size: number;
  lastModified: string;
  isDeleteMarker?: boolean;
}

/** A file that changed: what was there before, and its size now, undefined if it was deleted. */
interface Change {
  key: string;
  now: number | undefined;
  before: Version;
}

/** mc with the root user's alias. */
export const asRoot = (work: Pick<NamedWork, "locks">) => ({
  ...held(work),
  errors: "ignore" as const,
  env: { HOME: "/root", MC_CONFIG_DIR: "/root/.mc" },
});

/**
 * Brings back files that were overwritten in the bucket, or deleted from it, since then (Unix time in seconds): those
 * whose size in the database is that of the earlier version, and not that of the current one; or every one. If that is
 * not possible, the space serves all the same.
 */
export async function bringBack(
  work: SpaceWork,
  since: number,
  which: "if the database has them" | "all",
): Promise<void> {
  const bucket = work.space.document.s3?.bucket;
  if (bucket === undefined || (await bringBackIn(work, bucket, since, which === "all"))) return;
  say(
    work,
    "files that were overwritten or deleted and not acknowledged could not be brought back; is object storage up (mc admin info serving)? An export will name them",
  );
}

async function bringBackIn(work: SpaceWork, bucket: string, since: number, all: boolean): Promise<boolean> {
  const words = ["ls", "--json", "--recursive", "--versions", `serving/${bucket}`];
  const found = await run("mc", words, asRoot(work));
  if (found.status !== 0) return false;
  const sizes = await knownSizes(work);
  if (!sizes) return false;
  for (const { key, now, before } of changesSince(found.output, since)) {
    const size = sizes.get(key);
    if (size === undefined || (!all && (size === now || size !== before.size))) continue;
    const object = `serving/${bucket}/${key}`;
    if (
      !(await succeeds(
        "mc",
        ["--quiet", "cp", "--version-id", before.versionId, object, object],
        asRoot(work),
      ))
    )
      return false;
  }
  return true;
}

/** What changed since then. mc lists the newest version first. */
function changesSince(listed: string, since: number): Change[] {
  const moment = new Date(since * 1000).toISOString().slice(0, 19);
  const files = new Map<string, { now?: Version; before?: Version }>();
  for (const line of listed.split("\n").filter(Boolean)) {
    const version = JSON.parse(line) as Version;
    if (version.type !== "file") continue;
    const known = files.get(version.key) ?? {};
    files.set(version.key, known);
    if (version.lastModified >= moment) known.now ??= version;
    else known.before ??= version;
  }
  return [...files].flatMap(([key, { now, before }]) =>
    now && before && before.isDeleteMarker !== true
      ? [{ key, now: now.isDeleteMarker === true ? undefined : now.size, before }]
      : [],
  );
}

/** Key in the bucket → size, of each file that Nextcloud knows. Undefined if the database does not answer. */
async function knownSizes(work: SpaceWork): Promise<Map<string, number> | undefined> {
  const { status, output } = await sql(work, ["-F", " ", "-f", "-"], SIZES);
  if (status !== 0) return undefined;
  const rows = output.split("\n").map((line) => line.split(" "));
  return new Map(rows.flatMap(([key, size]) => (key && size ? [[key, Number(size)] as const] : [])));
}

const SIZES = String.raw`SELECT to_regclass('public.oc_filecache') IS NOT NULL AS nextcloud \gset
\if :nextcloud
SELECT 'urn:oid:' || fileid, size FROM oc_filecache JOIN ${STORAGES} s ON numeric_id = storage WHERE id LIKE 'object::%';
\endif
`;
