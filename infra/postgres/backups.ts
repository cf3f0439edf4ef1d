// Backups of PostgreSQL by pgBackRest, in the object storage of the replica site: where and how they are kept, as files
// on the nodes, which write them, and on ops-1, which checks and restores them. Without object storage there are none.
import * as pulumi from "@pulumi/pulumi";
import { siteName } from "../inventory/addresses.ts";
import type { Environment, SiteRole, Storage } from "../inventory/environment.ts";
import { PORTS } from "../machine/firewall.ts";
import type { RemoteFile } from "../machine/remote.ts";
import type { Secrets } from "../pki/secrets.ts";

/** Bucket and MinIO user (infra/storage/storage.ts), and owner of the secrets. */
const BACKUP = "backup";

/** pgBackRest's configuration, for nodes and ops-1; nothing where the environment has no object storage. */
export function backupFiles(environment: Environment, secrets: Secrets): RemoteFile[] {
  const { storage } = environment;
  if (!storage) return [];
  const passwords = pulumi.all([secrets.password(BACKUP, "s3"), secrets.password(BACKUP, "cipher")]);
  return [
    {
      path: "/etc/pgbackrest/pgbackrest.conf",
      mode: "0640",
      owner: "root:postgres",
      content: pulumi.secret(
        passwords.apply(([s3, cipher]) => renderPgBackRest(environment, storage, { s3, cipher })),
      ),
    },
  ];
}

/** The site that takes the backups: not the one whose loss would need them, while both are there. */
function backupSite({ sites, serving }: Storage): SiteRole {
  const other = serving === "primary" ? "replica" : "primary";
  return sites[other] && sites[other].declaredUnreachable === undefined ? other : serving;
}

/** /etc/pgbackrest/pgbackrest.conf. */
function renderPgBackRest(
  { backups }: Environment,
  storage: Storage,
  secret: { s3: string; cipher: string },
): string {
  return `# Rendered by infra/postgres/backups.ts; changes made here are overwritten. Options are those of pgBackRest's reference.
[global]
repo1-type=s3
# A name of all nodes of the site: one that is down is passed over.
repo1-s3-endpoint=${siteName(backupSite(storage))}
repo1-storage-port=${PORTS.s3}
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
repo1-retention-full=${backups.retentionDays}
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
