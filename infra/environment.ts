// What an environment may configure: the schema of the `framaspace:*` keys in Pulumi.<environment>.yaml.
// Knows nothing of Pulumi, so that `npm run check` reads it without an engine; `config.ts` hands the same
// values to the program. Secrets are listed here by name only: their values stay in the engine.
import { isIPv4 } from "node:net";
import * as z from "zod";

const ipv4 = z.string().refine(isIPv4, "write an IPv4 address such as 203.0.113.7");
const cidr = z
  .string()
  .regex(/^\d{1,3}(\.\d{1,3}){3}\/([0-9]|[12][0-9]|3[0-2])$/, "write a range such as 203.0.113.0/24");
const sshPublicKey = z
  .string()
  .regex(
    /^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/=]+$/,
    "write `ssh-ed25519 AAAA…`, without a comment",
  );
const domainName = z
  .string()
  .regex(
    /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/,
    "write a domain such as example.org, in lower case",
  );

/** A file that a machine downloads: refused unless its SHA-256 is the one written here. */
const artifact = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).describe("where the machine downloads it"),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "write the 64 hexadecimal digits that `sha256sum FILE` prints"),
});
export type Artifact = z.infer<typeof artifact>;

const machines = z.strictObject({
  type: z.string().min(1).describe("hcloud server type, priced in `prices`"),
  count: z.int().min(0).max(99).describe("how many; 0 leaves the role out"),
});

const storageServer = z.strictObject({
  name: z
    .string()
    .regex(/^storage-[ab][1-9]$/, "write storage-a1 … storage-a9 (primary) or storage-b1 … (replica)"),
  address: ipv4.describe("public address"),
  hostKey: sshPublicKey.describe("what `ssh-keyscan -t ed25519 ADDRESS` prints, read over a trusted path"),
  drives: z
    .array(z.string().regex(/^[A-Za-z0-9._:-]+$/, "write the name under /dev/disk/by-id, without the folder"))
    .min(1)
    .describe("data drives by their stable id"),
});
export type StorageServer = z.infer<typeof storageServer>;

const site = z.strictObject({
  location: z.string().min(1).describe("data centre, for people"),
  servers: z.array(storageServer).min(1),
});

/** Cloud roles in the order in which they are built: what later ones need comes first. */
export const CLOUD_ROLES = [
  "ops",
  "logs",
  "postgres",
  "redis",
  "imaginary",
  "office",
  "web",
  "gateway",
] as const;
export type CloudRole = (typeof CLOUD_ROLES)[number];

