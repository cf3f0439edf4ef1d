// What a space's database says of itself. The table framaspace is outside Nextcloud's prefix, and every dump has it.
import { MEMBER } from "../member.ts";
import { sql } from "../space-database.ts";
import { failure, type SpaceWork } from "../space-work.ts";
import { USED_STORAGE } from "../storage-queries.ts";

/** Key → value. `version` is there once the space is installed; else `tables`, the number of tables of others. */
export interface Facts extends Readonly<Partial<Record<FactName, string>>> {
  /** Apps that are on. */
  apps: readonly string[];
}

type FactName =
  // Of the table framaspace.
  | "version"
  | "upgrade"
  | "repair"
  | "administrator"
  | "contact"
  | "title"
  | "quota"
  | "fingerprint"
  // Of Nextcloud.
  | "refused"
  | "approval"
  | "office"
  | "accounts"
  | "used"
  | "default-quota"
  | "own-title"
  | "admin"
  | "logged-in"
  | "member"
  | "shut"
  | "tables";

export const NO_FACTS: Facts = { apps: [] };

/** Reads what the database says. Throws SpaceError if it does not answer. */
export async function look(work: SpaceWork): Promise<Facts> {
  const { catalog } = work.space;
  const variables = ["-v", `refused=${catalog.appsRefused.join(" ")}`, "-v", `member=${MEMBER}`];
  // Rows end with a zero byte, because administrators of the space choose some of the values, and a new line in one
  // must not pass for another row.
  const { status, output } = await sql(work, ["-0", "-F", " ", ...variables, "-f", "-"], QUERIES);
  if (status !== 0)
    throw failure(
      work,
      "its role cannot use its database; look at the primary (psql service=framaspace), then run up again",
    );
  const rows = output
    .split("\0")
    .slice(0, -1)
    .map((row) => /^\s*(\S+)\s*([^]*?)\s*$/.exec(row))
    .flatMap((match) => (match ? [[match[1] ?? "", match[2] ?? ""] as const] : []));
  const { apps = "", ...facts } = Object.fromEntries(rows);
  // A killed run may have shut it.
  if (facts["shut"] !== undefined && work.door.state === "open") work.door = { state: "shut" };
  return { ...facts, apps: words(apps) };
}

/** The words of a list. */
export const words = (text: string): string[] => text.split(/\s+/).filter(Boolean);

const QUERIES = String.raw`SELECT to_regclass('public.framaspace') IS NOT NULL AS ours \gset
\if :ours
SELECT key, value FROM framaspace;
SELECT 'apps', string_agg(appid, ' ' ORDER BY appid) FROM oc_appconfig WHERE configkey = 'enabled' AND configvalue <> 'no';
SELECT 'refused', string_agg(DISTINCT appid, ' ') FROM oc_appconfig WHERE appid = ANY (string_to_array(:'refused', ' '));
SELECT 'approval', configvalue FROM oc_appconfig WHERE appid = 'registration' AND configkey = 'admin_approval_required';
SELECT 'office', string_agg(configkey || '=' || regexp_replace(configvalue, '\s', '', 'g'), ' ') FROM oc_appconfig
 WHERE appid = 'richdocuments' AND configkey IN ('preview_generation', 'public_wopi_url', 'wopi_allowlist', 'wopi_url');
SELECT 'accounts', count(*) FROM oc_users WHERE uid <> :'member' AND NOT EXISTS (SELECT FROM oc_preferences
  WHERE userid = uid AND appid = 'core' AND configkey = 'enabled' AND configvalue IN ('false', '0'));
SELECT 'used', (${USED_STORAGE});
SELECT 'default-quota', configvalue FROM oc_appconfig WHERE appid = 'files' AND configkey = 'default_quota';
SELECT 'own-title', 1 WHERE NOT EXISTS (SELECT FROM oc_appconfig JOIN framaspace ON value = configvalue
  WHERE appid = 'theming' AND configkey = 'name' AND key = 'title');
SELECT 'admin', 1 FROM oc_users WHERE uid = 'admin';
SELECT 'logged-in', 1 FROM oc_preferences WHERE userid = 'admin' AND appid = 'login' AND configkey = 'lastLogin' AND configvalue <> '0';
SELECT 'member', 1 FROM oc_users WHERE uid = :'member';
SELECT 'shut', 1 FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase JOIN pg_roles r ON r.oid = setrole
 WHERE datname = current_database() AND rolname = current_user AND 'default_transaction_read_only=on' = ANY (setconfig);
\else
SELECT 'tables', count(*) FROM pg_tables WHERE schemaname = 'public';
\endif
`;
