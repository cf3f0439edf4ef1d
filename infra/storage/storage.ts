// Object storage: one MinIO cluster per site on dedicated servers, the two sites replicating each other. Buckets and
// users of spaces belong to spaces/space.ts; drives and machines come from the inventory in the configuration.
import * as pulumi from "@pulumi/pulumi";
import { siteName, storageMachines, type StorageSpec } from "../inventory/addresses.ts";
import type {
  Environment,
  Pool,
  SiteRole,
  Storage as StorageConfiguration,
} from "../inventory/environment.ts";
import { PORTS } from "../machine/firewall.ts";
import { BUCKETS, SERVICE_USERS, SPACE_POLICY, STORAGE_ROOT } from "../inventory/names.ts";
import { poolLayout } from "../inventory/pools.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs, type Machine, type RemoteFile } from "../machine/remote.ts";
import { renderS3Proxy } from "./s3-proxy.ts";
import type { Secrets } from "../pki/secrets.ts";
import { DedicatedServer, type Context } from "../machine/server.ts";
import { assignments } from "../machine/shell.ts";

const SITES: readonly SiteRole[] = ["primary", "replica"];

interface StorageArgs {
  context: Context;
  /** The environment's `storage`, where it has one. */
  storage: StorageConfiguration;
  /** ops-1: `mc` and its aliases live there. */
  ops: Machine & pulumi.Resource;
}

/** Both sites, reconciled: healthy, replicating, with the users and policies of all, and with old versions expiring. */
export class Storage extends pulumi.ComponentResource {
  constructor(name: string, { context, storage, ops }: StorageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Storage", name, {}, opts);
    const { environment, secrets } = context;
    const password = secrets.password("minio", "root");
    // The site that serves comes last: a setting or binary that does harm does it to the other one, and stops there.
    let previous: pulumi.Resource[] = [];
    for (const site of presentSites(storage).sort((a) => (a === storage.serving ? 1 : -1)))
      previous = this.#createSite(site, context, storage, password, previous);
    remoteScript(
      `${name}-settle`,
      {
        machine: ops,
        script: "infra/storage/reconcile.sh",
        packages: ["jq"],
        settings: { MC_URL: storage.mc.url, MC_SHA256: storage.mc.sha256 },
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

  /** One node after the other, so that a changed setting or binary restarts one while the others serve. */
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
            MINIO_SHA256: storage.minio.sha256,
          },
          files: [
            ...storageFiles(storage.pools, specs, spec),
            // Its own copy: another authority has to restart one node after the other (cmd/server-main.go reads it once).
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

/** The nodes of a pool that is being added have to run before those that are there can know of it. */
function latestPoolFirst<T>(pools: readonly Pool[], servers: readonly T[]): T[] {
  let end = 0;
  return pools
    .map(({ nodes }) => servers.slice(end, (end += nodes)))
    .reverse()
    .flat();
}

/** Sites that are declared and within reach. */
function presentSites({ sites }: StorageConfiguration): SiteRole[] {
  return SITES.filter((site) => sites[site] && sites[site].declaredUnreachable === undefined);
}

/** What a node is started with: MinIO's notation for all drives of all nodes of the site, pool after pool. */
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

/** Everything under /etc that makes a node, its secret aside. */
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

/** systemd names a mount by its path: `-` in it is written `\x2d` (systemd-escape(1)). */
function mountUnit(drive: number): string {
  return String.raw`srv-minio-drive\x2d${drive}.mount`;
}

function renderMount(drive: string, number: number): string {
  return `# Rendered by infra/storage/storage.ts; changes made here are overwritten.
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

function renderMinioUnit(pools: readonly Pool[], specs: readonly StorageSpec[], node: StorageSpec): string {
  const mounts = node.server.drives.map((_, index) => mountUnit(index + 1)).join(" ");
  return `# Rendered by infra/storage/storage.ts; changes made here are overwritten.
[Unit]
Description=MinIO, object storage
# nginx, which ends with it, is started with it.
Wants=network-online.target nginx.service ${mounts}
After=network-online.target ${mounts}
StartLimitIntervalSec=0

[Service]
# Ready when enough nodes of the site are there.
Type=notify
TimeoutStartSec=infinity
User=minio
Group=minio
EnvironmentFile=/etc/framaspace/minio/environment
# A drive that fails is given up at once: XFS would otherwise try again for ever, and MinIO wait with it.
ExecStartPre=-+/bin/sh -c 'for limit in /sys/fs/xfs/*/error/metadata/*/max_retries; do echo 1 >"$limit"; done'
ExecStart=/usr/local/bin/minio server --certs-dir /etc/minio/certs --address ${node.privateAddress}:${PORTS.minio} ${renderPools(pools, specs)}
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
# MinIO knows no lifecycle rule for uploads that were begun and never finished; this holds for all buckets.
MINIO_API_STALE_UPLOADS_EXPIRY=${retention.unfinishedUploadHours}h
# Administration goes through mc on ops-1; the console would be one more way in.
MINIO_BROWSER=off
# No request is answered before the settings of all buckets are known. Else a node that starts writes without versions
# for seconds, or until it looks again after a quarter of an hour: what is overwritten or deleted then is gone for good.
MINIO_SYNC_BOOT=on
# The binary is pinned; it neither asks the internet for news nor replaces itself.
MINIO_UPDATE=off
`;
}

/**
 * mc's configuration on ops-1: `primary` and `replica`, and `serving` for the one that spaces use, so that no secret
 * is ever typed or on a command line.
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

/** What reconcile-storage reads of the environment. */
export function renderReconcileSettings(storage: StorageConfiguration): string {
  const { sites, pools, parity, serving } = storage;
  return `# Rendered by infra/storage/storage.ts; changes made here are overwritten.
${assignments({
  SITES: presentSites(storage),
  // Whether there is to be a pair; one of the two may be unreachable for now.
  PAIRED: Boolean(sites.replica),
  SERVING: serving,
  PARITY: parity,
  // For each pool, in order: sets, and drives of a set.
  POOLS: pools.map((one) => {
    const { sets, setSize } = poolLayout(one, parity);
    return `${sets} ${setSize}`;
  }),
  BUCKETS: Object.values(BUCKETS),
})}
`;
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
 * Reading and writing one bucket. Actions are listed one by one: bucket settings (policy, versioning, lifecycle) are not
 * its user's to change, nor are old versions its to delete, so what a stolen key removes can be brought back. That takes
 * a Deny: for MinIO the right to delete an object holds for each of its versions, unless denied (cmd/auth-handler.go).
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

/** Policies by name. In the one of all spaces, MinIO puts the user's name in place of the variable. */
export const POLICIES: Readonly<Record<string, object>> = {
  [SPACE_POLICY]: useOf("space-${aws:username}"),
  backup: useOf(BUCKETS.backup),
  metrics: { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: ["admin:Prometheus"] }] },
};

/**
 * Lifecycle rules: of the bucket `archive`, and of all `others`. Replication keeps every version of every object; they go
 * after the days in which a mistake is noticed, or a space's bucket would only ever grow. A delete marker goes with what it
 * hides, never for hiding nothing (`ExpiredObjectDeleteMarker`): one that is replicated before its object does so for a
 * moment.
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