/** Every `framaspace:*` key but the secrets. */
export const environmentSchema = z.strictObject({
  domain: domainName.describe("spaces live at <id>.<domain>"),
  opsAddress: ipv4
    .optional()
    .describe(
      "address of ops-1, for stacks that reach machines through it; without it, ops.<domain> is looked up",
    ),
  administrators: z.strictObject({
    mail: z.email().describe("where machines and certificates send their warnings"),
    addresses: z.array(cidr).min(1).describe("the only addresses from which ops-1 takes SSH"),
    sshKeys: z
      .record(z.string().regex(/^[a-z0-9-]+$/), sshPublicKey)
      .describe("name → public key of each administrator"),
  }),
  hcloud: z.strictObject({
    endpoint: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe("another API than Hetzner's, such as the lab's"),
    location: z.string().min(1),
    networkZone: z.string().min(1),
    image: z.string().min(1).describe("must be Debian 13: the scripts rest on its packages"),
    vswitchId: z
      .int()
      .positive()
      .optional()
      .describe("vSwitch that joins the storage servers to the network"),
    loadBalancerType: z.string().min(1),
  }),
  machines: z.strictObject({
    ops: machines,
    logs: machines,
    postgres: machines,
    redis: machines,
    imaginary: machines,
    office: machines,
    web: machines,
    gateway: machines,
  } satisfies Record<CloudRole, typeof machines>),
  storage: z
    .strictObject({
      nodesPerSite: z.int().min(1).max(9),
      drivesPerNode: z.int().min(1).max(16),
      driveTerabytes: z.number().positive().describe("as sold: 10^12 bytes"),
      parity: z.int().min(0).max(8).describe("drives of an erasure set that may be lost (EC:N)"),
      serverType: z.string().min(1).describe("priced in `prices`"),
      commitRatio: z
        .number()
        .positive()
        .describe(
          "how much storage may be promised for each usable byte; above 1 because few spaces are full",
        ),
      minio: artifact,
      mc: artifact,
      sites: z.strictObject({ primary: site, replica: site.optional() }),
    })
    .optional()
    .describe("the MinIO clusters; without it, spaces have no object storage (lab without MinIO)"),
  imaginary: artifact.optional().describe("the Imaginary binary; needed where machines.imaginary.count > 0"),
  office: z
    .strictObject({ suites: z.array(z.enum(["collabora", "onlyoffice"])).min(1) })
    .optional()
    .describe("needed where machines.office.count > 0"),
  release: artifact
    .extend({ version: z.string().regex(/^\d+\.\d+\.\d+$/, "write a version such as 34.0.4") })
    .optional()
    .describe("runs every wave on this one release instead of the catalog's: for labs"),
  mail: z.strictObject({
    host: z.string().min(1),
    port: z.int().min(1).max(65535),
    from: z.email(),
    user: z.string().optional(),
  }),
  certificates: z.strictObject({
    notBefore: z.iso.date().describe("first day of the platform's own certificates"),
    years: z.int().min(1).max(20),
  }),
  generations: z
    .record(
      z.string().regex(/^[a-z0-9-]+\/[a-z0-9-]+$/, "write <owner>/<purpose>, such as postgres/superuser"),
      z.int().min(1),
    )
    .describe("raising a number rotates that secret"),
  prices: z.strictObject({
    asOf: z.iso.date(),
    currency: z.literal("EUR"),
    monthly: z.record(z.string(), z.number().nonnegative()).describe("price per month by type, without VAT"),
  }),
});
export type Environment = z.infer<typeof environmentSchema>;
export type Storage = NonNullable<Environment["storage"]>;

/** Keys whose values are encrypted in the file; the second says what to type when one is missing. */
export const SECRET_KEYS = {
  masterSecret:
    "openssl rand -base64 48 | npx pulumi config set --secret framaspace:masterSecret --config-file FILE --stack STACK",
  hcloudToken: "npx pulumi config set --secret framaspace:hcloudToken --config-file FILE --stack STACK",
} as const;

/** A secret that only some environments have. */
export const OPTIONAL_SECRET_KEYS = ["mailPassword"] as const;

/** A rule that spans several keys; `path` points at the value to mend. */
export interface Finding {
  path: (string | number)[];
  what: string;
}

/** Usable bytes of one site: whole cluster minus parity. Five nodes × four 16 TB drives with EC:4 give 192 TB. */
export function usableBytes(storage: Storage): number {
  const drives = storage.nodesPerSite * storage.drivesPerNode;
  const share = 1 - storage.parity / erasureSetSize(drives);
  return drives * storage.driveTerabytes * 1e12 * share;
}

/** Drives per erasure set: MinIO takes the largest divisor of the pool from 16 down to 2 (docs/distributed/DESIGN.md). */
export function erasureSetSize(drives: number): number {
  for (let size = 16; size > 1; size--) if (drives % size === 0) return size;
  return 1;
}

/** What no single key's schema can see. */
export function crossChecks(environment: Environment): Finding[] {
  return [
    ...inventoryIsWhole(environment),
    ...drivesAreUnique(environment),
    ...typesArePriced(environment),
    ...neededKeysArePresent(environment),
  ];
}

