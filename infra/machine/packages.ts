// Debian packages by role: what the scripts install, and what the lab keeps at hand for machines without a network.
import type { Role } from "../inventory/addresses.ts";

/**
 * PHP 8.4 with what Nextcloud asks for (admin manual, "Prerequisites for manual installation"), but for Imagick: its
 * scripts read and write any file that PHP's user may (docs/threat-model.md). Imaginary makes the previews.
 */
const PHP = ["bcmath", "curl", "gd", "gmp", "intl", "mbstring", "pgsql", "redis", "xml", "zip", "apcu"].map(
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
  ops: ["php8.4-cli", ...PHP, "postgresql-client-17", "redis-tools", "jq", "bzip2", "zstd"],
  logs: ["logrotate"],
  gateway: ["nginx"],
  // python3: rrsync, which keeps what ops-1 may write to one directory, is a Python program.
  web: ["nginx", "php8.4-fpm", ...PHP, "bzip2", "python3", "zstd"],
  postgres: ["postgresql-17", "pgbackrest", "jq"],
  /** On ops-1, which restores backups to a cluster of its own: to check them, and to fetch one space from them. */
  restore: ["postgresql-17", "pgbackrest"],
  redis: ["redis-server"],
  imaginary: ["libvips42t64"],
  office: ["gnupg"],
  storage: ["nginx", "xfsprogs"],
};
