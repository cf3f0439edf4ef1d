// The real parts of a lab that no option names: fetched, checked by their signatures, and kept for the next lab. What
// cannot be had has its reason, and a stand-in takes its place.
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import semver from "semver";
import { artifactsOf, type Artifact } from "../infra/inventory/environment.ts";
import { buildRelease, catalogIn } from "../release/build-release.ts";
import { sha256Of } from "../release/checksum.ts";
import { defaultCache, Downloads } from "../release/download.ts";
import { checkMinisign } from "../release/minisign.ts";
import { environmentIn, MOST_ARTIFACT_BYTES, SIGNED } from "../release/pin-artifact.ts";
import { assertInstalled } from "../release/programs.ts";
import type { Say } from "../release/progress-lines.ts";
import { oneAtATime } from "../release/one-at-a-time.ts";
import { readLock } from "../release/release-lock.ts";
import { SIGNED_BINARIES, SOURCES, type Sources } from "../release/sources.ts";
import type { Catalog } from "../spaces/fleet/catalog.ts";
import { CATALOG_FILE } from "../spaces/fleet/fleet.ts";
import { UserError } from "../validation/user-error.ts";

/** Parts that the user may name. */
export interface Parts {
  nextcloud?: string[];
  minio?: string;
  mc?: string;
  imaginary?: string;
}

export interface FoundParts {
  /** Paths: those given, and those fetched. */
  parts: Parts;
  /** Why a part could not be had, as a sentence with its full stop. */
  missing: Partial<Record<keyof Parts, string>>;
}

export interface PartSources {
  /** Folder of the repository. */
  root: string;
  /** Environment whose pinned artifacts are taken, where it pins any. */
  env: string;
  /** @default where `npm run release` keeps what it fetches */
  cache?: string;
  sources?: Sources;
  /** MinIO's binaries, by the words of `npm run release -- pin`. */
  binaries?: Readonly<Record<string, string>>;
  keys?: Readonly<Record<string, string>>;
  say: Say;
}

/** `npm run release` needs some folder from which archives are served. A lab serves them itself. */
const SERVED_AT = "https://artifacts.example.org";

/** Fetches what is not given. Never throws for a part that cannot be had. */
export async function findParts(given: Parts, from: PartSources): Promise<FoundParts> {
  const cache = from.cache ?? defaultCache();
  const parts: Parts = { ...given };
  const missing: FoundParts["missing"] = {};
  const tryTo = async (part: keyof Parts, fetch: () => Promise<void>) => {
    if (parts[part] !== undefined) return;
    try {
      await oneAtATime(cache, fetch);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      missing[part] = error.message;
      from.say(`${part}: ${error.message}`);
    }
  };
  await tryTo("nextcloud", async () => {
    const archives: string[] = [];
    for (const version of releasesOfWaves(catalogIn(from.root)))
      archives.push(await archiveOf(version, from, cache));
    parts.nextcloud = archives;
  });
  // One without the other is of no use.
  if (parts.mc === undefined || parts.minio === undefined)
    await tryTo("minio", async () => {
      const mc = parts.mc ?? (await binaryOf("mc", from, cache));
      parts.minio = await binaryOf("minio", from, cache);
      parts.mc = mc;
    });
  await tryTo("imaginary", async () => {
    parts.imaginary = await binaryOf("imaginary", from, cache);
  });
  return { parts, missing };
}

/** The releases that spaces are on, oldest first. */
const releasesOfWaves = ({ waves }: Catalog) => [...new Set(Object.values(waves))].sort(semver.compare);

/** The archive that the catalog pins, or one that is built as `npm run release -- build` does. */
async function archiveOf(
  version: string,
  { root, sources, say }: PartSources,
  cache: string,
): Promise<string> {
  const catalog = catalogIn(root);
  const { url, sha256 } = catalog.releases[version] ?? {};
  if (url !== undefined && sha256 !== undefined)
    return pinned(`Nextcloud ${version}`, { url, sha256 }, new Downloads(join(cache, "downloads"), say));
  // Building writes a lock file and the catalog: into a folder that looks like the repository, one for each version.
  const own = join(cache, "lab", version);
  // The apps of the archive that was built last. Written after it, because a build may be killed.
  const built = join(own, "apps.json");
  mkdirSync(join(own, "spaces"), { recursive: true });
  cpSync(join(root, CATALOG_FILE), join(own, CATALOG_FILE));
  const locks = "release/locks";
  if (existsSync(join(root, locks))) cpSync(join(root, locks), join(own, locks), { recursive: true });
  const lock = readLock(own, version);
  const kept = lock && join(cache, "archives", lock.archive.name);
  const apps = JSON.stringify([catalog.apps, catalog.appsOptional, catalog.appsOff]);
  if (kept !== undefined && existsSync(kept) && existsSync(built) && readFileSync(built, "utf8") === apps)
    if ((await sha256Of(kept)) === lock?.archive.sha256) return kept;
  const archive = await buildRelease(version, {
    root: own,
    cache,
    sources: sources ?? SOURCES,
    serveAt: SERVED_AT,
    // A lock file keeps the versions of its apps; the catalog's other apps come from the store.
    newest: false,
    say,
  });
  writeFileSync(built, apps);
  return archive;
}

/** What the environment pins, or the last binary that upstream signed. */
async function binaryOf(
  name: "minio" | "mc" | "imaginary",
  { root, env, binaries = SIGNED_BINARIES, keys = SIGNED, say }: PartSources,
  cache: string,
): Promise<string> {
  const downloads = new Downloads(join(cache, "downloads"), say);
  const artifact = artifactsOf(environmentIn(root, env)).find((one) => one.name === name)?.artifact;
  if (artifact?.sha256 !== undefined) return pinned(name, artifact, downloads);
  const url = binaries[name];
  const key = keys[name];
  if (url === undefined || key === undefined)
    throw new UserError(`nobody publishes a signed binary of ${name}: build it, and give --${name} PATH.`);
  assertInstalled("minisign");
  const path = await downloads.get({ url, what: name, most: MOST_ARTIFACT_BYTES });
  await checkMinisign(name, { url, path }, key, downloads);
  say(`${name}: signed by ${key}`);
  return path;
}

async function pinned(what: string, { url, sha256 }: Artifact, downloads: Downloads): Promise<string> {
  const path = await downloads.get({ url, what, most: MOST_ARTIFACT_BYTES });
  const found = await sha256Of(path);
  if (found === sha256) return path;
  downloads.discard(url);
  throw new UserError(`${what}: ${url} serves ${found}, not the pinned ${sha256}; it was not kept.`);
}
