// Object storage: one MinIO cluster per site on dedicated servers, the two sites replicating each other. Buckets and
// users of spaces belong to spaces/space.ts; drives and machines come from the inventory in the configuration.
import * as pulumi from "@pulumi/pulumi";
import { storageMachines, type SiteRole, type StorageSpec } from "./addresses.ts";
import type { Environment, Storage as StorageConfiguration } from "./environment.ts";
import { PORTS } from "./firewall.ts";
import { SPACE_POLICY } from "./names.ts";
import { PACKAGES } from "./packages.ts";
import { remoteScript, type Machine, type RemoteFile } from "./remote.ts";
import { DedicatedServer, type Foundation } from "./server.ts";

/** MinIO's root user, for the provider and for `mc` on ops-1. */
export const STORAGE_ROOT = "framaspace";

const SITES: readonly SiteRole[] = ["primary", "replica"];

interface StorageArgs {
  foundation: Foundation;
  /** The environment's `storage`, where it has one. */
  storage: StorageConfiguration;
  /** ops-1: `mc` and its aliases live there. */
  ops: Machine & pulumi.Resource;
}

/** Both sites, settled: healthy, replicating, and with the policy that every space's user is attached to. */
export class Storage extends pulumi.ComponentResource {
  constructor(
    name: string,
    { foundation, storage, ops }: StorageArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("framaspace:infra:Storage", name, {}, opts);
    const { environment, secrets } = foundation;
    const password = secrets.password("minio", "root");
    const nodes = SITES.flatMap((site) => this.#createSite(site, foundation, storage, password));
    const endpoints = SITES.flatMap((site) => storageEndpoints(environment, site).slice(0, 1));
    remoteScript(
      `${name}-settle`,
      {
        machine: ops,
        script: "infra/scripts/minio-settle.sh",
        packages: ["jq"],
        settings: {
          MC_URL: storage.mc.url,
          MC_SHA256: storage.mc.sha256,
          POLICY: SPACE_POLICY,
          SITES: endpoints,
        },
        files: [
          {
            path: "/root/.mc/config.json",
            mode: "0600",
            content: pulumi.secret(password.apply((value) => renderMcAliases(endpoints, value))),
          },
          { path: `/etc/framaspace/minio/${SPACE_POLICY}.json`, content: renderSpacePolicy() },
        ],
      },
      { parent: this, dependsOn: [ops, ...nodes] },
    );
    this.registerOutputs({});
  }

  /** One node after the other, so that a changed setting or binary restarts one while the others serve. */
  #createSite(
    site: SiteRole,
    foundation: Foundation,
    storage: StorageConfiguration,
    password: pulumi.Output<string>,
  ): pulumi.Resource[] {
    const specs = storageMachines(foundation.environment, site);
    const servers = specs.map((spec) => new DedicatedServer(spec, foundation, { parent: this }));
    let previous: pulumi.Resource[] = servers;
    for (const machine of servers) {
      const { spec } = machine;
      const role = remoteScript(
        `${spec.name}-role`,
        {
          machine,
          script: "infra/scripts/storage.sh",
          packages: PACKAGES.storage,
          settings: {
            DRIVES: spec.server.drives,
            MINIO_URL: storage.minio.url,
            MINIO_SHA256: storage.minio.sha256,
          },
          files: [
            ...storageFiles(specs, spec),
            {
              path: "/etc/framaspace/minio/environment",
              mode: "0600",
              content: pulumi.secret(
                password.apply((value) => renderMinioEnvironment(site, storage.parity, value)),
              ),
            },
          ],
        },
        { parent: this, dependsOn: previous },
      );
      previous = [role];
    }
    return previous;
  }
}

/** Where a site's nodes take S3 requests, in order. Any of them serves everything. */
export function storageEndpoints(environment: Environment, site: SiteRole = "primary"): string[] {
  return storageMachines(environment, site).map(({ name }) => `https://${name}:${PORTS.minio}`);
}

/** What a node is started with: MinIO's notation for all drives of all nodes of the site. */
export function renderPool(specs: readonly StorageSpec[]): string {
  const [first] = specs;
  if (!first) throw new Error("a pool needs a node");
  const range = (count: number) => (count === 1 ? "1" : `{1...${count}}`);
  const host = `${first.name.slice(0, -1)}${range(specs.length)}`;
  return `https://${host}:${PORTS.minio}/srv/minio/drive-${range(first.server.drives.length)}`;
}

/** Everything under /etc that makes a node, its secret aside. */
export function storageFiles(specs: readonly StorageSpec[], node: StorageSpec): RemoteFile[] {
  const mounts = node.server.drives.map((drive, index) => ({
    path: `/etc/systemd/system/${mountUnit(index + 1)}`,
    content: renderMount(drive, index + 1),
  }));
  return [
    ...mounts,
    { path: "/etc/systemd/system/minio.service", content: renderMinioUnit(specs, node) },
    { path: "/etc/sysctl.d/60-framaspace-storage.conf", content: SYSCTL },
  ];
}

