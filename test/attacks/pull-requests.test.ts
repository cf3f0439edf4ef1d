// Mistakes and attacks that a pull request can bring, against the checks that run on every pull request: `check`, then
// `plan`. Each must be refused or flagged, with its place. The held-out ones were written after the rules; no rule was
// written after them.
import { beforeEach, describe, expect, it } from "vitest";
import { compareSpaces, dangerOf, tooMany } from "../../plan/space-changes.ts";
import { codeIn } from "../../plan/changed-stacks.ts";
import { insertEntry, removeEntry, renderEntry } from "../../spaces/fleet/edit.ts";
import { loadFleet, readTenantsFile } from "../../spaces/fleet/load-fleet.ts";
import { reportFleet } from "../../spaces/fleet/fleet.ts";
import { CATALOG, CONFIGURATION, copyFleet, replaceIn } from "../support/fleet-fixture.ts";

const FILE = "spaces/tenants/demo/003.yaml";
const SIZE = 40;
const id = (n: number) => `space-${String.fromCharCode(97 + Math.floor(n / 26), 97 + (n % 26))}-garden`;
const draft = (n: number) => ({
  id: id(n),
  name: `Space ${n}`,
  kind: "association",
  contact: `board@${id(n)}.example`,
  plan: "small",
  office: "collabora",
  wave: "main",
});
const BASE = Array.from({ length: SIZE }, (_, n) => renderEntry(draft(n))).join("\n");
/** Neither is the first entry. */
const [TARGET, OTHER] = [id(17), id(23)];

interface Mistake {
  title: string;
  /** Changes the text of the tenants file. */
  change: (text: string) => string;
  /** The message that must appear, with the place. */
  says: RegExp;
}

/** Changes the lines of one entry. */
const inEntry = (which: string, from: string | RegExp, to: string) => (text: string) => {
  const start = text.indexOf(`- id: ${which}\n`);
  const end = text.indexOf("\n\n", start);
  const entry = text.slice(start, end < 0 ? undefined : end);
  const changed = entry.replace(from, () => to);
  if (changed === entry) throw new Error(`${which} does not hold ${String(from)}`);
  return text.slice(0, start) + changed + (end < 0 ? "" : text.slice(end));
};
const lineOf = (which: string) => BASE.slice(0, BASE.indexOf(`- id: ${which}\n`)).split("\n").length;
const at = (which: string, line = 0) => `${FILE}:${lineOf(which) + line}:`;
const states = (share: number, to: string) => (text: string) =>
  Array.from({ length: Math.round(SIZE * share) }, (_, n) => id(SIZE - 1 - n)).reduce(
    (changed, which) =>
      inEntry(
        which,
        "state: active",
        `state: ${to}\n  reason: spring cleaning\n  since: 2026-11-20`,
      )(changed),
    text,
  );

/** Known when the rules were written. */
const KNOWN: Mistake[] = [
  {
    title: "an entry deleted",
    change: (text) => removeEntry(text, TARGET),
    says: new RegExp(`space \`${TARGET}\` is active, and removing its entry would destroy`),
  },
  {
    title: "an id renamed",
    change: inEntry(TARGET, `id: ${TARGET}`, `id: ${TARGET}s`),
    says: new RegExp(`space \`${TARGET}\` is active, and removing its entry would destroy`),
  },
  {
    title: "an entry twice",
    change: inEntry(OTHER, `id: ${OTHER}`, `id: ${TARGET}`),
    says: new RegExp(`${at(OTHER)}7  space "${TARGET}": id is already used in ${FILE}:${lineOf(TARGET)}`),
  },
  {
    title: "an id that looks like another",
    change: (text) =>
      insertEntry(text, { ...draft(0), id: TARGET.replaceAll("-", "").replace("o", "0") }).text,
    says: new RegExp(`${FILE}:\\d+:7  space "[a-z0-9]+": id looks like "${TARGET}" \\(${FILE}:\\d+\\)`),
  },
  {
    title: "35 % of the spaces suspended",
    change: states(0.35, "suspended"),
    says: /too many spaces suspended, archived or removed: 35\.00 % is over 30\.00 % \(14\/40\).*--allow-many/,
  },
  {
    title: "35 % of the spaces changed",
    change: (text) =>
      Array.from({ length: 14 }, (_, n) => id(n + 5)).reduce(
        (changed, which) => inEntry(which, "plan: small", "plan: standard")(changed),
        text,
      ),
    says: /too many spaces changed: 35\.00 % is over 30\.00 % \(14\/40\)/,
  },
  {
    title: "an alias bomb",
    change: inEntry(TARGET, /name: .*/, `name: &a [x, x]\n  kind: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]`),
    says: new RegExp(`${at(TARGET, 1)}\\d+  entry 18: anchor &a; write the value where it is used`),
  },
  {
    title: "a quota that the plans do not know",
    change: inEntry(TARGET, "plan: small", "plan: small\n  quotaGb: 4000"),
    says: new RegExp(`${at(TARGET, 5)}3  space "${TARGET}": unknown key \`quotaGb\``),
  },
  {
    title: "a password in a reason",
    change: inEntry(
      TARGET,
      "state: active",
      "state: suspended\n  reason: 'password: hunter2-hunter2'\n  since: 2026-11-20",
    ),
    says: new RegExp(
      `${at(TARGET, 8)}11  space "${TARGET}": reason is a text with something in it that is not repeated here; it looks like a secret`,
    ),
  },
  {
    title: "a secret under an unknown key",
    change: inEntry(TARGET, "state: active", "state: active\n  s3Secret: abc"),
    says: new RegExp(`${at(TARGET, 8)}3  space "${TARGET}": unknown key \`s3Secret\``),
  },
  {
    title: "active to archived in one step",
    change: inEntry(TARGET, "state: active", "state: archived\n  reason: gone\n  since: 2026-11-20"),
    says: new RegExp(`space \`${TARGET}\` goes from active to archived in one step`),
  },
];

