// What an id may be, and why. An id is at once an address, a database, a bucket and a name in the logs.
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import * as z from "zod";
import { PLATFORM_SECRETS } from "../../infra/inventory/secret-names.ts";
import { CLOUD_ROLES, OFFICE_SUITES, REFUSED_SUITES } from "../../infra/inventory/environment.ts";
import { PLATFORM_NAMES } from "../../infra/inventory/names.ts";

/**
 * Bounds of an id, which is at once a DNS label, a PostgreSQL role and database, a MinIO user, the end of a
 * bucket's name and a log tag. Names are never shortened to fit, so the tightest of these holds for all.
 */
export const ENTRY_LIMITS = {
  /** A MinIO user has at least 3 characters (accessKeyMinLen in minio/internal/auth/credentials.go). */
  idShortest: 3,
  /**
   * A syslog tag has at most 32 (RFC 3164, 4.1.3). Looser: DNS label 63 (RFC 1035, 2.3.4); PostgreSQL
   * identifier 63 bytes (NAMEDATALEN − 1); S3 bucket 63, so 57 after `space-`; a MinIO user has no most.
   */
  idLongest: 32,
  /** Names and reasons are shown on one line: in the browser's title, in a log, in a plan's table. */
  textLongest: 100,
  /** A self-managed state is rewritten on every step: its cost grows with the square of the resources. */
  spacesPerFile: 100,
} as const;

/** Our programs on machines, which log under their own names. */
const PROGRAMS = globSync("{infra,spaces}/*/rootfs*/usr/local/sbin/*", {
  cwd: join(import.meta.dirname, "../.."),
}).map((file) => basename(file));

/** Ids that mean something else to DNS, to a server of the platform or to people who read an address. */
export const RESERVED_IDS: ReadonlySet<string> = new Set([
  ...Object.values(PLATFORM_NAMES).flat(),
  ...PROGRAMS,
  ...CLOUD_ROLES,
  ...OFFICE_SUITES,
  ...REFUSED_SUITES.keys(),
  // A space owns secrets as these do.
  ...Object.keys(PLATFORM_SECRETS),
  ...[
    // Parts of the platform that may get a DNS record.
    "api auth console docs grafana lab nextcloud prometheus registry s3 status storage www",
    // Names that mail and clients look up by themselves (RFC 2142, RFC 6186, RFC 8461, WPAD).
    "abuse autoconfig autodiscover dns ftp hostmaster imap localhost mail mta-sts noc ns1 ns2 pop3 postmaster",
    "security smtp webmail webmaster wpad",
    // Names that would let a space pass for the host.
    "account administrator billing contact help host login password signup sso support system",
    // PostgreSQL: words that pg_hba.conf or GRANT read otherwise.
    "all none public replicator sameuser samerole standby user",
    // MinIO's built-in users and policies.
    "consoleadmin diagnostics minioadmin readonly readwrite writeonly",
    // What the routing maps use for no space at all.
    "suspended unknown",
  ].flatMap((line) => line.split(" ")),
]);

/** Names of machines: `web-1`, `storage-a3`. A log tag or an address must never be taken for one. */
export const MACHINE_NAME = /^(gateway|imaginary|logs|office|ops|postgres|redis|storage|web)-[ab]?[0-9]+$/;

/** What people take an id for at a glance: hyphens fade, `1` and `0` read as letters. */
export function appearance(id: string): string {
  return id.replaceAll("-", "").replaceAll("1", "l").replaceAll("0", "o");
}

const RESERVED_BY_APPEARANCE = new Map([...RESERVED_IDS].map((id) => [appearance(id), id]));
const ID = new RegExp(
  `^(?=.{${ENTRY_LIMITS.idShortest},${ENTRY_LIMITS.idLongest}}$)[a-z][a-z0-9]*(-[a-z0-9]+)*$`,
);

/** Why a text is no id, as what to write instead; undefined for a good one. */
export function refuseId(id: string): string | undefined {
  const { idShortest, idLongest } = ENTRY_LIMITS;
  if (id.length > idLongest) return `write at most ${idLongest} characters (these are ${id.length})`;
  if (id.length < idShortest) return `write at least ${idShortest} characters`;
  // A double hyphen would allow `xn--`, which browsers show as other letters (RFC 5890, 2.3.2.1); PostgreSQL
  // identifiers begin with a letter.
  if (!ID.test(id))
    return "write lower-case letters, digits and single hyphens between them, beginning with a letter";
  if (MACHINE_NAME.test(id)) return "machines are named so; choose another";
  const reserved = RESERVED_BY_APPEARANCE.get(appearance(id));
  if (reserved === undefined) return undefined;
  return reserved === id
    ? "it is reserved; choose another"
    : `it looks like the reserved "${reserved}"; choose another`;
}

/** An id as the schema of an entry wants it; editors get the pattern. */
export const idSchema = z
  .string()
  .superRefine((id, context) => {
    const refusal = refuseId(id);
    if (refusal !== undefined) context.addIssue({ code: "custom", input: id, message: refusal });
  })
  .meta({ pattern: ID.source });
