// Debian packages by role. The scripts install them, and the lab stores them for machines without a network.
import type { Role } from "../inventory/addresses.ts";

/**
 * PHP 8.4 with the extensions that Nextcloud requires (admin manual, "Prerequisites for manual installation"), except
 * Imagick: its scripts read and write any file that PHP's user may (docs/threat-model.md). Imaginary makes the
 * previews.
 */
const PHP = ["bcmath", "curl", "gd", "gmp", "intl", "mbstring", "pgsql", "redis", "xml", "zip"].map(
  (extension) => `php8.4-${extension}`,
);

export const PACKAGES: Readonly<Record<Role | "base" | "restore", readonly string[]>> = {
  base: [
    "ca-certificates",
    "curl",
    "nftables",
    "rsync",
    "rsyslog",
    "rsyslog-relp",
    "systemd-timesyncd",
    "unattended-upgrades",
  ],
  // nodejs: the programs that work on spaces.
  ops: ["nodejs", "postgresql-client-17", "redis-tools", "jq", "bzip2", "zstd"],
  logs: ["logrotate"],
  gateway: ["nginx"],
  // libfcgi-bin: opcache-hits. procps: space-access. python3: rrsync, which lets ops-1 write to one directory only, is a
  // Python program.
  web: ["nginx", "php8.4-fpm", ...PHP, "bzip2", "libfcgi-bin", "procps", "python3", "zstd"],
  worker: ["php8.4-cli", ...PHP, "bzip2", "zstd"],
  postgres: ["postgresql-17", "pgbackrest", "jq"],
  /** On ops-1, which restores backups to a scratch cluster, to check them or to fetch one space from them. */
  restore: ["postgresql-17", "pgbackrest"],
  redis: ["redis-server"],
  imaginary: ["libvips42t64"],
  office: ["gnupg"],
  storage: ["nginx", "xfsprogs"],
};