const HELD_OUT: Mistake[] = [
  {
    title: "a Cyrillic letter in an id",
    change: inEntry(TARGET, `id: ${TARGET}`, `id: ${TARGET.replace("a", "\u0430")}`),
    says: new RegExp(`${at(TARGET)}7  space "[^"]+": id is "[^"]+"; write lower-case letters`),
  },
  {
    title: "an id that is a path",
    change: inEntry(TARGET, `id: ${TARGET}`, "id: space-../../etc"),
    says: new RegExp(`${at(TARGET)}7 .*write lower-case letters`),
  },
  {
    title: "an internationalised domain",
    change: inEntry(TARGET, `id: ${TARGET}`, "id: xn--80ak6aa92e"),
    says: new RegExp(`${at(TARGET)}7 .*single hyphens`),
  },
  {
    title: "a machine's name",
    change: inEntry(TARGET, `id: ${TARGET}`, "id: web-1"),
    says: new RegExp(`${at(TARGET)}7 .*machines are named so`),
  },
  {
    title: "a reserved name in disguise",
    change: (text) => insertEntry(text, { ...draft(0), id: "pa-ss-w0rd" }).text,
    says: /:7  space "pa-ss-w0rd": id is "pa-ss-w0rd"; it looks like the reserved "password"/,
  },
  {
    title: "a merge key",
    change: inEntry(TARGET, "plan: small", "<<: {plan: standard}\n  plan: small"),
    says: new RegExp(`${at(TARGET, 4)}3  space "${TARGET}": unknown key \`<<\``),
  },
  {
    title: "a key twice, the second one hidden at the end",
    change: inEntry(TARGET, "state: active", "state: active\n  plan: standard"),
    says: new RegExp(`${at(TARGET, 8)}`),
  },
  {
    title: "a tag that changes the type of a value",
    change: inEntry(TARGET, /name: .*/, "name: !!binary aGVsbG8="),
    says: new RegExp(`${at(TARGET, 1)}`),
  },
  {
    title: "a line end in a mail address",
    change: inEntry(TARGET, /contact: .*/, 'contact: "board@a.example\\nBcc: all@a.example"'),
    says: new RegExp(`${at(TARGET, 3)}12  space "${TARGET}": contact is`),
  },
  {
    title: "a name that reads backwards",
    change: inEntry(TARGET, /name: .*/, 'name: "Les \\u202Esima"'),
    says: new RegExp(`${at(TARGET, 1)}9  space "${TARGET}": name is`),
  },
  {
    title: "a name with a terminal's escape",
    change: inEntry(TARGET, /name: .*/, 'name: "\\e[2Jgone"'),
    says: new RegExp(`${at(TARGET, 1)}9  space "${TARGET}": name is`),
  },
  {
    title: "a forge's token in a name",
    change: inEntry(TARGET, /name: .*/, "name: Choir ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    says: new RegExp(
      `${at(TARGET, 1)}9  space "${TARGET}": name is a text with something in it that is not repeated here`,
    ),
  },
  {
    title: "a private key in a reason",
    change: inEntry(
      TARGET,
      "state: active",
      'state: suspended\n  reason: "-----BEGIN OPENSSH PRIVATE KEY-----"\n  since: 2026-11-20',
    ),
    says: new RegExp(`${at(TARGET, 8)}11  .*looks like a secret`),
  },
  {
    title: "the key __proto__",
    change: inEntry(TARGET, "plan: small", "plan: small\n  __proto__: {admin: true}"),
    says: new RegExp(`${at(TARGET, 5)}3  space "${TARGET}": unknown key \`__proto__\``),
  },
  {
    title: "a plan named like a property of every object",
    change: inEntry(TARGET, "plan: small", "plan: constructor"),
    says: new RegExp(`${at(TARGET, 4)}9  space "${TARGET}": plan is "constructor"`),
  },
  {
    title: "a shell variable as wave",
    change: inEntry(TARGET, "wave: main", "wave: $(id)"),
    says: new RegExp(`${at(TARGET, 6)}9  space "${TARGET}": wave is`),
  },
  {
    title: "all entries deleted",
    change: () => "[]\n",
    says: /is active, and removing its entry would destroy/,
  },
  {
    title: "the file cut off in the middle",
    change: (text) => text.slice(0, text.indexOf(`- id: ${TARGET}\n`)),
    says: new RegExp(`space \`${TARGET}\` is active, and removing its entry would destroy`),
  },
  {
    title: "a second document",
    change: (text) => `${text}---\n- id: more\n`,
    says: new RegExp(`${FILE}:\\d+:1 `),
  },
  {
    title: "an entry in a nested list",
    change: inEntry(TARGET, `- id: ${TARGET}`, `- - id: ${TARGET}`),
    says: new RegExp(`${at(TARGET, 1)}1  entry 18: `),
  },
  {
    title: "more than 30 % archived",
    change: states(0.325, "archived"),
    says: /too many spaces suspended, archived or removed: 32\.50 %/,
  },
  {
    title: "an impossible date",
    change: inEntry(TARGET, "state: active", "state: suspended\n  reason: tired\n  since: 2026-13-45"),
    says: new RegExp(`${at(TARGET, 9)}10  space "${TARGET}": since is "2026-13-45"`),
  },
];

