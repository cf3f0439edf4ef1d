// Object storage: one MinIO cluster per site, on dedicated servers; the two sites replicate each other. spaces/space.ts
// declares the buckets and users of spaces. Drives and machines come from the inventory in the configuration.
import * as pulumi from "@pulumi/pulumi";
import { siteName, storageMachines, type StorageSpec } from "../inventory/addresses.ts";
import {
  UNPINNED,
  type Environment,
  type Pool,
  type SiteRole,
  type Storage as StorageConfiguration,
} from "../inventory/environment.ts";
import { BUCKETS, SERVICE_USERS, SPACE_POLICY, STORAGE_ROOT } from "../inventory/names.ts";
import { poolLayout } from "../inventory/pools.ts";
import { PORTS } from "../machine/firewall.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs, type Machine, type RemoteFile } from "../machine/remote.ts";
import { DedicatedServer, type Context } from "../machine/server.ts";
import type { Secrets } from "../pki/secrets.ts";
import type { StorageSettings } from "./programs/storage-settings.ts";
import { renderS3Proxy } from "./s3-proxy.ts";

const SITES: readonly SiteRole[] = ["primary", "replica"];

interface StorageArgs {
  context: Context;
  /** The environment's `storage`. */
  storage: StorageConfiguration;
  /** ops-1: `mc` and its aliases live there. */
  ops: Machine & pulumi.Resource;
}

/**
 * Both sites, reconciled: healthy and replicating, with all users and policies, and with the expiry of old versions.
 */
export class Storage extends pulumi.ComponentResource {
  constructor(name: string, { context, storage, ops }: StorageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Storage", name, {}, opts);
    const { environment, secrets } = context;
    const password = secrets.password("minio", "root");
    // The serving site comes last: a harmful setting or binary then stops at the other site.
    let previous: pulumi.Resource[] = [];
    for (const site of presentSites(storage).sort((a) => (a === storage.serving ? 1 : -1)))
      previous = this.#createSite(site, context, storage, password, previous);
    remoteScript(
      `${name}-settle`,
      {
        machine: ops,
        script: "infra/storage/reconcile.sh",
        packages: ["nodejs"],
        settings: { MC_URL: storage.mc.url, MC_SHA256: storage.mc.sha256 ?? UNPINNED },
        files: [
          ...rootfs("infra/storage/rootfs-ops"),
          { path: "/etc/framaspace/storage/settings", content: renderReconcileSettings(storage) },
          {
            path: "/root/.mc/config.json",
            mode: "0600",
            content: pulumi.secret(password.apply((value) => renderMcAliases(environment, value))),
          },
          {
            path: "/etc/framaspace/storage/users",
            mode: "0600",
            content: renderServiceUsers(secrets),
          },
          ...Object.entries(POLICIES).map(([policy, document]) => ({
            path: `/etc/framaspace/storage/policies/${policy}.json`,
            content: renderJson(document),
          })),
          ...Object.entries(renderLifecycles(storage)).map(([bucket, content]) => ({
            path: `/etc/framaspace/storage/lifecycle/${bucket}.json`,
            content,
          })),
        ],
      },
      { parent: this, dependsOn: [ops, ...previous] },
    );
    this.registerOutputs({});
  }

