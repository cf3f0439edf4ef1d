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

/** Hosts that send every download on to another host of the same owner. */
export const SENT_ON: Readonly<Record<string, RegExp>> = {
  "github.com": /^[a-z0-9-]+\.githubusercontent\.com$/,
};
