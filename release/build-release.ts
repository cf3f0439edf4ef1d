// `npm run release -- build`: makes the archive of a release that machines load, from Nextcloud's official archive and
// the apps of the catalog. Each part is checked before it is unpacked; nothing of a part that is refused is kept.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import semver from "semver";
import { REFUSED_APPS, type Catalog } from "../spaces/fleet/catalog.ts";
import { CATALOG_FILE } from "../spaces/fleet/fleet.ts";
import { readCatalog } from "../spaces/fleet/load-fleet.ts";
import { report } from "../validation/positions.ts";
import { UserError } from "../validation/user-error.ts";
import { checkApp, unpackApp } from "./app-archive.ts";
import { newestRelease, storeApps, type AppRelease } from "./app-store.ts";
import { sha256Of } from "./checksum.ts";
import { checkCertificate, checkSignature, type Authority } from "./code-signing.ts";
import { Downloads, megabytes } from "./download.ts";
import { packArchive } from "./pack-archive.ts";
import { assertInstalled } from "./programs.ts";
import type { Say } from "./progress-lines.ts";
import { lockFile, readLock, readLocks, writeLock, type ReleaseLock } from "./release-lock.ts";
import { serverArchive, unpackServer, type ServerTree } from "./server-archive.ts";
import { setPinned } from "./set-in-yaml.ts";
import type { Sources } from "./sources.ts";

export interface BuildOptions {
  /** Folder of the repository. */
  root: string;
  /** Folder for downloads and the archive, outside the repository. */
  cache: string;
  sources: Sources;
  /** Address of the folder from which the host serves its archives. Without it, that of the catalog's other archives. */
  serveAt?: string;
  /** Whether to take the newest apps, where a lock file has older ones. */
  newest: boolean;
  say: Say;
}

/** The largest app of the catalog has 60 MB. */
export const MOST_APP_BYTES = 5e8;

type LockedApp = ReleaseLock["apps"][string];

/**
 * Builds the archive of a version of Nextcloud, and writes its lock file and its place in the catalog. With a lock file
 * that is there, it builds the same again. Resolves to the archive's path. Throws a UserError.
 */
export async function buildRelease(version: string, options: BuildOptions): Promise<string> {
  const { root, cache, sources, say, newest } = options;
  if (!/^\d+\.\d+\.\d+$/.test(version))
    throw new UserError(`"${version}" is no version of Nextcloud; write one such as 34.0.4.`);
  const catalog = catalogIn(root);
  const folder = folderToServe(catalog, options.serveAt);
  assertInstalled("bzip2", "gpg", "gpgv", "openssl", "tar", "zstd");
  const downloads = new Downloads(join(cache, "downloads"), say);
  const work = join(cache, `work-${version}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, "keyring"), { recursive: true, mode: 0o700 });
  mkdirSync(join(work, "tree"));
  try {
    const locked = readLock(root, version);
    if (locked)
      say(`${lockFile(version)} says what belongs to it${newest ? "; newer apps are looked for" : ""}`);
    const context = { sources, downloads, scratch: join(work, "keyring") };
    const archive = await serverArchive(version, context, locked?.nextcloud.sha256);
    say(`Nextcloud ${version}: signed by ${archive.signedBy}`);
    const server = await unpackServer(version, archive, join(work, "tree"));
    const leftOut = leaveOut(catalog, server);
    const chosen = await chooseApps(catalog, server, version, newest ? undefined : locked, context);
    assertNoOlder(chosen, version, readLocks(root));
    const apps: Record<string, LockedApp> = {};
    for (const app of chosen) {
      apps[app.id] = await addApp(app, version, server, { downloads, work });
      say(
        `${app.id} ${app.version}: signed by its makers, certificate valid until ${apps[app.id]?.certificateEnds}`,
      );
    }
    say("packing");
    const packed = await packArchive(join(work, "tree"), "nextcloud", join(work, "archive"));
    const name = `nextcloud-${version}-${packed.sha256.slice(0, 12)}.tar.zst`;
    assertSame(locked, packed, newest, { apps, leftOut });
    mkdirSync(join(cache, "archives"), { recursive: true });
    const path = join(cache, "archives", name);
    renameSync(join(work, "archive"), path);
    const { url, sha256, signedBy } = archive;
    writeLock(root, {
      nextcloud: { version, url, sha256, signedBy },
      apps,
      leftOut,
      archive: { name, ...packed },
    });
    const pinned = { url: `${folder}/${name}`, sha256: packed.sha256 };
    const file = join(root, CATALOG_FILE);
    writeFileSync(
      file,
      setPinned(readFileSync(file, "utf8"), ["releases", version], pinned, { state: "current" }),
    );
    say(`${path}, ${megabytes(packed.bytes)}, with ${chosen.length} apps of the store`);
    say(`serve it as ${pinned.url}, and commit ${lockFile(version)} and ${CATALOG_FILE}`);
    return path;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The catalog. Throws a UserError with everything that is wrong with it. */
export function catalogIn(root: string): Catalog {
  const { value, problems } = readCatalog(root);
  if (!value) throw new UserError(report(`${CATALOG_FILE} is`, problems));
  return value;
}

/** Where the host serves archives: without a slash at the end. */
function folderToServe({ releases }: Catalog, given: string | undefined): string {
  const [known] = Object.values(releases).flatMap(({ url }) =>
    url === undefined ? [] : [url.replace(/\/[^/]*$/, "")],
  );
  const folder = given?.replace(/\/$/, "") ?? known;
  if (folder === undefined || !/^https?:\/\/[^@]+$/.test(folder))
    throw new UserError(
      `${given === undefined ? "the catalog has no archive yet, so nothing says where you serve them" : `"${given}" is no address of a folder`}; add --serve-at with the address of your own folder, such as https://artifacts.example.org/nextcloud.`,
    );
  return folder;
}

