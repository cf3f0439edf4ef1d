// Backups of PostgreSQL by pgBackRest, in the object storage of the replica site: where and how they are kept, as files
// on the nodes, which write them, and on ops-1, which checks and restores them. Without object storage there are none.
import * as pulumi from "@pulumi/pulumi";
import { storageMachines } from "./addresses.ts";
import type { Environment } from "./environment.ts";
import { PORTS } from "./firewall.ts";
import type { RemoteFile } from "./remote.ts";
import type { Secrets } from "./secrets.ts";

/** Bucket, and MinIO user that may use nothing else. */
export const BACKUP = "backup";

/** pgBackRest's configuration, for nodes and ops-1; nothing where the environment has no object storage. */
export function backupFiles(environment: Environment, secrets: Secrets): RemoteFile[] {
  if (!environment.storage) return [];
  const passwords = pulumi.all([secrets.password(BACKUP, "s3"), secrets.password(BACKUP, "cipher")]);
  return [
    {
      path: "/etc/pgbackrest/pgbackrest.conf",
      mode: "0640",
      owner: "root:postgres",
      content: pulumi.secret(
        passwords.apply(([s3, cipher]) => renderPgBackRest(environment, { s3, cipher })),
      ),
    },
  ];
}

/** The site that holds the backups: not the one whose loss would need them, where there are two. */
function backupSite(environment: Environment) {
  const replica = storageMachines(environment, "replica");
  return replica.length > 0 ? replica : storageMachines(environment, "primary");
}

/** /etc/pgbackrest/pgbackrest.conf. */
export function renderPgBackRest(environment: Environment, secret: { s3: string; cipher: string }): string {
  const [node] = backupSite(environment);
  if (!node) throw new Error("object storage without a node passed its checks");
  return `# Rendered by infra/backups.ts; changes made here are overwritten. Options are those of pgBackRest's reference.
[global]
repo1-type=s3
repo1-s3-endpoint=${node.name}
repo1-storage-port=${PORTS.minio}
repo1-storage-ca-file=/usr/local/share/ca-certificates/framaspace.crt
repo1-s3-uri-style=path
repo1-s3-region=us-east-1
repo1-s3-bucket=${BACKUP}
repo1-s3-key=${BACKUP}
repo1-s3-key-secret=${secret.s3}
repo1-path=/postgres
# Whoever holds the bucket, or a drive of it, holds nothing.
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=${secret.cipher}
repo1-retention-full-type=time
repo1-retention-full=${environment.backups.retentionDays}
# A space has about a thousand files, most of them tiny: one object for many of them, and blocks instead of whole files
# in backups between full ones.
repo1-bundle=y
repo1-block=y
compress-type=zst
process-max=2
start-fast=y
# Many segments at once, ahead of PostgreSQL asking. Never with archive-push-queue-max: it drops WAL, which leaves a hole
# in every point in time after it. A queue that grows is an alarm instead (platform-health).
archive-async=y
spool-path=/var/spool/pgbackrest
log-level-console=warn
log-level-file=detail
[main]
pg1-path=/var/lib/postgresql/17/main
pg1-socket-path=/run/postgresql
`;
}

/** What postgresql.conf says about archiving. */
export function renderArchiving({ storage }: Environment): string {
  if (!storage)
    return `# There is no object storage, so no backup either: nothing is archived.
archive_mode = off
`;
  return `archive_mode = on
archive_command = 'pgbackrest --stanza=main archive-push %p'
# If all is lost but the backups, at most the last minute is missing.
archive_timeout = '60s'
# A standby that was away longer than the primary's disk could wait fetches what it missed.
restore_command = 'pgbackrest --stanza=main archive-get %f "%p"'
`;
}
