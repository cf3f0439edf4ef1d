// Says in one sentence what happens to a space, for readers who only know the tenants files.
import type { Catalog } from "../spaces/fleet/catalog.ts";
import { code } from "./markdown.ts";
import type { LooseEntry, SpaceChange } from "./space-changes.ts";

/** What the environment and the catalog say about every space. */
export interface Promises {
  domain: string;
  catalog?: Catalog;
}

/** One change, as it reads under one of the report's headings. */
export function describeSpace(change: SpaceChange, heading: string, promises: Promises): string {
  const { id, before, after } = change;
  switch (heading) {
    case "Added":
      return `➕ ${code(id)}: ${after ? describeNew(after, promises) : ""}`;
    case "Changed":
      return `📝 ${code(id)}: ${change.fields.map((field) => describeField(field, promises)).join("; ")}.`;
    case "Suspended or resumed":
      return describeState(id, before, after);
    default:
      return describeEnd(change, promises);
  }
}

function value(entry: LooseEntry, field: string): string {
  const found = entry[field];
  return typeof found === "string" ? found : JSON.stringify(found ?? "");
}

function describeNew(entry: LooseEntry, { domain, catalog }: Promises): string {
  const plan = catalog?.plans[value(entry, "plan")];
  const limits = plan ? ` with ${plan.storageGb} GB for ${plan.accounts} accounts` : "";
  const release = catalog?.waves[value(entry, "wave")];
  const start = `${code(value(entry, "name"))} (${value(entry, "kind")}) will answer at ${code(`https://${entry.id}.${domain}`)}${limits}, on Nextcloud ${release} (wave ${value(entry, "wave")}), with the office suite ${value(entry, "office")}.`;
  const state = value(entry, "state");
  return state === "active"
    ? `${start} Its first administrator is invited at ${code(value(entry, "contact"))}.`
    : `${start} It starts ${state}: ${code(value(entry, "reason"))}.`;
}

function describeField(
  { field, before, after }: SpaceChange["fields"][number],
  { catalog }: Promises,
): string {
  const change = `${field} ${before === undefined ? "(none)" : code(before)} → ${after === undefined ? "(none)" : code(after)}`;
  if (field === "wave" && after !== undefined) return `${change} (Nextcloud ${catalog?.waves[after]})`;
  const plan = field === "plan" && after !== undefined ? catalog?.plans[after] : undefined;
  if (plan) return `${change} (${plan.storageGb} GB, ${plan.accounts} accounts)`;
  // Converging never changes the office suite that an administrator chose.
  return field === "office" ? `${change} (no effect on a space that exists already)` : change;
}

function describeState(id: string, before: LooseEntry | undefined, after: LooseEntry | undefined): string {
  if (!before || !after) return code(id);
  const [from, to] = [value(before, "state"), value(after, "state")];
  if (to === "suspended" && from === "suspended")
    return `📝 ${code(id)} stays suspended: reason ${code(value(after, "reason"))}, since ${value(after, "since")}.`;
  if (to === "suspended")
    return `⏸️ ${code(id)} is suspended since ${value(after, "since")}: its visitors see a notice, and its data stays. Reason: ${code(value(after, "reason"))}.`;
  if (from === "archived")
    return `⚠️ ${code(id)} comes back from the archive, with its data if that has not been deleted yet. If it has been deleted, \`up\` refuses until the export is restored (\`npm run space -- restore ${id}\`).`;
  return `▶️ ${code(id)} is active again, with the data that it had.`;
}

function describeEnd({ id, before, after, moved }: SpaceChange, { catalog }: Promises): string {
  if (moved) return `⛔ ${code(id)} moves from ${moved.from} to ${moved.to}.`;
  if (after)
    return `📦 ${code(id)} is archived: it is exported, the export is verified, and ${catalog?.archive.graceDays} days later the live data is deleted. Reason: ${code(value(after, "reason"))}.`;
  return before && value(before, "state") === "archived"
    ? `❌ ${code(id)}: its entry is removed. The space is archived, so nothing is lost.`
    : `⛔ ${code(id)}: its entry is removed while the space is ${before ? value(before, "state") : "there"}.`;
}
