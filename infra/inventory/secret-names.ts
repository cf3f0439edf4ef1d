// Every secret that is derived (infra/pki/secrets.ts), by owner and purpose. What rotates does so by a number under
// `framaspace:generations`; docs/runbooks/rotate-a-secret.md says of each what people notice.

/** The platform's own, by owner. All of them rotate. */
export const PLATFORM_SECRETS = {
  backup: ["cipher", "s3"],
  ca: ["key"],
  deploy: ["ssh"],
  metrics: ["s3"],
  minio: ["root"],
  ops: ["distribute", "health", "postgres", "wanted"],
  postgres: ["replication", "superuser"],
  redis: ["admin"],
} as const;
export type SecretOwner = keyof typeof PLATFORM_SECRETS;
export type SecretPurpose<Owner extends SecretOwner> = (typeof PLATFORM_SECRETS)[Owner][number];

/** Owners of keys that others know them by: `<owner>/trusted` is the last generation that is known. */
export const TRUSTED_OWNERS = ["ca", "deploy"] as const satisfies readonly SecretOwner[];

/** Of each machine. Its host key stays: others know the machine by it. */
export const MACHINE_SECRETS = { rotating: ["tls"], lasting: ["ssh-host-key"] } as const;
export type MachineSecret = (typeof MACHINE_SECRETS)[keyof typeof MACHINE_SECRETS][number];

/**
 * Of each space. What Nextcloud keeps for good stays: with another instance id, secret or salt a space no longer finds its
 * previews, and reads no password that it keeps.
 */
export const SPACE_SECRETS = {
  rotating: ["postgres", "redis", "s3"],
  lasting: ["nextcloud-instance", "nextcloud-salt", "nextcloud-secret"],
} as const;
export type SpaceSecret = (typeof SPACE_SECRETS)[keyof typeof SPACE_SECRETS][number];
