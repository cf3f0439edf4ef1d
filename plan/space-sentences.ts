// Says what happens to spaces, for readers who only know the tenants files. Spaces with the same change share a line.
import type { Catalog } from "../spaces/fleet/catalog.ts";
import { code, MOST_LISTED, MOST_NAMED, names } from "./markdown.ts";
import { inWords, stateOf, type LooseEntry, type SpaceChange } from "./space-changes.ts";

/** What the environment and the catalog say about every space. */
export interface Promises {
  domain: string;
  catalog?: Catalog;
}

/** What can happen to a space, in the order in which readers need it. */
export const SPACE_VERBS = [
  "archived, removed or moved",
  "suspended or resumed",
  "added",
  "changed",
] as const;
export type SpaceVerb = (typeof SPACE_VERBS)[number];

/** What happens to one space or to several. */
export interface SpaceLine {
  verb: SpaceVerb;
  sign: string;
  ids: string[];
  /** What the ids have in common, in one line. */
  what: string;
  /** The same, part by part; only for a space that is added. */
  parts?: string[];
}

/** Every change, in the order of SPACE_VERBS. A space whose fields and state change has two lines. */
export function describeSpaces(changes: readonly SpaceChange[], promises: Promises): SpaceLine[] {
  const lines = new Map<string, SpaceLine>();
  for (const change of changes)
    for (const line of describe(change, promises)) {
      const key = `${line.verb}\n${line.sign}\n${line.what}`;
      const same = lines.get(key);
      if (same) same.ids.push(change.id);
      else lines.set(key, { ...line, ids: [change.id] });
    }
  return [...lines.values()].sort((a, b) => SPACE_VERBS.indexOf(a.verb) - SPACE_VERBS.indexOf(b.verb));
}

/** Up to this number, the summary has everything about each added space. */
const MOST_IN_FULL = 2;

/** Whether a summary can say all of these lines, which have one verb. */
export function fitsSummary(lines: readonly SpaceLine[]): boolean {
  if (lines.some(({ verb }) => verb === "added")) return lines.length <= MOST_IN_FULL;
  return lines.length <= MOST_LISTED && lines.every(({ ids }) => ids.length <= MOST_NAMED);
}

/** A line of a summary, which names the first spaces only. */
export function spaceLine({ sign, ids, what }: SpaceLine): string {
  return `- ${sign} ${names(ids, ids.length, MOST_NAMED)}: ${what}`;
}

/** The same with all that there is to say. */
export function wholeSpaceLine({ sign, ids, what, parts }: SpaceLine): string {
  return `- ${sign} ${ids.map(code).join(", ")}: ${parts ? `${parts.join("; ")}.` : what}`;
}

type Sentence = Omit<SpaceLine, "ids">;

function describe(change: SpaceChange, promises: Promises): Sentence[] {
  const { before, after, moved, fields } = change;
  if (!after || moved) return [describeEnd(change)];
  if (!before) return [describeNew(after, promises)];
  const state = sameState(before, after) ? [] : [describeState(before, after, promises)];
  if (fields.length === 0) return state;
  const what = `${fields.map((field) => describeField(field, promises)).join("; ")}.`;
  return [...state, { verb: "changed", sign: "📝", what }];
}

function sameState(before: LooseEntry, after: LooseEntry): boolean {
  return ["state", "reason", "since"].every((field) => before[field] === after[field]);
}

function value(entry: LooseEntry, field: string): string {
  const found = entry[field];
  return typeof found === "string" ? found : JSON.stringify(found ?? "");
}

function describeNew(entry: LooseEntry, { domain, catalog }: Promises): Sentence {
  const [plan, wave] = [value(entry, "plan"), value(entry, "wave")];
  const limits = catalog?.plans[plan];
  const state = value(entry, "state");
  const who = `${code(value(entry, "name"))} (${value(entry, "kind")}), at ${code(`https://${entry.id}.${domain}`)}`;
  return {
    verb: "added",
    sign: "➕",
    what: `${who}, plan ${plan}.`,
    parts: [
      who,
      `plan ${plan}${limits ? `: ${limits.storageGb} GB for ${limits.accounts} accounts` : ""}`,
      `office suite ${value(entry, "office")}; Nextcloud ${catalog?.waves[wave]} (wave ${wave})`,
      state === "active"
        ? `invited as its first administrator: ${code(value(entry, "contact"))}`
        : `it starts ${state}: ${code(value(entry, "reason"))}`,
    ],
  };
}

function describeField(
  { field, before, after }: SpaceChange["fields"][number],
  { catalog }: Promises,
): string {
  const change = `${code(field)} ${before === undefined ? "(none)" : code(before)} → ${after === undefined ? "(none)" : code(after)}`;
  if (field === "wave" && after !== undefined) return `${change} (Nextcloud ${catalog?.waves[after]})`;
  const plan = field === "plan" && after !== undefined ? catalog?.plans[after] : undefined;
  if (plan) return `${change} (${plan.storageGb} GB, ${plan.accounts} accounts)`;
  if (field === "contact")
    return `${change} (a new invitation, if the first administrator has never logged in; else no account changes)`;
  if (field === "name") return `${change} (the space's title, unless the space has set another)`;
  // Converging never changes the office suite that an administrator chose.
  return field === "office" ? `${change} (no effect on a space that exists already)` : change;
}

function describeState(before: LooseEntry, after: LooseEntry, { catalog }: Promises): Sentence {
  const [from, to] = [stateOf(before), stateOf(after)];
  const why = `since ${value(after, "since")}. Reason: ${code(value(after, "reason"))}.`;
  const verb = "suspended or resumed";
  if (to === "archived")
    return {
      verb: "archived, removed or moved",
      sign: "📦",
      what:
        from === "archived"
          ? `still archived, ${why}`
          : `archived, ${why} The export is verified, and ${catalog?.archive.graceDays} days later the live data is deleted.`,
    };
  if (to === "suspended" && from === "suspended")
    return { verb, sign: "📝", what: `still suspended, ${why}` };
  if (to === "suspended")
    return { verb, sign: "⏸️", what: `suspended, ${why} Visitors see a notice; the data stays.` };
  if (from === "archived")
    return {
      verb,
      sign: "⚠️",
      what: "back from the archive, with the data if that has not been deleted yet. If it has been, `up` refuses until the export is restored (`npm run space -- restore` and the id).",
    };
  return { verb, sign: "▶️", what: "active again, with the data as it was." };
}

function describeEnd({ before, moved }: SpaceChange): Sentence {
  const verb = "archived, removed or moved";
  if (moved) return { verb, sign: "⛔", what: `moved from ${moved.from} to ${moved.to}.` };
  return stateOf(before) === "archived"
    ? { verb, sign: "❌", what: "the entry is removed. The space is archived, so nothing is lost." }
    : {
        verb,
        sign: "⛔",
        what: `the entry is removed while the space is ${inWords(stateOf(before))}.`,
      };
}
