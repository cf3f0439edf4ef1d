// PostgreSQL: one database and one role for each space, on a primary that a standby follows. A node's data and the
// record on ops-1 (postgres-cluster) say whether it is the primary or the standby. This file never says it, so no
// change here can turn one into the other. spaces/space.ts declares the databases and roles of spaces.
import * as pulumi from "@pulumi/pulumi";
import { cloudMachines, SUBNETS, type MachineSpec } from "../inventory/addresses.ts";
import type { Environment } from "../inventory/environment.ts";
import { POSTGRES_ADMIN } from "../inventory/names.ts";
import { PORTS } from "../machine/firewall.ts";
import { forcedCommand, opsKey } from "../machine/ops-keys.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs, type RemoteFile } from "../machine/remote.ts";
import { cloudServers, type CloudServer, type Context } from "../machine/server.ts";
import { assignments } from "../machine/shell.ts";
import { backupFiles, renderArchiving } from "./backups.ts";

const CONFIGURATION = "/etc/postgresql/17/main";

interface PostgresArgs {
  context: Context;
  /** ops-1, which decides which node is the primary. */
  ops: CloudServer;
  /** The object storage, which holds the backups: a platform that is built again may start from them. */
  storage: pulumi.Resource | undefined;
}

/** All PostgreSQL nodes. On an empty platform the first one becomes the primary, and the second follows it. */
export class Postgres extends pulumi.ComponentResource {
  constructor(name: string, { context, ops, storage }: PostgresArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Postgres", name, {}, opts);
    const { environment, secrets, access } = context;
    const specs = cloudMachines(environment, "postgres");
    const servers = cloudServers("postgres", context, this);
    const replicationPassword = secrets.password("postgres", "replication");
    let previous: pulumi.Resource[] = servers;
    // One after the other: a changed setting restarts one node at a time.
    for (const machine of servers) {
      const peer = specs.find((spec) => spec.name !== machine.spec.name);
      const role = remoteScript(
        `${machine.spec.name}-role`,
        {
          machine,
          script: "infra/postgres/install.sh",
          packages: PACKAGES.postgres,
          files: [
            ...postgresFiles(environment, machine.spec, peer),
            ...backupFiles(environment, secrets),
            passwordFile(peer, replicationPassword),
            {
              path: "/etc/framaspace/authorized_keys/root",
              content: forcedCommand(environment, secrets, "postgres", "/usr/local/sbin/postgres-node ssh"),
            },
          ],
        },
        { parent: this, dependsOn: previous },
      );
      previous = [role];
    }
    remoteScript(
      `${name}-settle`,
      {
        machine: ops,
        script: "infra/postgres/reconcile.sh",
        packages: ["nodejs", ...(storage ? ["jq", ...PACKAGES.restore] : [])],
        settings: {
          ADMIN_PASSWORD: secrets.password("postgres", "superuser"),
          REPLICATION_PASSWORD: replicationPassword,
          // The script runs again when a node was replaced, and fills it.
          NODE_IDS: pulumi.all(servers.map(({ identity }) => identity)),
        },
        files: [
          ...rootfs("infra/postgres/rootfs-ops"),
          ...(storage
            ? [...backupFiles(environment, secrets), ...rootfs("infra/postgres/rootfs-backups")]
            : []),
          // ops-1 probes the nodes every few seconds.
          ...opsKey("postgres", { secrets, access, machines: specs, persist: 60 }),
          {
            path: "/etc/framaspace/postgres/nodes",
            content: specs.map((spec) => `${spec.name}\n`).join(""),
          },
        ],
      },
      { parent: this, dependsOn: [ops, ...previous, ...(storage ? [storage] : [])] },
    );
    this.registerOutputs({});
  }
}

/**
 * The physical replication slot that a node reads. It has the node's name, without hyphens, which slots cannot have.
 */
export function slotName(node: MachineSpec): string {
  return node.name.replaceAll("-", "_");
}

/** The connection to the peer, for replication and for probing its state. */
function peerConnection(peer: MachineSpec): string {
  return [
    `host=${peer.name}`,
    `port=${PORTS.postgres}`,
    "user=replication",
    `passfile=${CONFIGURATION}/replication.pgpass`,
    "sslmode=verify-full",
    "sslrootcert=/usr/local/share/ca-certificates/framaspace.crt",
    // OpenSSL has no digest for the channel binding of an Ed25519 certificate ("could not find digest for NID UNDEF").
    "channel_binding=disable",
    "connect_timeout=5",
  ].join(" ");
}

