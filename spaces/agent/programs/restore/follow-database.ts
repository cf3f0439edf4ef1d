// What a space's directory says once its database was put back.
import { spaceUser, type SpaceWork } from "../space-work.ts";
import { textOf } from "../read-space.ts";

/** A new fingerprint makes sync clients ask about files that are newer than the space's, instead of deleting them. */
export const NEW_FINGERPRINT = `INSERT INTO framaspace VALUES ('fingerprint', md5(random()::text || clock_timestamp()::text))
  ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING value`;

/** `34.0.4.1` → `34.0.4` */
export const releaseOfVersion = (version: string) => version.replace(/\.[^.]*$/, "");

/**
 * Puts a space whose database was restored on the release of that database. The fingerprint tells its clients that what
 * they know of the space is from another time. Converging keeps both.
 */
export async function followDatabase(work: SpaceWork, version: string, fingerprint: string): Promise<void> {
  const release = releaseOfVersion(version);
  const document = { ...work.space.document, release, version, dataFingerprint: fingerprint };
  await work.directory.put("config/space.json", 0o640, `root:${spaceUser(work)}`, textOf(document));
  work.directory.linkRelease(work.places.releases, release);
}