  /** Builds one node after the other, so that a changed setting or binary restarts one node while the others serve. */
  #createSite(
    site: SiteRole,
    context: Context,
    storage: StorageConfiguration,
    password: pulumi.Output<string>,
    before: pulumi.Resource[],
  ): pulumi.Resource[] {
    const specs = storageMachines(context.environment, site);
    const servers = specs.map((spec) => new DedicatedServer(spec, context, { parent: this }));
    let previous: pulumi.Resource[] = [...before, ...servers];
    for (const machine of latestPoolFirst(storage.pools, servers)) {
      const { spec } = machine;
      const role = remoteScript(
        `${spec.name}-role`,
        {
          machine,
          script: "infra/storage/install.sh",
          packages: PACKAGES.storage,
          settings: {
            DRIVES: spec.server.drives,
            NODES: specs.map(({ name }) => name),
            MINIO_URL: storage.minio.url,
            MINIO_SHA256: storage.minio.sha256 ?? UNPINNED,
          },
          files: [
            ...storageFiles(storage.pools, specs, spec),
            // MinIO's own copy: a new authority must restart the nodes one by one (cmd/server-main.go reads it once).
            { path: "/etc/minio/certs/CAs/framaspace.crt", content: context.authority.root() },
            {
              path: "/etc/framaspace/minio/environment",
              mode: "0600",
              content: pulumi.secret(password.apply((value) => renderMinioEnvironment(site, storage, value))),
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

/** The nodes of a new pool must run before the existing nodes can use it. */
function latestPoolFirst<T>(pools: readonly Pool[], servers: readonly T[]): T[] {
  let end = 0;
  return pools
    .map(({ nodes }) => servers.slice(end, (end += nodes)))
    .reverse()
    .flat();
}

/** Sites that are declared, and not declared unreachable. */
function presentSites({ sites }: StorageConfiguration): SiteRole[] {
  return SITES.filter((site) => sites[site] && sites[site].declaredUnreachable === undefined);
}

/** MinIO's arguments: all drives of all nodes of the site, pool after pool, in MinIO's notation. */
export function renderPools(pools: readonly Pool[], specs: readonly StorageSpec[]): string {
  const [spec] = specs;
  if (!spec) throw new Error("a pool needs a node");
  const range = (first: number, count: number) =>
    count === 1 ? String(first) : `{${first}...${first + count - 1}}`;
  let first = 1;
  return pools
    .map(({ nodes, drivesPerNode }) => {
      const host = `${siteName(spec.site)}${range(first, nodes)}`;
      first += nodes;
      return `https://${host}:${PORTS.minio}/srv/minio/drive-${range(1, drivesPerNode)}`;
    })
    .join(" ");
}

/** All files of a node, except those with its secret. */
export function storageFiles(
  pools: readonly Pool[],
  specs: readonly StorageSpec[],
  node: StorageSpec,
): RemoteFile[] {
  const mounts = node.server.drives.map((drive, index) => ({
    path: `/etc/systemd/system/${mountUnit(index + 1)}`,
    content: renderMount(drive, index + 1),
  }));
  return [
    ...mounts,
    { path: "/etc/systemd/system/minio.service", content: renderMinioUnit(pools, specs, node) },
    ...rootfs("infra/machine/nginx/rootfs"),
    ...rootfs("infra/storage/rootfs"),
    { path: "/etc/nginx/nginx.conf", content: renderS3Proxy(node) },
  ];
}

/** systemd names a mount after its path and writes `-` as `\x2d` (systemd-escape(1)). */
function mountUnit(drive: number): string {
  return String.raw`srv-minio-drive\x2d${drive}.mount`;
}

function renderMount(drive: string, number: number): string {
  return `# Rendered by infra/storage/storage.ts; changes made here are overwritten.
# MinIO wants this mount but does not require it: a machine with a dead drive boots and serves the others.
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

function renderMinioUnit(pools: readonly Pool[], specs: readonly StorageSpec[], node: StorageSpec): string {
  const mounts = node.server.drives.map((_, index) => mountUnit(index + 1)).join(" ");
  return `# Rendered by infra/storage/storage.ts; changes made here are overwritten.
[Unit]
Description=MinIO, object storage
# nginx stops with MinIO (BindsTo), so it also starts with it.
Wants=network-online.target nginx.service ${mounts}
After=network-online.target ${mounts}
StartLimitIntervalSec=0

[Service]
# MinIO reports ready when enough nodes of the site are online.
Type=notify
TimeoutStartSec=infinity
User=minio
Group=minio
EnvironmentFile=/etc/framaspace/minio/environment
# Gives a failing drive up at once. By default XFS tries again for ever, and MinIO waits for it.
ExecStartPre=-+/bin/sh -c 'for limit in /sys/fs/xfs/*/error/metadata/*/max_retries; do echo 1 >"$limit"; done'
ExecStart=/usr/local/bin/minio server --certs-dir /etc/minio/certs --address ${node.privateAddress}:${PORTS.minio} ${renderPools(pools, specs)}
Restart=always
RestartSec=2
# MinIO finishes its open requests, then stops. If it is killed, it only has more to heal afterwards.
TimeoutStopSec=60
# One file and one connection for each part of each object in transfer, on each drive.
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

/** MinIO's environment file. It holds the root secret: mode 0600, only systemd reads it. */
export function renderMinioEnvironment(
  site: SiteRole,
  { parity, retention }: Pick<StorageConfiguration, "parity" | "retention">,
  password: string,
): string {
  return `# Rendered by infra/storage/storage.ts; changes made here are overwritten.
MINIO_ROOT_USER=${STORAGE_ROOT}
MINIO_ROOT_PASSWORD=${password}
MINIO_SITE_NAME=${site}
MINIO_STORAGE_CLASS_STANDARD=EC:${parity}
# MinIO has no lifecycle rule for unfinished uploads. This setting applies to all buckets.
MINIO_API_STALE_UPLOADS_EXPIRY=${retention.unfinishedUploadHours}h
# Administration uses mc on ops-1; the console would be one more way in.
MINIO_BROWSER=off
# MinIO answers no request before it knows the settings of all buckets. Otherwise a node that starts writes without
# versions for seconds, or until it reads them again after a quarter of an hour. Objects overwritten or deleted then are
# lost.
MINIO_SYNC_BOOT=on
# The binary is pinned: it must not look for updates on the internet, or replace itself.
MINIO_UPDATE=off
`;
}

/**
 * mc's configuration on ops-1, so that no secret is ever typed or on a command line. Its aliases are `primary` and
 * `replica`, and `serving` for the site that spaces use.
 */
export function renderMcAliases({ storage }: Environment, password: string): string {
  if (!storage) throw new Error("an environment without storage has no aliases");
  const alias = (name: string, site: SiteRole) => [
    name,
    {
      url: `https://${siteName(site)}:${PORTS.minio}`,
      accessKey: STORAGE_ROOT,
      secretKey: password,
      api: "S3v4",
      path: "on",
    },
  ];
  const aliases = [
    ...SITES.filter((site) => storage.sites[site]).map((site) => alias(site, site)),
    alias("serving", storage.serving),
  ];
  return renderJson({ version: "10", aliases: Object.fromEntries(aliases) });
}

/** The settings of reconcile-storage. */
export function renderReconcileSettings(storage: StorageConfiguration): string {
  const { sites, pools, parity, serving } = storage;
  const settings: StorageSettings = {
    sites: presentSites(storage),
    paired: Boolean(sites.replica),
    serving,
    parity,
    pools: pools.map((one) => {
      const { sets, setSize } = poolLayout(one, parity);
      return { sets, setSize };
    }),
    buckets: Object.values(BUCKETS),
  };
  return renderJson(settings);
}

/** A line for each service user: name and secret. */
function renderServiceUsers(secrets: Secrets): pulumi.Output<string> {
  const users = SERVICE_USERS.map((user) =>
    secrets.password(user, "s3").apply((secret) => `${user} ${secret}\n`),
  );
  return pulumi.secret(pulumi.all(users).apply((lines) => lines.join("")));
}

const allow = (resources: string[], actions: string[]) => ({
  Effect: "Allow",
  Action: actions.map((action) => `s3:${action}`),
  Resource: resources.map((resource) => `arn:aws:s3:::${resource}`),
});

/**
 * The right to read and write one bucket. Actions are listed one by one: the user may not change the bucket's settings
 * (policy, versioning, lifecycle) or delete old versions, so what a stolen key deletes can be restored. The Deny is
 * necessary: in MinIO the right to delete an object includes each of its versions, unless denied (cmd/auth-handler.go).
 */
const useOf = (bucket: string) => ({
  Version: "2012-10-17",
  Statement: [
    allow([bucket], ["GetBucketLocation", "ListBucket", "ListBucketMultipartUploads"]),
    allow(
      [`${bucket}/*`],
      ["AbortMultipartUpload", "DeleteObject", "GetObject", "ListMultipartUploadParts", "PutObject"],
    ),
    { Effect: "Deny", Action: ["s3:DeleteObjectVersion"], Resource: [`arn:aws:s3:::${bucket}/*`] },
  ],
});

/** Policies by name. In the policy of all spaces, MinIO replaces the variable by the user's name. */
export const POLICIES: Readonly<Record<string, object>> = {
  [SPACE_POLICY]: useOf("space-${aws:username}"),
  backup: useOf(BUCKETS.backup),
  metrics: { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: ["admin:Prometheus"] }] },
};

/**
 * Lifecycle rules: for the bucket `archive`, and for all `others`. Replication keeps every version of every object. Old
 * versions expire after the days in which people notice a mistake; otherwise a space's bucket would grow without end. A
 * delete marker expires with the versions that it hides, never because it hides nothing (`ExpiredObjectDeleteMarker`):
 * a marker that is replicated before its object hides nothing for a moment.
 */
export function renderLifecycles({
  retention,
}: Pick<StorageConfiguration, "retention">): Record<string, string> {
  const oldVersions = {
    ID: "old-versions",
    Status: "Enabled",
    Filter: { Prefix: "" },
    NoncurrentVersionExpiration: { NoncurrentDays: retention.oldVersionDays },
    DelMarkerExpiration: { Days: retention.oldVersionDays },
  };
  const exports = {
    ID: "exports",
    Status: "Enabled",
    Filter: { Prefix: "" },
    Expiration: { Days: retention.exportDays },
  };
  return {
    archive: renderJson({ Rules: [oldVersions, exports] }),
    others: renderJson({ Rules: [oldVersions] }),
  };
}

function renderJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