function passwordFile(peer: MachineSpec | undefined, password: pulumi.Output<string>): RemoteFile {
  return {
    path: `${CONFIGURATION}/replication.pgpass`,
    mode: "0600",
    owner: "postgres:postgres",
    content: pulumi.secret(
      password.apply((value) => `${peer?.name ?? "no-peer"}:${PORTS.postgres}:*:replication:${value}\n`),
    ),
  };
}

/** All files of a node under /etc, except its secrets. */
export function postgresFiles(
  environment: Environment,
  node: MachineSpec,
  peer: MachineSpec | undefined,
): RemoteFile[] {
  return [
    { path: `${CONFIGURATION}/postgresql.conf`, content: renderPostgresql(environment, node, peer) },
    {
      path: `${CONFIGURATION}/pg_hba.conf`,
      mode: "0640",
      owner: "root:postgres",
      content: renderHba(peer),
    },
    { path: `${CONFIGURATION}/pg_ident.conf`, mode: "0640", owner: "root:postgres", content: "# empty\n" },
    ...rootfs("infra/postgres/rootfs"),
    {
      path: "/etc/framaspace/postgres-node",
      content: `${assignments({ MACHINE: node.name, PEER: peer?.name ?? "", ADMIN: POSTGRES_ADMIN })}\n`,
    },
    { path: "/etc/systemd/system/postgresql@17-main.service.d/framaspace.conf", content: dropIn(node) },
  ];
}

/** Who may log in where. PostgreSQL refuses everything that no line allows. */
export function renderHba(peer: MachineSpec | undefined): string {
  return `# Rendered by infra/postgres/postgres.ts; changes made here are overwritten.
# TYPE   DATABASE     USER         ADDRESS         METHOD
local    all          postgres                     peer
# postgres-node tests through these lines whether a role already has the declared password.
local    postgres     ${POSTGRES_ADMIN}                   scram-sha-256
local    replication  replication                  scram-sha-256
# Each space has a database and a role of the same name: no grant per space, and no way into another's database.
hostssl  sameuser     all          ${SUBNETS.web.padEnd(15)} scram-sha-256
hostssl  sameuser     all          ${SUBNETS.worker.padEnd(15)} scram-sha-256
hostssl  sameuser     all          ${SUBNETS.ops.padEnd(15)} scram-sha-256
hostssl  all          ${POSTGRES_ADMIN}   ${SUBNETS.ops.padEnd(15)} scram-sha-256
${
  peer
    ? `hostssl  replication  replication  ${`${peer.privateAddress}/32`.padEnd(15)} scram-sha-256
# For pg_rewind, when that node becomes the standby of this one.
hostssl  postgres     replication  ${`${peer.privateAddress}/32`.padEnd(15)} scram-sha-256
`
    : ""
}`;
}

