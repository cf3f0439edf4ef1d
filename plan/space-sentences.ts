// What happens to a space, in a sentence that somebody understands who only knows the tenants files.
import type { Catalog } from "../spaces/fleet/catalog.ts";
import { code } from "./markdown.ts";
import type { Entry, SpaceChange } from "./space-changes.ts";

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

function value(entry: Entry, field: string): string {
  const found = entry[field];
  return typeof found === "string" ? found : JSON.stringify(found ?? "");
}

function describeNew(entry: Entry, { domain, catalog }: Promises): string {
  const plan = catalog?.plans[value(entry, "plan")];
  const limits = plan ? ` with ${plan.storageGb} GB for ${plan.accounts} accounts` : "";
  const release = catalog?.waves[value(entry, "wave")];
  const start = `${code(value(entry, "name"))} (${value(entry, "kind")}) will answer at ${code(`https://${entry.id}.${domain}`)}${limits}, on Nextcloud ${release} (wave ${value(entry, "wave")}), starting with ${value(entry, "office")}.`;
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
  // Converging never resets a suite that an administrator chose.
  return field === "office" ? `${change} (matters only to a space that is yet to be made)` : change;
}

function describeState(id: string, before: Entry | undefined, after: Entry | undefined): string {
  if (!before || !after) return code(id);
  const [from, to] = [value(before, "state"), value(after, "state")];
  if (to === "suspended" && from === "suspended")
    return `📝 ${code(id)} stays suspended: reason ${code(value(after, "reason"))}, since ${value(after, "since")}.`;
  if (to === "suspended")
    return `⏸️ ${code(id)} is suspended since ${value(after, "since")}: its visitors are told so, its data stays. Reason: ${code(value(after, "reason"))}.`;
  if (from === "archived")
    return `⚠️ ${code(id)} comes back from the archive: with the data that it had, as long as that has not been dropped. Then \`up\` refuses until its export is restored (\`npm run space -- restore ${id}\`).`;
  return `▶️ ${code(id)} is back in service, with the data that it had.`;
}

function describeEnd({ id, before, after, moved }: SpaceChange, { catalog }: Promises): string {
  if (moved) return `⛔ ${code(id)} moves from ${moved.from} to ${moved.to}.`;
  if (after)
    return `📦 ${code(id)} is archived: exported, the export verified, and ${catalog?.archive.graceDays} days later its live data dropped. Reason: ${code(value(after, "reason"))}.`;
  return before && value(before, "state") === "archived"
    ? `❌ ${code(id)}: its entry goes. It is archived, so there is nothing left to lose.`
    : `⛔ ${code(id)}: its entry goes while the space is ${before ? value(before, "state") : "there"}.`;
}