/** Each site has exactly `nodesPerSite` servers in order, each with `drivesPerNode` drives: MinIO cannot grow a pool by one. */
function inventoryIsWhole({ storage }: Environment): Finding[] {
  if (!storage) return [];
  const findings: Finding[] = [];
  for (const [role, letter] of [
    ["primary", "a"],
    ["replica", "b"],
  ] as const) {
    const servers = storage.sites[role]?.servers;
    if (!servers) continue;
    const path = ["storage", "sites", role, "servers"];
    if (servers.length !== storage.nodesPerSite)
      findings.push({
        path,
        what: `${servers.length} servers; write ${storage.nodesPerSite}, as nodesPerSite says`,
      });
    servers.forEach((server, index) => {
      const expected = `storage-${letter}${index + 1}`;
      if (server.name !== expected)
        findings.push({
          path: [...path, index, "name"],
          what: `"${server.name}" stands where ${expected} belongs; keep servers in order`,
        });
      if (server.drives.length !== storage.drivesPerNode)
        findings.push({
          path: [...path, index, "drives"],
          what: `${server.name} has ${server.drives.length} drives; write ${storage.drivesPerNode}, as drivesPerNode says`,
        });
    });
  }
  return findings;
}

/** No drive and no address is listed twice: two MinIO nodes on one drive would destroy each other's data. */
function drivesAreUnique({ storage }: Environment): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, string>();
  for (const role of ["primary", "replica"] as const) {
    storage?.sites[role]?.servers.forEach((server, index) => {
      const path = ["storage", "sites", role, "servers", index];
      const claims = [
        ...server.drives.map((drive, n) => ({ kind: "drive", value: drive, path: [...path, "drives", n] })),
        { kind: "address", value: server.address, path: [...path, "address"] },
        { kind: "host key", value: server.hostKey, path: [...path, "hostKey"] },
      ];
      for (const claim of claims) {
        const key = `${claim.kind} ${claim.value}`;
        const owner = seen.get(key);
        if (owner)
          findings.push({
            path: claim.path,
            what: `${key} is already listed for ${owner}; write ${server.name}'s own`,
          });
        else seen.set(key, server.name);
      }
    });
  }
  return findings;
}

/** Every type in use has a price, so that a plan's cost is never silently too low. */
function typesArePriced({ machines, storage, hcloud, prices }: Environment): Finding[] {
  const uses = [
    ...CLOUD_ROLES.map((role) => ({ path: ["machines", role, "type"], type: machines[role].type })),
    ...(storage ? [{ path: ["storage", "serverType"], type: storage.serverType }] : []),
    { path: ["hcloud", "loadBalancerType"], type: hcloud.loadBalancerType },
  ];
  return uses
    .filter(({ type }) => prices.monthly[type] === undefined)
    .map(({ path, type }) => ({
      path,
      what: `"${type}" has no price; add it to prices.monthly, or write one of ${Object.keys(prices.monthly).join(", ")}`,
    }));
}

/** A role that is declared has what it installs; ops, postgres, redis, web and gateway are never left out. */
function neededKeysArePresent(environment: Environment): Finding[] {
  const { machines } = environment;
  const findings: Finding[] = [];
  for (const role of ["imaginary", "office"] as const)
    if (machines[role].count > 0 && !environment[role])
      findings.push({
        path: ["machines", role, "count"],
        what: `${machines[role].count}, but framaspace:${role} is missing; add it or write 0`,
      });
  for (const role of ["ops", "logs", "postgres", "redis", "web", "gateway"] as const)
    if (machines[role].count < 1)
      findings.push({
        path: ["machines", role, "count"],
        what: `0; write at least 1: no space works without ${role}-1`,
      });
  for (const [role, most] of [
    ["ops", 1],
    ["logs", 1],
    ["postgres", 2],
    ["redis", 1],
    ["imaginary", 1],
    ["office", 1],
  ] as const)
    if (machines[role].count > most)
      findings.push({
        path: ["machines", role, "count"],
        what: `${machines[role].count}; write at most ${most}: more are not built yet`,
      });
  return findings;
}
