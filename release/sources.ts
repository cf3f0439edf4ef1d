// Where parts of a release come from, and whose signature they must have.

export interface Sources {
  /** Folder of Nextcloud's releases: below it lies v34.0.4/nextcloud-34.0.4.tar.bz2, with its signature as .asc. */
  server: string;
  /** The OpenPGP key that signs them. */
  key: string;
  /** The key's fingerprint, as 40 hexadecimal digits. The key itself may come from anywhere. */
  fingerprint: string;
  /** API of the app store, without a slash at its end (docs of nextcloud/appstore, REST API). */
  store: string;
}

/** Nextcloud's own. The fingerprint is the one that the official image pins, too (nextcloud/docker, Dockerfile). */
export const SOURCES: Readonly<Sources> = {
  server: "https://github.com/nextcloud-releases/server/releases/download",
  key: "https://nextcloud.com/nextcloud.asc",
  fingerprint: "28806A878AE423A28372792ED75899B9A724937A",
  store: "https://apps.nextcloud.com/api/v1",
};

/** The key with which MinIO signs its binaries (minio/minio, Dockerfile.release). */
export const MINIO_KEY = "RWTx5Zr1tiHQLwG9keckT0c45M3AGeHD6IvimQHpyRywVWGbP1aVSGav";

/**
 * The last binaries that MinIO signed and published, for a lab. Upstream publishes none any more, so a host takes a
 * maintained build (docs/deploy.md, Artifacts).
 */
export const SIGNED_BINARIES: Readonly<Record<string, string>> = {
  minio: "https://dl.min.io/server/minio/release/linux-amd64/archive/minio.RELEASE.2025-09-07T16-13-09Z",
  mc: "https://dl.min.io/client/mc/release/linux-amd64/archive/mc.RELEASE.2025-08-13T08-35-41Z",
};

/** Who says what is newer. It decides nothing: what is built or pinned is checked by its signature. */
export interface News {
  /** Cycles of Nextcloud: the newest version of each, and the day of its last fixes. */
  cycles: string;
  /** Advisories of Nextcloud and its apps, as GitHub's API lists them. */
  advisories: string;
  /** The newest mc, as `sha256sum` prints it: checksum and name. */
  mc: string;
  /** The newest release of a maintained MinIO, as GitHub's API tells it. */
  minio: string;
}

export const NEWS: Readonly<News> = {
  cycles: "https://endoflife.date/api/nextcloud.json",
  advisories: "https://api.github.com/repos/nextcloud/security-advisories/security-advisories?per_page=100",
  mc: "https://dl.min.io/client/mc/release/linux-amd64/mc.sha256sum",
  minio: "https://api.github.com/repos/pgsty/minio/releases/latest",
};

/** Hosts that send every download on to another host of the same owner. */
export const SENT_ON: Readonly<Record<string, RegExp>> = {
  "github.com": /^[a-z0-9-]+\.githubusercontent\.com$/,
};
