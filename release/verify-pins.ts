// `npm run release -- verify`: everything that is pinned, once more. What is served must have its checksum; what it was
// made of must still be signed, by certificates that nobody has revoked since.
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { artifactsOf } from "../infra/inventory/environment.ts";
import { UserError } from "../validation/user-error.ts";
import { catalogIn, MOST_APP_BYTES } from "./build-release.ts";
import { sha256Of } from "./checksum.ts";
import { checkCertificate, checkSignature, type Authority } from "./code-signing.ts";
import { Downloads } from "./download.ts";
import { checkMinisign } from "./minisign.ts";
import { environmentIn, MOST_ARTIFACT_BYTES, SIGNED } from "./pin-artifact.ts";
import { assertInstalled } from "./programs.ts";
import type { Say } from "./progress-lines.ts";
import { lockFile, readLocks, type ReleaseLock } from "./release-lock.ts";
import { serverArchive, unpackServer } from "./server-archive.ts";
import type { Sources } from "./sources.ts";

/** A release has 250 MB. */
const MOST_RELEASE_BYTES = 2e9;

export interface VerifyOptions {
  root: string;
  cache: string;
  env: string;
  sources: Sources;
  say: Say;
}

/** Looks at all that is pinned, and prints a line for each. Resolves to how many are not what they were. */
export async function verifyPins({ root, cache, env, sources, say }: VerifyOptions): Promise<number> {
  const artifacts = artifactsOf(environmentIn(root, env));
  const { releases } = catalogIn(root);
  const locks = readLocks(root);
  assertInstalled("bzip2", "gpg", "gpgv", "minisign", "openssl", "tar");
  const downloads = new Downloads(join(cache, "downloads"), say);
  const work = join(cache, "work-verify");
  let faults = 0;
  const look = async (what: string, act: () => Promise<string>): Promise<void> => {
    try {
      say(`✔ ${what}: ${await act()}`);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      faults += 1;
      say(`✘ ${error.message.startsWith(what) ? error.message : `${what}: ${error.message}`}`);
    }
  };

  for (const { name, artifact } of artifacts)
    await look(name, async () => {
      const path = await pinned(downloads, { what: name, most: MOST_ARTIFACT_BYTES, ...artifact });
      const key = SIGNED[name];
      if (key === undefined || !new URL(artifact.url).host.endsWith("min.io")) return "is what was pinned";
      await checkMinisign(name, { url: artifact.url, path }, key, downloads);
      return "is what was pinned, and signed";
    });
  for (const [version, { url, sha256 }] of Object.entries(releases))
    await look(`release ${version}`, async () => {
      const lock = locks.find((one) => one.nextcloud.version === version);
      await pinned(downloads, { what: `release ${version}`, most: MOST_RELEASE_BYTES, url, sha256 });
      if (!lock)
        throw new UserError(
          `it has no lock file (${lockFile(version)}), so nobody knows what it is made of; build it.`,
        );
      if (lock.archive.sha256 !== sha256)
        throw new UserError(
          `the catalog has ${sha256}, ${lockFile(version)} has ${lock.archive.sha256}; build it again.`,
        );
      return "is what was pinned, and what its lock file says";
    });

  let authority: Authority | undefined;
  // The newest first: it has the newest list of revoked certificates, which counts for all.
  for (const lock of locks.toReversed()) {
    const { version } = lock.nextcloud;
    rmSync(work, { recursive: true, force: true });
    mkdirSync(join(work, "keyring"), { recursive: true, mode: 0o700 });
    try {
      await look(`Nextcloud ${version}`, async () => {
        const context = { sources, downloads, scratch: join(work, "keyring") };
        const archive = await serverArchive(version, context, lock.nextcloud.sha256);
        authority ??= await authorityOf(version, archive, join(work, "tree"), join(cache, "authority"));
        return `is signed by ${archive.signedBy}`;
      });
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    if (authority) await lookAtApps(lock, authority, downloads, look);
  }
  rmSync(join(cache, "authority"), { recursive: true, force: true });
  return faults;
}

type Look = (what: string, act: () => Promise<string>) => Promise<void>;

async function lookAtApps(
  { nextcloud, apps }: ReleaseLock,
  authority: Authority,
  downloads: Downloads,
  look: Look,
) {
  for (const [id, { version, url, sha256, signature, certificate: pem }] of Object.entries(apps))
    await look(`${id} ${version}, of ${nextcloud.version}`, async () => {
      const certificate = await checkCertificate(id, pem, authority);
      const path = await downloads.get({ url, what: `${id} ${version}`, most: MOST_APP_BYTES });
      try {
        await checkSignature(id, path, signature, certificate);
        if ((await sha256Of(path)) !== sha256)
          throw new UserError(`${url} serves another archive than was built in.`);
      } catch (error) {
        downloads.discard(url);
        throw error;
      }
      return "is signed by its makers, whose certificate is valid";
    });
}

/** Downloads what is pinned. Throws a UserError if it is another file, or nothing is pinned. */
async function pinned(
  downloads: Downloads,
  {
    what,
    most,
    url,
    sha256,
  }: { what: string; most: number; url?: string | undefined; sha256?: string | undefined },
): Promise<string> {
  if (url === undefined || sha256 === undefined)
    throw new UserError("is not pinned; `npm run check` says what to type.");
  const path = await downloads.again({ url, what, most });
  const found = await sha256Of(path);
  if (found === sha256) return path;
  downloads.discard(url);
  throw new UserError(
    `${url} serves a file with SHA-256 ${found}, not the pinned ${sha256}. Machines refuse it; find out who changed it.`,
  );
}

/** Keeps an archive's certificates after its tree is gone. */
async function authorityOf(
  version: string,
  archive: Parameters<typeof unpackServer>[1],
  tree: string,
  into: string,
): Promise<Authority> {
  mkdirSync(tree);
  const { authority } = await unpackServer(version, archive, tree);
  rmSync(into, { recursive: true, force: true });
  mkdirSync(into);
  const keep = (file: string, name: string) => {
    const path = join(into, name);
    copyFileSync(file, path);
    return path;
  };
  return {
    certificates: keep(authority.certificates, "root.crt"),
    revocations: keep(authority.revocations, "root.crl"),
  };
}
