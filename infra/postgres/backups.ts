// Backups of PostgreSQL by pgBackRest, in the object storage of the replica site. This file renders pgBackRest's
// configuration for the nodes, which write backups, and for ops-1, which checks and restores them. Without object
// storage there are no backups.
import * as pulumi from "@pulumi/pulumi";
import { siteName } from "../inventory/addresses.ts";
import type { Environment, SiteRole, Storage } from "../inventory/environment.ts";
import { PORTS } from "../machine/firewall.ts";
import type { RemoteFile } from "../machine/remote.ts";
import type { Secrets } from "../pki/secrets.ts";

/** Bucket and MinIO user (infra/storage/storage.ts), and owner of the secrets. */
const BACKUP = "backup";

/** pgBackRest's configuration, for nodes and ops-1. Empty if the environment has no object storage. */
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

/** The site that stores the backups: while both are reachable, not the one whose loss would require them. */
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
# The name has the addresses of all nodes of the site: pgBackRest skips nodes that are down.
repo1-s3-endpoint=${siteName(backupSite(storage))}
repo1-storage-port=${PORTS.s3}
repo1-storage-ca-file=/usr/local/share/ca-certificates/framaspace.crt
repo1-s3-uri-style=path
repo1-s3-region=us-east-1
repo1-s3-bucket=${BACKUP}
repo1-s3-key=${BACKUP}
repo1-s3-key-secret=${secret.s3}
repo1-path=/postgres
# Without this key, the bucket or one of its drives reveals nothing.
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=${secret.cipher}
repo1-retention-full-type=time
repo1-retention-full=${backups.retentionDays}
# A space has about a thousand files, most of them tiny. So many files share one object, and backups between full ones
# store changed blocks instead of whole files.
repo1-bundle=y
repo1-block=y
compress-type=zst
process-max=2
start-fast=y
# Pushes many segments at once, before PostgreSQL asks. Never with archive-push-queue-max: it drops WAL, and no moment
# after that gap can be restored. Instead, a queue that grows raises an alarm (platform-health).
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
# If only the backups are left, at most the last minute is missing.
archive_timeout = '60s'
# A standby whose WAL the primary no longer has fetches it from the archive.
restore_command = 'pgbackrest --stanza=main archive-get %f "%p"'
`;
}