/** postgresql.conf. infra/postgres/install.sh writes machine.conf: the settings that depend on memory and disk. */
function renderPostgresql(
  environment: Environment,
  node: MachineSpec,
  peer: MachineSpec | undefined,
): string {
  return `# Rendered by infra/postgres/postgres.ts; changes made here are overwritten. Chapters are those of PostgreSQL 17's manual.
data_directory = '/var/lib/postgresql/17/main'
hba_file = '${CONFIGURATION}/pg_hba.conf'
ident_file = '${CONFIGURATION}/pg_ident.conf'
external_pid_file = '/run/postgresql/17-main.pid'
unix_socket_directories = '/run/postgresql'
listen_addresses = '${node.privateAddress}'
port = ${PORTS.postgres}
# The name of a standby in pg_stat_replication.
cluster_name = '${node.name}'
timezone = 'Etc/UTC'

ssl = on
ssl_cert_file = '/etc/framaspace/tls/cert.pem'
ssl_key_file = '/etc/framaspace/tls/key.pem'
ssl_ca_file = '/usr/local/share/ca-certificates/framaspace.crt'
ssl_min_protocol_version = 'TLSv1.3'
# Many iterations slow down the guessing of passwords. Ours are derived and have 240 bits, which nobody guesses, and
# each request of a space pays for the iterations on the web server. 1000 is the least that the provider's library
# accepts (lib/pq, scram.go: a count of four digits).
scram_iterations = 1000

# Each PHP worker holds one, also while it waits for a next request (infra/web/install.sh): the 218 that work on a web
# server of 32 GB, and one for each space that was asked in the last seconds, on two to four such servers. Pulumi's
# provider takes up to 200: it needs two for each parallel step, and hangs for ever with fewer. A backend takes 4 MB
# (bench:postgres). A higher value must reach the standby too, which pauses replay until it has restarted (26.4.4).
max_connections = 2000
# Reserved for the role ${POSTGRES_ADMIN} (pg_use_reserved_connections) and for postgres, if the spaces take all others.
reserved_connections = 10
superuser_reserved_connections = 5
# The connections of a vanished web server end after 25 s instead of two hours. Until then, those of its waiting workers
# count against a space's limit (spaces/space.ts), and the space's workers elsewhere get what is left.
tcp_keepalives_idle = 10
tcp_keepalives_interval = 5
tcp_keepalives_count = 3
# Ends queries whose PHP worker was killed: nobody reads the result, and the connection counts against the space's
# limit.
client_connection_check_interval = '5s'
idle_in_transaction_session_timeout = '10min'

# A database has 300 files of PostgreSQL itself (bench:postgres) and one for each of Nextcloud's tables and indexes. A
# backend uses one database, but the checkpointer and a standby's replay use all of them. With the default of 1000 they
# close and open files all the time (19.4.3).
max_files_per_process = 8000
# So that the query of one space cannot fill the disk of all.
temp_file_limit = '4GB'
# Queries are short: compiling them costs more than it saves (30.1).
jit = off

# The launcher starts a worker every naptime / databases, at most ten a second (autovacuum.c, MIN_AUTOVAC_SLEEPTIME).
# With 10,000 databases and the default it would always start ten a second. Half an hour means five or six starts a
# second, and is often enough for databases of 15 MB.
autovacuum_naptime = '30min'
# A worker cleans one database: a space with much to clean must not delay the others.
autovacuum_max_workers = 5

# After a checkpoint the first change of a page writes the whole page to the WAL (28.5), and small databases change many
# pages only once. Rarer checkpoints and compression make that cheaper. max_wal_size is in machine.conf.
checkpoint_timeout = '15min'
# After a crash PostgreSQL first syncs all files: with one call for the file system instead of one for each of ten
# million files.
recovery_init_sync_method = syncfs
wal_compression = lz4

# Replication. A node uses the settings for standbys only while it is one. machine.conf limits the WAL that a slot may
# keep: a dead standby must not fill the primary's disk (19.6.1).
wal_level = replica
hot_standby = on
# A vanished standby blocks commits until the primary gives it up after this time. ops-1 then lets commits continue.
wal_sender_timeout = '10s'
wal_receiver_timeout = '10s'
${
  peer
    ? `primary_conninfo = '${peerConnection(peer)}'
primary_slot_name = '${slotName(node)}'
`
    : ""
}
# The archive, for backups (infra/postgres/backups.ts).
${renderArchiving(environment)}
# To the central log, with the space (the role's name) and the client's address.
log_destination = 'syslog'
syslog_ident = 'postgres'
log_line_prefix = '%q%u@%d %h '
log_min_duration_statement = '5s'
log_lock_waits = on
log_checkpoints = off

include = 'machine.conf'
# Says whether commits wait for the standby. postgres-node writes it when ops-1 tells it to.
include_if_exists = 'synchronous.conf'
`;
}

// The private address may come up after network-online.target, and PostgreSQL does not start without it.
function dropIn(node: MachineSpec): string {
  return `[Unit]
After=network-online.target
Wants=network-online.target
# The file exists if this node was replaced as the primary (postgres-node fence).
ConditionPathExists=!/var/lib/framaspace/postgres-fenced
StartLimitIntervalSec=0
[Service]
ExecStartPre=/bin/sh -c 'until hostname -I | grep -qwF ${node.privateAddress}; do sleep 0.3; done'
ExecStartPre=+/usr/local/sbin/postgres-node guard
Restart=on-failure
RestartSec=1
RestartSteps=5
RestartMaxDelaySec=15
# For max_files_per_process.
LimitNOFILE=65536
`;
}