/** Removes what no space may have. Returns each app with the reason. Throws a UserError if Nextcloud needs one. */
function leaveOut(catalog: Catalog, { folder, apps, alwaysEnabled }: ServerTree): Record<string, string> {
  const reasons = new Map([
    ...catalog.appsOff.map((app) => [app, "appsOff"] as const),
    ...[...REFUSED_APPS.keys()].map((app) => [app, "opens one space to another"] as const),
  ]);
  const leftOut: Record<string, string> = {};
  for (const [app, reason] of reasons) {
    if (alwaysEnabled.has(app))
      throw new UserError(
        `${app}: Nextcloud does not start without it (core/shipped.json); take it off appsOff in ${CATALOG_FILE}.`,
      );
    if (!apps.has(app)) continue;
    rmSync(join(folder, "apps", app), { recursive: true });
    leftOut[app] = reason;
  }
  // It would replace code, which only a new release may.
  rmSync(join(folder, "updater"), { recursive: true, force: true });
  return leftOut;
}

/** The apps of the catalog that Nextcloud's archive has not, in the versions of the lock file, or the newest. */
async function chooseApps(
  catalog: Catalog,
  server: ServerTree,
  nextcloud: string,
  locked: ReleaseLock | undefined,
  context: { sources: Sources; downloads: Downloads },
): Promise<AppRelease[]> {
  const wanted = [...new Set([...catalog.apps, ...catalog.appsOptional])].sort();
  const off = wanted.find((app) => catalog.appsOff.includes(app));
  if (off !== undefined)
    throw new UserError(
      `${off}: ${CATALOG_FILE} has it in appsOff and in another list; take it off one of them.`,
    );
  const missing = wanted.filter((app) => !server.apps.has(app));
  const store = missing.every((app) => locked?.apps[app]) ? new Map() : await storeApps(nextcloud, context);
  return missing.map((id) => {
    const known = locked?.apps[id];
    if (!known) return newestRelease(id, store.get(id), nextcloud, context.sources.store);
    const { version, url, signature, certificate } = known;
    return { id, version, url, signature, certificate };
  });
}

/** Spaces move from one release to the next, and Nextcloud refuses an app that is older than before. */
function assertNoOlder(apps: readonly AppRelease[], nextcloud: string, locks: readonly ReleaseLock[]): void {
  for (const { nextcloud: earlier, apps: had } of locks)
    if (semver.lte(earlier.version, nextcloud))
      for (const { id, version } of apps) {
        const before = had[id]?.version;
        if (before !== undefined && semver.lt(version, before))
          throw new UserError(
            `${id}: the app store offers ${version}, but release ${earlier.version} has ${before} (${lockFile(earlier.version)}); Nextcloud refuses an older app. Ask its makers.`,
          );
      }
}

/** Downloads, checks and unpacks one app. Throws a UserError, and forgets the app's archive if it is refused. */
async function addApp(
  app: AppRelease,
  nextcloud: string,
  { folder, authority }: { folder: string; authority: Authority },
  { downloads, work }: { downloads: Downloads; work: string },
): Promise<LockedApp> {
  const { id, version, url, signature, certificate: pem } = app;
  const certificate = await checkCertificate(id, pem, authority);
  const archive = await downloads.get({ url, what: `${id} ${version}`, most: MOST_APP_BYTES });
  try {
    await checkSignature(id, archive, signature, certificate);
    await unpackApp(id, archive, join(work, "apps"));
    checkApp(join(work, "apps", id), app, nextcloud);
  } catch (error) {
    downloads.discard(url);
    throw error instanceof UserError ? new UserError(`${error.message} It was not kept (${url}).`) : error;
  }
  renameSync(join(work, "apps", id), join(folder, "apps", id));
  return {
    version,
    url,
    sha256: await sha256Of(archive),
    signature,
    certificate: pem,
    certificateEnds: certificate.validToDate.toISOString(),
  };
}

/** With a lock file, the same parts must give the same archive. */
function assertSame(
  locked: ReleaseLock | undefined,
  { sha256, tarSha256, packedBy }: { sha256: string; tarSha256: string; packedBy: string },
  newest: boolean,
  parts: Pick<ReleaseLock, "apps" | "leftOut">,
): void {
  if (!locked || newest) return;
  const { apps, leftOut, archive } = locked;
  for (const [id, { sha256: before, url }] of Object.entries(apps)) {
    const now = parts.apps[id]?.sha256;
    if (now !== undefined && now !== before)
      throw new UserError(
        `${id}: ${url} serves another archive than the lock file has (${now}, not ${before}), though it is signed. Ask its makers, or build with --newest.`,
      );
  }
  const same = (a: object, b: object) => Object.keys(a).sort().join() === Object.keys(b).sort().join();
  // A changed catalog makes another archive.
  if (!same(apps, parts.apps) || !same(leftOut, parts.leftOut) || sha256 === archive.sha256) return;
  if (tarSha256 === archive.tarSha256)
    throw new UserError(
      `the archive has the same content as the one in the lock file, but was compressed by another program (${packedBy}, not ${archive.packedBy}); build on a machine with that one, or with --newest.`,
    );
  throw new UserError(
    `the same parts gave another archive than the one in the lock file (${tarSha256}, not ${archive.tarSha256}); tell who maintains this program.`,
  );
}
