// What an environment may configure: the schema of the `framaspace:*` keys in Pulumi.<environment>.yaml. It does not
// import Pulumi, so that `npm run check` needs no engine; `config.ts` passes the same values to the program. Secrets
// are listed here by name only: their values stay in the engine.
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

/** A SHA-256. Zeros in its place would say that something is pinned, and no machine could install it. */
export const checksum = z
  .string()
  .regex(/^(?!0{64})[0-9a-f]{64}$/, "write the 64 hexadecimal digits that `sha256sum FILE` prints");

/** A file that a machine downloads. The machine refuses it if its SHA-256 differs. */
const artifact = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).describe("where the machine downloads it"),
  sha256: checksum.optional().describe("without it, no machine installs the file, and `up` refuses to begin"),
});
export type Artifact = z.infer<typeof artifact>;

/** In a script's settings, in place of the checksum of an artifact that has none: `download` of lib.sh refuses it. */
export const UNPINNED = "unpinned";

/** Office suites that no environment may run, each with the reason (docs/decisions/0022-no-onlyoffice.md). */
export const REFUSED_SUITES: ReadonlyMap<string, string> = new Map([
  [
    "onlyoffice",
    "it has one token secret for all spaces and shows it to each space's administrator, who opens every space's documents with it (docs/decisions/0022-no-onlyoffice.md)",
  ],
]);

/** Office suites that the platform can run. Each has its own host under the domain. */
export const OFFICE_SUITES = ["collabora"] as const;

const suite = z.enum(OFFICE_SUITES, {
  error: ({ input }) => {
    const why = REFUSED_SUITES.get(String(input));
    return why && `write collabora: ${why}`;
  },
});

const machines = z.strictObject({
  type: z
    .string()
    .min(1)
    .meta({ examples: ["ccx33"] })
    .describe("hcloud server type, priced in `prices`"),
  count: z.int().min(0).max(99).describe("how many; 0 leaves the role out"),
});

/** The letter in the names of a site's servers: `storage-a1`, `storage-b1`. */
export const SITE_LETTERS = { primary: "a", replica: "b" } as const;
export type SiteRole = keyof typeof SITE_LETTERS;

/** Most servers of one site: infra/inventory/addresses.ts has this many addresses. */
export const MOST_STORAGE_NODES = 10;

const storageServer = z.strictObject({
  name: z
    .string()
    .regex(
      new RegExp(`^storage-[${Object.values(SITE_LETTERS).join("")}]([1-9]|10)$`),
      "write storage-a1 … storage-a10 (primary) or storage-b1 … (replica)",
    ),
  address: ipv4.describe("public address"),
  hostKey: sshPublicKey.describe("what `ssh-keyscan -t ed25519 ADDRESS` prints, read over a trusted path"),
  drives: z
    .array(
      z
        .string()
        .regex(
          /^[A-Za-z0-9._:-]+$/,
          "write the name under /dev/disk/by-id, without the folder, such as wwn-0x5000c500a1b2c3d4",
        ),
    )
    .min(1)
    .describe("data drives by their stable id"),
});
export type StorageServer = z.infer<typeof storageServer>;

const site = z.strictObject({
  location: z
    .string()
    .min(1)
    .meta({ examples: ["Falkenstein"] })
    .describe("data centre, for people"),
  declaredUnreachable: z
    .string()
    .min(1)
    .meta({ examples: ["its router is replaced until 2026-12-01"] })
    .optional()
    .describe("why the whole site is unreachable for now; nothing is run on its machines"),
  servers: z.array(storageServer).min(1).describe("pool after pool"),
});

const pool = z.strictObject({
  nodes: z.int().min(1).max(MOST_STORAGE_NODES),
  drivesPerNode: z.int().min(1).max(16),
  driveTerabytes: z.number().positive().describe("as sold: 10^12 bytes"),
});
export type Pool = z.infer<typeof pool>;

const repository = z.strictObject({
  url: z.url().describe("of a flat repository: the folder that has `Packages`"),
  key: z.url().describe("of the file with the key that signs it"),
  fingerprint: z
    .string()
    .regex(
      /^[0-9A-F]{40}$/,
      "write its 40 digits as `gpg --show-keys FILE` prints them, such as 7EB1530818B7683284483B7BD8915E456E7C440E",
    )
    .describe("of that key; no other key of the file is trusted"),
});

/** Cloud roles in the order in which they are built: a role comes after those that it needs. */
export const CLOUD_ROLES = [
  "ops",
  "logs",
  "postgres",
  "redis",
  "imaginary",
  "office",
  "web",
  "worker",
  "gateway",
] as const;
export type CloudRole = (typeof CLOUD_ROLES)[number];

