// Every derived secret (infra/pki/secrets.ts), by owner and purpose. A number under `framaspace:generations` rotates a
// secret; docs/runbooks/rotate-a-secret.md says what people notice.

/** Secrets of the platform, by owner. All of them can rotate. */
export const PLATFORM_SECRETS = {
  backup: ["cipher", "s3"],
  ca: ["key"],
  deploy: ["ssh"],
  metrics: ["s3"],
  minio: ["root"],
  ops: ["distribute", "health", "postgres", "wanted", "worker"],
  postgres: ["replication", "superuser"],
  redis: ["admin"],
} as const;
export type SecretOwner = keyof typeof PLATFORM_SECRETS;
export type SecretPurpose<Owner extends SecretOwner> = (typeof PLATFORM_SECRETS)[Owner][number];

/** Owners of keys that machines trust. `<owner>/trusted` is the last trusted generation. */
export const TRUSTED_OWNERS = ["ca", "deploy"] as const satisfies readonly SecretOwner[];

/** Secrets of each machine. Its host key never rotates: others recognize the machine by it. */
export const MACHINE_SECRETS = { rotating: ["tls"], lasting: ["ssh-host-key"] } as const;
export type MachineSecret = (typeof MACHINE_SECRETS)[keyof typeof MACHINE_SECRETS][number];

/**
 * Secrets of each space. Nextcloud's own never rotate: with another instance id, secret or salt, a space no longer
 * finds its previews and cannot read the passwords that it stores.
 */
export const SPACE_SECRETS = {
  rotating: ["postgres", "redis", "s3"],
  lasting: ["nextcloud-instance", "nextcloud-salt", "nextcloud-secret"],
} as const;
export type SpaceSecret = (typeof SPACE_SECRETS)[keyof typeof SPACE_SECRETS][number];
