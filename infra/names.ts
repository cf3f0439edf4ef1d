// What a space is called in each system. A name is the id, with a fixed prefix where a system is shared with
// others; it is never shortened or hashed: spaces/tenants.ts refuses ids that would not fit everywhere.

export interface SpaceNames {
  /** Of its address. */
  host: string;
  /** PostgreSQL: database and owning role are both the id, which is what `sameuser` in pg_hba.conf rests on. */
  database: string;
  role: string;
  /** MinIO: the policy `space` grants `space-${aws:username}`. */
  s3User: string;
  bucket: string;
  /** Redis: `admin` and `default` are no ids (spaces/ids.ts). */
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
