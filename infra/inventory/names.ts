// What a space is called in each system. A name is the id, with a fixed prefix where a system is shared with
// others; it is never shortened or hashed: spaces/fleet/fleet.ts refuses ids that would not fit everywhere.

export interface SpaceNames {
  /** Of its address. */
  host: string;
  /** PostgreSQL: database and owning role are both the id, which is what `sameuser` in pg_hba.conf rests on. */
  database: string;
  role: string;
  /** MinIO: the policy `space` grants `space-${aws:username}`. */
  s3User: string;
  bucket: string;
  redisUser: string;
  /** Of every key in Redis. No id holds a colon, so no prefix begins another. */
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

/** MinIO's buckets that are no space's: backups of databases, exports of spaces. */
export const BUCKETS = { backup: "backup", archive: "archive" } as const;

/** MinIO's users that are no space's, each with a policy of its own name; their secrets are `<user>/s3`, as spaces. */
export const SERVICE_USERS = ["backup", "metrics"] as const;

/** Role of the postgresql provider and of people on ops-1: no superuser, but it makes the spaces' roles and may act as them. */
export const POSTGRES_ADMIN = "framaspace";

/** Redis' users that are no space's. */
export const REDIS_USERS = ["admin", "default"] as const;

/** Names of the domain that have a record of their own; the apex and all others are the load balancer's. */
export const OPS_RECORD = "ops";

/** Log tags, with the facility `user` that spaces' lines have, of what runs beside spaces' code. */
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
 * What the platform itself uses where a space's id is used, too: no space may have one of these names (spaces/fleet/ids.ts).
 * test/spaces/fleet/reserved.test.ts looks for more of them in what is rendered.
 */
export const PLATFORM_NAMES: Readonly<Record<string, readonly string[]>> = {
  PostgreSQL: [POSTGRES_ADMIN, "postgres", "replication", "template0", "template1"],
  // The last one is MinIO's own, by which two sites replicate.
  MinIO: [STORAGE_ROOT, SPACE_POLICY, ...SERVICE_USERS, ...Object.values(BUCKETS), "site-replicator-0"],
  Redis: REDIS_USERS,
  DNS: [OPS_RECORD],
  logs: [...USER_TAGS, "cron", "kernel", "nginx", "php", "php-fpm", "redis", "sshd", "sudo", "systemd"],
  // Users and groups.
  machines: ["framaspace-nginx", "framaspace-tls", "minio", "postgres", "redis", "root", "www-data"],
};
