// What an id may be, and why.
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import * as z from "zod";
import { PLATFORM_SECRETS } from "../../infra/inventory/secret-names.ts";
import { CLOUD_ROLES, OFFICE_SUITES, REFUSED_SUITES } from "../../infra/inventory/environment.ts";
import { PLATFORM_NAMES } from "../../infra/inventory/names.ts";
import { PACKAGES } from "../../infra/machine/packages.ts";

/**
 * Limits of an id. An id is at once a DNS label, a PostgreSQL role and database, a MinIO user, the end of a bucket's
 * name and a log tag. Names are never shortened to fit, so the tightest of these limits holds for all.
 */
export const ENTRY_LIMITS = {
  /** A MinIO user has at least 3 characters (accessKeyMinLen in minio/internal/auth/credentials.go). */
  idShortest: 3,
  /**
   * A syslog tag has at most 32 characters (RFC 3164, 4.1.3). The other limits are looser: a DNS label has 63 (RFC
   * 1035, 2.3.4), a PostgreSQL identifier 63 bytes (NAMEDATALEN − 1), an S3 bucket 63, which leaves 57 after `space-`.
   * A MinIO user has no maximum.
   */
  idLongest: 32,
  /** Names and reasons are shown on one line: in the browser's title, in a log, in the table of a plan. */
  textLongest: 100,
  /** A self-managed state is rewritten on every step, so its cost grows with the square of the number of resources. */
  spacesPerFile: 100,
  /** `add` leaves the rest to pull requests that are open at the same time: each counts without the others. */
  addedUpTo: 90,
  /** Over how many files `add` spreads new spaces. More would be rarer conflicts, but more stacks to bring up. */
  openFiles: 8,
  /** So many spaces in the open files make `add` open another one: a small fleet needs one. */
  spacesBeforeNextFile: 25,
} as const;

/** Our programs and units on the machines. They log under their own names, `heal-storage@x.service` as heal-storage. */
const PROGRAMS = globSync("{infra,spaces}/*/rootfs*/{usr/local/sbin,etc/systemd/system}/*", {
  cwd: join(import.meta.dirname, "../.."),
}).map((file) => basename(file).replace(/@.*$|\.[a-z]+$/, ""));

/** Roles and services that the platform is planned to get: a space with such a name could not be moved away then. */
const TO_COME = ["alertmanager", "etcd", "haproxy", "monitoring", "patroni", "signaling", "talk", "worker"];

/** Ids that mean something else to DNS, to a server of the platform, or to people who read an address. */
export const RESERVED_IDS: ReadonlySet<string> = new Set([
  ...Object.values(PLATFORM_NAMES).flat(),
  ...PROGRAMS,
  ...CLOUD_ROLES,
  ...TO_COME,
  // Services log under the names of their packages.
  ...Object.values(PACKAGES).flat(),
  ...OFFICE_SUITES,
  ...REFUSED_SUITES.keys(),
  // These own secrets, and so does each space.
  ...Object.keys(PLATFORM_SECRETS),
  ...[
    // Parts of the platform that may get a DNS record.
    "api auth console docs grafana lab nextcloud prometheus registry s3 status storage www",
    // Names that mail and clients look up by themselves (RFC 2142, RFC 6186, RFC 8461, WPAD).
    "abuse autoconfig autodiscover dns ftp hostmaster imap localhost mail mta-sts noc ns1 ns2 pop3 postmaster",
    "security smtp webmail webmaster wpad",
    // Names that would let a space pass for the host.
    "account administrator billing contact help host login password signup sso support system",
    // Words that have a meaning of their own in PostgreSQL's pg_hba.conf or GRANT.
    "all none public replicator sameuser samerole standby user",
    // MinIO's built-in users and policies.
    "consoleadmin diagnostics minioadmin readonly readwrite writeonly",
    // Values of the routing maps that stand for no space.
    "suspended unknown",
  ].flatMap((line) => line.split(" ")),
]);

/** Names of machines, such as `web-1` and `storage-a3`. Nobody may take a log tag or an address for a machine. */
export const MACHINE_NAME = new RegExp(
  `^(${[...CLOUD_ROLES, "storage", ...TO_COME].join("|")})-[ab]?[0-9]+$`,
);

/** How an id looks at a glance: people overlook hyphens, and read `1` and `0` as letters. */
export function appearance(id: string): string {
  return id.replaceAll("-", "").replaceAll("1", "l").replaceAll("0", "o");
}

const RESERVED_BY_APPEARANCE = new Map([...RESERVED_IDS].map((id) => [appearance(id), id]));
const ID = new RegExp(
  `^(?=.{${ENTRY_LIMITS.idShortest},${ENTRY_LIMITS.idLongest}}$)[a-z][a-z0-9]*(-[a-z0-9]+)*$`,
);

/** Why a text is not an id, said as what to write instead. Undefined for a good id. */
export function refuseId(id: string): string | undefined {
  const { idShortest, idLongest } = ENTRY_LIMITS;
  if (id.length > idLongest) return `write at most ${idLongest} characters (these are ${id.length})`;
  if (id.length < idShortest) return `write at least ${idShortest} characters`;
  // A double hyphen would allow `xn--`, which browsers show as other letters (RFC 5890, 2.3.2.1). A PostgreSQL
  // identifier begins with a letter.
  if (!ID.test(id))
    return "write lower-case letters, digits and single hyphens between them, beginning with a letter";
  if (MACHINE_NAME.test(id)) return "machines are named so; choose another";
  const reserved = RESERVED_BY_APPEARANCE.get(appearance(id));
  if (reserved === undefined) return undefined;
  return reserved === id
    ? "it is reserved; choose another"
    : `it looks like the reserved "${reserved}"; choose another`;
}

/** An id, for the schema of an entry. Editors get the pattern. */
export const idSchema = z
  .string()
  .superRefine((id, context) => {
    const refusal = refuseId(id);
    if (refusal !== undefined) context.addIssue({ code: "custom", input: id, message: refusal });
  })
  .meta({ pattern: ID.source, examples: ["amis-du-lotus"] });
