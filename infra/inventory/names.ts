// The name of a space in each system: its id, with a fixed prefix in systems that others use too. A name is never
// shortened or hashed: spaces/fleet/fleet.ts refuses ids that do not fit everywhere.

export interface SpaceNames {
  /** Host name of its web address. */
  host: string;
  /** PostgreSQL: the database and its owner have the same name, because pg_hba.conf uses `sameuser`. */
  database: string;
  role: string;
  /** MinIO: the policy `space` grants `space-${aws:username}`. */
  s3User: string;
  bucket: string;
  redisUser: string;
  /** Prefix of all its keys in Redis. No id contains a colon, so no prefix is the beginning of another. */
  redisPrefix: string;
}

/** The names of one space. */
export function spaceNames(id: string, domain: string): SpaceNames {
  return {
    host: `${id}.${domain}`,
    database: id,
    role: id,
    s3User: id,
    bucket: `space-${id}`,
    redisUser: id,
    redisPrefix: `${id}:`,
  };
}

/** The MinIO policy that every space's user is attached to. */
export const SPACE_POLICY = "space";

/** MinIO's root user, for the provider and for `mc` on ops-1. */
export const STORAGE_ROOT = "framaspace";

/** MinIO's buckets that belong to no space: backups of databases, exports of spaces. */
export const BUCKETS = { backup: "backup", archive: "archive" } as const;

/**
 * MinIO's users that belong to no space. Each has a policy of the same name and, like spaces, the secret `<user>/s3`.
 */
export const SERVICE_USERS = ["backup", "metrics"] as const;

/**
 * PostgreSQL role of Pulumi's provider and of people on ops-1. It is no superuser, but it creates the spaces' roles and
 * may act as them.
 */
export const POSTGRES_ADMIN = "framaspace";

/** Redis' users that belong to no space. */
export const REDIS_USERS = ["admin", "default"] as const;

/** The only name under the domain with its own record. The apex and all other names point to the load balancer. */
export const OPS_RECORD = "ops";

/** Log tags of programs that run beside spaces' code. Their lines have the facility `user`, as those of spaces have. */
export const USER_TAGS = [
  "addgroup",
  "adduser",
  "delgroup",
  "deluser",
  "platform-health",
  "root",
  "rsyslogd",
] as const;

/**
 * Names that the platform itself uses where spaces use their ids. No space may have one of them (spaces/fleet/ids.ts).
 * test/spaces/fleet/reserved.test.ts looks for more such names in the rendered files.
 */
export const PLATFORM_NAMES: Readonly<Record<string, readonly string[]>> = {
  PostgreSQL: [POSTGRES_ADMIN, "postgres", "replication", "template0", "template1"],
  // The last one is MinIO's own user, with which two sites replicate.
  MinIO: [STORAGE_ROOT, SPACE_POLICY, ...SERVICE_USERS, ...Object.values(BUCKETS), "site-replicator-0"],
  Redis: REDIS_USERS,
  DNS: [OPS_RECORD],
  logs: [
    ...USER_TAGS,
    ...[
      "apt chronyd coolwsd cron dbus-daemon dpkg kernel nginx php php-fpm postgresql redis ssh sshd sshd-session sudo",
      "systemd systemd-journald systemd-logind systemd-networkd systemd-resolved",
    ].flatMap((line) => line.split(" ")),
  ],
  // Users and groups.
  machines: ["framaspace-nginx", "framaspace-tls", "minio", "postgres", "redis", "root", "www-data"],
};
