// PostgreSQL: one database and one role for each space, on a primary that a standby follows. What a node is, is read
// from its data and from what ops-1 remembers (postgres-cluster), never from here, so that nothing in this file
// can turn one into the other. Databases and roles of spaces belong to spaces/space.ts.
import * as pulumi from "@pulumi/pulumi";
import { cloudMachines, SUBNETS, type MachineSpec } from "../inventory/addresses.ts";
import { backupFiles, renderArchiving } from "./backups.ts";
import type { Environment } from "../inventory/environment.ts";
import { PORTS } from "../machine/firewall.ts";
import { POSTGRES_ADMIN } from "../inventory/names.ts";
import { forcedCommand, opsKey } from "../machine/ops-keys.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs, type RemoteFile } from "../machine/remote.ts";
import { cloudServers, type CloudServer, type Context } from "../machine/server.ts";
import { assignments } from "../machine/shell.ts";

const CONFIGURATION = "/etc/postgresql/17/main";

interface PostgresArgs {
  context: Context;
  /** ops-1, which decides who takes the writes. */
  ops: CloudServer;
  /** The object storage, where backups are: they may be what an empty platform is to begin with. */
  storage: pulumi.Resource | undefined;
}

/** All PostgreSQL nodes: the first becomes the primary of an empty platform, a second one follows it. */
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
        packages: ["jq", ...(storage ? PACKAGES.restore : [])],
        settings: {
          ADMIN_PASSWORD: secrets.password("postgres", "superuser"),
          REPLICATION_PASSWORD: replicationPassword,
          // A node that was replaced is to be filled.
          NODE_IDS: pulumi.all(servers.map(({ identity }) => identity)),
        },
        files: [
          ...rootfs("infra/postgres/rootfs-ops"),
          ...(storage
            ? [...backupFiles(environment, secrets), ...rootfs("infra/postgres/rootfs-backups")]
            : []),
          // ops-1 looks every few seconds.
          ...opsKey("postgres", { secrets, access, machines: specs, persist: 60 }),
          {
            path: "/etc/framaspace/postgres/nodes",
            content: `${assignments({ NODES: specs.map((spec) => spec.name) })}\n`,
          },
        ],
      },
      { parent: this, dependsOn: [ops, ...previous, ...(storage ? [storage] : [])] },
    );
    this.registerOutputs({});
  }
}

/** A physical replication slot is named by the node that reads it; its name can hold no hyphen. */
export function slotName(node: MachineSpec): string {
  return node.name.replaceAll("-", "_");
}