/** Every `framaspace:*` key except the secrets. */
export const environmentSchema = z.strictObject({
  domain: domainName.describe("spaces live at <id>.<domain>"),
  port: z
    .int()
    .min(1)
    .max(65535)
    .optional()
    .describe("port in the addresses of spaces, if browsers reach 443 by another one: for labs"),
  opsAddress: ipv4
    .optional()
    .describe(
      "address of ops-1, for stacks that reach machines through it; without it, ops.<domain> is looked up",
    ),
  administrators: z.strictObject({
    mail: z.email().describe("where machines and certificates send their warnings"),
    addresses: z.array(cidr).min(1).describe("the only addresses from which ops-1 takes SSH"),
    sshKeys: z
      .record(
        z.string().regex(/^[a-z0-9-]+$/, "write lower-case letters, digits and hyphens, such as alice"),
        sshPublicKey,
      )
      .describe("name → public key of each administrator"),
  }),
  hcloud: z.strictObject({
    endpoint: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe("another API than Hetzner's, such as the lab's"),
    location: z
      .string()
      .min(1)
      .meta({ examples: ["fsn1"] }),
    networkZone: z
      .string()
      .min(1)
      .meta({ examples: ["eu-central"] }),
    image: z
      .string()
      .min(1)
      .meta({ examples: ["debian-13"] })
      .describe("must be Debian 13: the scripts need its packages"),
    vswitchId: z
      .int()
      .positive()
      .optional()
      .describe("vSwitch that joins the storage servers to the network"),
    loadBalancerType: z
      .string()
      .min(1)
      .meta({ examples: ["lb11"] }),
  }),
  machines: z.strictObject({
    ops: machines,
    logs: machines,
    postgres: machines,
    redis: machines,
    imaginary: machines,
    office: machines,
    web: machines,
    worker: machines,
    gateway: machines,
  } satisfies Record<CloudRole, typeof machines>),
  postgresPrimary: z
    .string()
    .regex(/^postgres-[12]$/, "write postgres-1 or postgres-2")
    .optional()
    .describe(
      "the primary, if a failover moved it from postgres-1: Pulumi's provider connects to one node only",
    ),
  storage: z
    .strictObject({
      pools: z
        .array(pool)
        .min(1)
        .describe("of each site; MinIO grows by whole pools, and an existing pool never changes"),
      parity: z.int().min(1).max(8).describe("drives of an erasure set that may be lost (EC:N)"),
      serving: z
        .enum(["primary", "replica"])
        .describe("the site that spaces read and write; the other replicates it"),
      retention: z.strictObject({
        oldVersionDays: z
          .int()
          .min(1)
          .describe(
            "how long a deleted or overwritten object can be brought back, as backups of databases can",
          ),
        unfinishedUploadHours: z
          .int()
          .min(25)
          .describe("how long an upload may pause; Nextcloud itself gives one up after 24"),
        exportDays: z.int().min(1).describe("how long exports of spaces stay in the bucket `archive`"),
      }),
      serverType: z
        .string()
        .min(1)
        .meta({ examples: ["SX65"] })
        .describe("priced in `prices`"),
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
    .strictObject({
      suites: z.array(suite).min(1),
      repositories: z
        .partialRecord(z.enum(OFFICE_SUITES), repository)
        .optional()
        .describe("where a suite's packages come from, instead of its makers' repository: a mirror of it"),
    })
    .optional()
    .describe("needed where machines.office.count > 0"),
  releases: z
    .record(
      z.string().regex(/^\d+\.\d+\.\d+$/, "write a version such as 34.0.4"),
      artifact.extend({
        without: z
          .array(z.string().meta({ examples: ["tables"] }))
          .optional()
          .describe("apps of the catalog that this archive lacks: no space here gets them"),
      }),
    )
    .refine((releases) => Object.keys(releases).length > 0, "write at least one release")
    .optional()
    .describe("used instead of the catalog's releases; a wave on none of them goes to the oldest: for labs"),
  backups: z
    .strictObject({
      retentionDays: z
        .int()
        .min(8)
        .max(366)
        .describe("how many days PostgreSQL's backups reach back; a full one is made each week"),
    })
    .describe("kept in the object storage of the replica site; without `storage` there are none"),
  mail: z.strictObject({
    host: z
      .string()
      .min(1)
      .meta({ examples: ["smtp.example.org"] }),
    port: z.int().min(1).max(65535),
    from: z.email(),
    user: z
      .string()
      .meta({ examples: ["framaspace@example.org"] })
      .optional(),
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
    monthly: z
      .record(z.string().meta({ examples: ["ccx33"] }), z.number().nonnegative())
      .describe("price per month by type, without VAT"),
  }),
});
export type Environment = z.infer<typeof environmentSchema>;
export type Storage = NonNullable<Environment["storage"]>;

/** The artifacts of an environment by the words of `npm run release -- pin`, and where each stands. */
export function artifactsOf({ storage, imaginary }: Pick<Environment, "storage" | "imaginary">) {
  return [
    { name: "minio", path: ["storage", "minio"], artifact: storage?.minio },
    { name: "mc", path: ["storage", "mc"], artifact: storage?.mc },
    { name: "imaginary", path: ["imaginary"], artifact: imaginary },
  ].flatMap(({ artifact, ...where }) => (artifact ? [{ ...where, artifact }] : []));
}

/** Keys whose values are encrypted in the file, each with the command that sets a missing one. */
export const SECRET_KEYS = {
  masterSecret:
    "openssl rand -base64 48 | npx pulumi config set --secret framaspace:masterSecret --config-file FILE --stack STACK",
  hcloudToken: "npx pulumi config set --secret framaspace:hcloudToken --config-file FILE --stack STACK",
} as const;

/** Secrets that only some environments have. */
export const OPTIONAL_SECRET_KEYS = ["mailPassword"] as const;
