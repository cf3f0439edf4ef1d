// The lock file of a release: what its archive was made of, so that the same archive can be made again, and each part
// be checked again.
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import semver from "semver";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";

const digits = z.string().regex(/^[0-9a-f]{64}$/);
const version = z.string().regex(/^\d+\.\d+\.\d+$/);

const lockSchema = z.strictObject({
  nextcloud: z.strictObject({
    version,
    url: z.url(),
    sha256: digits,
    /** Fingerprint of the key. */
    signedBy: z.string(),
  }),
  apps: z.record(
    z.string(),
    z.strictObject({
      version: z.string(),
      url: z.url(),
      sha256: digits,
      signature: z.string(),
      certificate: z.string(),
      /** Last moment at which the certificate is valid. */
      certificateEnds: z.string(),
    }),
  ),
  /** App of Nextcloud's archive → why the release has it not. */
  leftOut: z.record(z.string(), z.string()),
  archive: z.strictObject({
    name: z.string(),
    bytes: z.int(),
    sha256: digits,
    /** Of the archive before compression: another zstd may compress to other bytes. */
    tarSha256: digits,
    packedBy: z.string(),
  }),
});
export type ReleaseLock = z.infer<typeof lockSchema>;

const FOLDER = "release/locks";

/** Path of a version's lock file, from the root of the repository. */
export const lockFile = (nextcloud: string): string => `${FOLDER}/nextcloud-${nextcloud}.json`;

/** Reads a version's lock file; undefined if there is none. Throws a UserError if it is broken. */
export function readLock(root: string, nextcloud: string): ReleaseLock | undefined {
  const file = lockFile(nextcloud);
  if (!existsSync(join(root, file))) return undefined;
  try {
    return lockSchema.parse(JSON.parse(readFileSync(join(root, file), "utf8")));
  } catch (error) {
    throw new UserError(
      `${file} is no lock file of a release any more; take it from git again, or delete it and build anew.`,
      { cause: error },
    );
  }
}

/** All lock files, by version, oldest first. */
export function readLocks(root: string): ReleaseLock[] {
  return globSync(`${FOLDER}/nextcloud-*.json`, { cwd: root })
    .flatMap((file) => /nextcloud-(\d+\.\d+\.\d+)\.json$/.exec(file)?.[1] ?? [])
    .sort(semver.compare)
    .flatMap((one) => readLock(root, one) ?? []);
}

/** Writes a lock file, with its apps in order. */
export function writeLock(root: string, lock: ReleaseLock): void {
  const file = join(root, lockFile(lock.nextcloud.version));
  mkdirSync(dirname(file), { recursive: true });
  const inOrder = <Value>(record: Readonly<Record<string, Value>>) =>
    Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = JSON.stringify({ ...lock, apps: inOrder(lock.apps), leftOut: inOrder(lock.leftOut) }, null, 2);
  writeFileSync(file, `${text}\n`);
}