/** systemd names a mount by its path: `-` in it is written `\x2d` (systemd-escape(1)). */
function mountUnit(drive: number): string {
  return String.raw`srv-minio-drive\x2d${drive}.mount`;
}

function renderMount(drive: string, number: number): string {
  return `# Rendered by infra/storage.ts; changes made here are overwritten.
# Wanted by MinIO, not required: a machine with a dead drive boots and serves the others.
[Unit]
Description=MinIO's drive ${number}
[Mount]
What=/dev/disk/by-id/${drive}
Where=/srv/minio/drive-${number}
Type=xfs
Options=noatime,nofail
[Install]
WantedBy=multi-user.target
`;
}

function renderMinioUnit(specs: readonly StorageSpec[], node: StorageSpec): string {
  const mounts = node.server.drives.map((_, index) => mountUnit(index + 1)).join(" ");
  return `# Rendered by infra/storage.ts; changes made here are overwritten.
[Unit]
Description=MinIO, object storage
Wants=network-online.target ${mounts}
After=network-online.target ${mounts}
StartLimitIntervalSec=0

[Service]
# Ready when enough nodes of the site are there.
Type=notify
TimeoutStartSec=infinity
User=minio
Group=minio
EnvironmentFile=/etc/framaspace/minio/environment
ExecStart=/usr/local/bin/minio server --certs-dir /etc/minio/certs --address ${node.privateAddress}:${PORTS.minio} ${renderPool(specs)}
Restart=always
RestartSec=2
# It answers what it has begun, then stops; killed, it would only heal more afterwards.
TimeoutStopSec=60
# One file and one connection for each part of each object in flight on each drive.
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-500

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=/srv/minio
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
`;
}

/** What MinIO reads from its environment. Holds the root secret: mode 0600, read by systemd alone. */
export function renderMinioEnvironment(site: SiteRole, parity: number, password: string): string {
  return `# Rendered by infra/storage.ts; changes made here are overwritten.
MINIO_ROOT_USER=${STORAGE_ROOT}
MINIO_ROOT_PASSWORD=${password}
MINIO_SITE_NAME=${site}
MINIO_STORAGE_CLASS_STANDARD=EC:${parity}
# Administration goes through mc on ops-1; the console would be one more door.
MINIO_BROWSER=off
# The binary is pinned; it neither asks the internet for news nor replaces itself.
MINIO_UPDATE=off
`;
}

// From MinIO's docs/tuning/tuned.conf, only what concerns disks: the network settings there are for 100 Gbit/s.
const SYSCTL = `# Start writing back at 3 % of memory and make writers wait at 10 %: with the defaults (10 and 20) tens of GB pile up,
# and one sync then holds up all requests.
vm.dirty_background_ratio = 3
vm.dirty_ratio = 10
# Keep directories and inodes in memory rather than file contents: every request looks up several on each drive.
vm.vfs_cache_pressure = 50
# Swapped-out memory would make one slow node of the whole cluster.
vm.swappiness = 1
`;

/** mc's configuration on ops-1: an alias for each site, so that no secret is ever typed or on a command line. */
export function renderMcAliases(endpoints: readonly string[], password: string): string {
  const aliases = SITES.slice(0, endpoints.length).map((site, index) => [
    site,
    { url: endpoints[index], accessKey: STORAGE_ROOT, secretKey: password, api: "S3v4", path: "on" },
  ]);
  return `${JSON.stringify({ version: "10", aliases: Object.fromEntries(aliases) }, null, 2)}\n`;
}

/**
 * The policy of all spaces: MinIO puts the user's name in place of the variable. Actions are listed one by one: bucket
 * settings (policy, versioning, lifecycle) are not a space's to change, nor are old versions its to delete, so what a
 * stolen key removes can be brought back. That takes a Deny: for MinIO the right to delete an object holds for each of
 * its versions, unless denied (cmd/auth-handler.go).
 */
export function renderSpacePolicy(): string {
  const bucket = "arn:aws:s3:::space-${aws:username}";
  const allow = (resource: string, actions: string[]) => ({
    Effect: "Allow",
    Action: actions.map((action) => `s3:${action}`),
    Resource: [resource],
  });
  const policy = {
    Version: "2012-10-17",
    Statement: [
      allow(bucket, ["GetBucketLocation", "ListBucket", "ListBucketMultipartUploads"]),
      allow(`${bucket}/*`, [
        "AbortMultipartUpload",
        "DeleteObject",
        "GetObject",
        "ListMultipartUploadParts",
        "PutObject",
      ]),
      { Effect: "Deny", Action: ["s3:DeleteObjectVersion"], Resource: [`${bucket}/*`] },
    ],
  };
  return `${JSON.stringify(policy, null, 2)}\n`;
}