/** How the peer is reached, for replication and for asking what it is. */
function peerConnection(peer: MachineSpec): string {
  return [
    `host=${peer.name}`,
    `port=${PORTS.postgres}`,
    "user=replication",
    `passfile=${CONFIGURATION}/replication.pgpass`,
    "sslmode=verify-full",
    "sslrootcert=/usr/local/share/ca-certificates/framaspace.crt",
    // OpenSSL has no digest to bind to for an Ed25519 certificate ("could not find digest for NID UNDEF").
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

/** Everything under /etc that makes a node, its secrets aside. */
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

/** Who may log in where. What no line names is refused. */
export function renderHba(peer: MachineSpec | undefined): string {
  return `# Rendered by infra/postgres/postgres.ts; changes made here are overwritten.
# TYPE   DATABASE     USER         ADDRESS         METHOD
local    all          postgres                     peer
# How infra/postgres/install.sh sees whether a password is already the one that is declared.
local    postgres     ${POSTGRES_ADMIN}                   scram-sha-256
local    replication  replication                  scram-sha-256
# Each space has a database and a role of its own name: no grant per space, and no way into another's database.
hostssl  sameuser     all          ${SUBNETS.web.padEnd(15)} scram-sha-256
hostssl  sameuser     all          ${SUBNETS.ops.padEnd(15)} scram-sha-256
hostssl  all          ${POSTGRES_ADMIN}   ${SUBNETS.ops.padEnd(15)} scram-sha-256
${
  peer
    ? `hostssl  replication  replication  ${`${peer.privateAddress}/32`.padEnd(15)} scram-sha-256
# pg_rewind, when that node is to follow this one.
hostssl  postgres     replication  ${`${peer.privateAddress}/32`.padEnd(15)} scram-sha-256
`
    : ""
}`;
}

/** postgresql.conf; what depends on the machine's memory and disk is in machine.conf, written by install.sh. */
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
# Under this name a standby shows in pg_stat_replication.
cluster_name = '${node.name}'
timezone = 'Etc/UTC'

ssl = on
ssl_cert_file = '/etc/framaspace/tls/cert.pem'
ssl_key_file = '/etc/framaspace/tls/key.pem'
ssl_ca_file = '/usr/local/share/ca-certificates/framaspace.crt'
ssl_min_protocol_version = 'TLSv1.3'
# Hashing a password thousands of times slows down who guesses it. Ours are derived, 240 bits that nobody guesses, and
# each request of a space pays for it on the web server. 1000 is the least that the provider's library takes
# (lib/pq, scram.go: a count of four digits).
scram_iterations = 1000

# Each PHP worker holds one (218 on a web server of 32 GB, by infra/web/install.sh) and there are two to four such servers; the
# provider takes up to 200 (it needs two for each parallel step, with fewer it hangs for ever). A backend has 4 MB of its
# own (bench:postgres). A raise must reach the standby too, which pauses until it has restarted (26.4.4).
max_connections = 1000
# A flood from the spaces leaves these to the role ${POSTGRES_ADMIN} (pg_use_reserved_connections) and to postgres.
reserved_connections = 10
superuser_reserved_connections = 5
# A web server that vanished holds its connections for 90 s, not for two hours.
tcp_keepalives_idle = 30
tcp_keepalives_interval = 10
tcp_keepalives_count = 6
# A query whose PHP worker was killed would go on for nobody, and count against what its space may have open.
client_connection_check_interval = '5s'
idle_in_transaction_session_timeout = '10min'

# A database has 300 files of PostgreSQL's own (bench:postgres) and one for each of Nextcloud's tables and indexes.
# Backends see one database each, but the checkpointer and a standby's replay see all: with the default of 1000 they
# close and open files without end (19.4.3).
max_files_per_process = 8000
# One space's query can't fill the disk of all.
temp_file_limit = '4GB'
# Queries are short: compiling them costs more than it saves (30.1).
jit = off

# The launcher starts a worker every naptime / databases, but never more than ten a second (autovacuum.c,
# MIN_AUTOVAC_SLEEPTIME): with 10,000 databases that is all it would do. Half an hour means five starts a second then,
# and is soon enough for databases of 15 MB.
autovacuum_naptime = '30min'
# Each worker has one database: a space with much to clean must not keep the others waiting.
autovacuum_max_workers = 5

# After a checkpoint the first change of a page writes it whole (28.5), and small databases touch many pages once:
# rarer checkpoints and compression make that cheaper. max_wal_size is in machine.conf.
checkpoint_timeout = '15min'
# After a crash, before anything else, all files are synced: one call for the file system, not one for each of ten
# million files.
recovery_init_sync_method = syncfs
wal_compression = lz4

# Replication. A node uses what concerns standbys only while it is one. How much WAL a slot may hold back is in
# machine.conf: a dead standby must not fill the primary's disk (19.6.1).
wal_level = replica
hot_standby = on
# A standby that vanished holds commits back until the primary takes it for gone, and ops-1 then lets them go on.
wal_sender_timeout = '10s'
wal_receiver_timeout = '10s'
${
  peer
    ? `primary_conninfo = '${peerConnection(peer)}'
primary_slot_name = '${slotName(node)}'
`
    : ""
}
# Archive, for backups (infra/postgres/backups.ts).
${renderArchiving(environment)}
# To the central log, with the space (the role's name) and where it came from.
log_destination = 'syslog'
syslog_ident = 'postgres'
log_line_prefix = '%q%u@%d %h '
log_min_duration_statement = '5s'
log_lock_waits = on
log_checkpoints = off

include = 'machine.conf'
# Whether commits wait for the standby; written by postgres-node, when ops-1 says so.
include_if_exists = 'synchronous.conf'
`;
}

// The private address may come up after network-online.target, and PostgreSQL gives up where it finds none to bind.
function dropIn(node: MachineSpec): string {
  return `[Unit]
After=network-online.target
Wants=network-online.target
# It was replaced as the primary (postgres-node fence).
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