let root: string;
beforeEach(() => {
  root = copyFleet();
  // Enough storage for all of them.
  replaceIn(root, CONFIGURATION, /commitRatio: 1\b/, "commitRatio: 20");
});

/** What people read: the text of `check` or, if that finds nothing, what stops a plan. */
function judge(text: string): string {
  const fleet = loadFleet(root, "demo", new Map([[FILE, text]]));
  if (fleet.problems.length > 0) return reportFleet(fleet);
  const old = readTenantsFile(FILE, Buffer.from(BASE)).entries;
  const changes = compareSpaces(
    new Map([[FILE, old]]),
    new Map([[FILE, readTenantsFile(FILE, Buffer.from(text)).entries]]),
  );
  return [...changes.flatMap((change) => dangerOf(change) ?? []), ...tooMany(changes, SIZE)].join("\n");
}

describe.each([
  ["known", KNOWN],
  ["held out", HELD_OUT],
])("a mistake in a pull request (%s)", (name, mistakes) => {
  it.each(mistakes)("is caught: $title", ({ change, says }) => {
    const text = change(BASE);
    expect(text).not.toBe(BASE);
    expect(judge(text)).toMatch(says);
    expect(judge(text)).not.toMatch(/hunter2|ghp_/);
  });

  it("is always caught", () => {
    const caught = mistakes.filter(({ change, says }) => says.test(judge(change(BASE)))).length;
    console.log(`pull-request mistakes, ${name}: ${caught} of ${mistakes.length} caught`);
    expect(caught).toBe(mistakes.length);
  });
});

it.each([
  ["nothing", (text: string) => text],
  ["one more space", (text: string) => insertEntry(text, { ...draft(0), id: "violet" }).text],
  [
    "one suspended",
    inEntry(TARGET, "state: active", "state: suspended\n  reason: asked by its board\n  since: 2026-11-20"),
  ],
  ["30 % suspended", states(0.3, "suspended")],
  [
    "a name with an apostrophe and digits",
    inEntry(TARGET, /name: .*/, "name: L'Amicale de 1901-1905, Saint-Étienne"),
  ],
])("accepts a correct change: %s", (_, change) => {
  expect(judge(change(BASE))).toBe("");
});

it("refuses a quota for all spaces that exceeds the storage, and says where it is", () => {
  replaceIn(root, CATALOG, "storageGb: 10,", "storageGb: 4000,");
  expect(judge(BASE)).toMatch(
    /Pulumi\.demo\.yaml:28:18 {2}storage: spaces are promised 180 TB, but 2\.4 TB is the most/,
  );
});

it("refuses a login in the address of a release, says where it is, and does not repeat it", () => {
  replaceIn(
    root,
    CATALOG,
    "https://artifacts.example.org/nextcloud-34",
    "https://me:hunter2-hunter2@artifacts.example.org/nextcloud-34",
  );
  const said = reportFleet(loadFleet(root, "demo"));
  expect(said).toMatch(
    /spaces\/catalog\.yaml:14:10  releases\.34\.0\.4\.url is an address that holds a login; write? ?an address without a login|spaces\/catalog\.yaml:14:10  releases\.34\.0\.4\.url is an address that holds a login; an address without a login/,
  );
  expect(said).not.toContain("hunter2");
});

it("flags every changed file that runs with credentials", () => {
  const files = [
    "package.json",
    ".ci/run",
    "bin/plan.ts",
    "index.ts",
    "infra/machine/base.sh",
    "Pulumi.prod.yaml",
    "policies/rules.ts",
    ".npmrc",
    "spaces/agent/rootfs-ops/usr/local/lib/framaspace/converge-space.ts",
    "spaces/catalog.yaml",
  ];
  expect(codeIn([...files, FILE, "docs/deploy.md", "README.md"])).toEqual(files.sort());
});
