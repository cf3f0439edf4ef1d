import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { assertValid, reportFleet } from "../../../spaces/fleet/fleet.ts";
import { loadFleet } from "../../../spaces/fleet/load-fleet.ts";
import { UserError } from "../../../validation/user-error.ts";
import {
  CATALOG,
  CONFIGURATION,
  copyFleet,
  replaceIn,
  TENANTS_1,
  TENANTS_2,
} from "../../support/fleet-fixture.ts";

test("a valid fleet has its spaces in file order and no problems", () => {
  const fleet = loadFleet(copyFleet(), "demo");
  expect(fleet.problems).toEqual([]);
  expect(
    fleet.tenantsFiles.map(({ name, file, entries }) => [name, file, entries.map(({ id }) => id)]),
  ).toEqual([
    ["001", TENANTS_1, ["iris", "lotus"]],
    ["002", TENANTS_2, ["jasmin", "zinnia"]],
  ]);
  assertValid(fleet);
  expect(fleet.environment.domain).toBe("example.org");
  expect(fleet.tenantsFiles[1]?.entries[1]).toEqual({
    id: "zinnia",
    name: "Zinnia",
    kind: "union",
    contact: "contact@zinnia.example",
    plan: "standard",
    office: "collabora",
    wave: "main",
    state: "suspended",
    reason: "its board asked for it",
    since: "2026-10-12",
  });
});

const NOT_ONLYOFFICE =
  "it has one token secret for all spaces and shows it to each space's administrator, who opens every space's documents with it (docs/decisions/0022-no-onlyoffice.md)";

/** Breaks the fleet in one place, and gives the whole report. The fault is never in the first entry. */
const REFUSALS: [title: string, break_: (root: string) => void, report: string][] = [
  [
    "an id that another file has",
    (root) => replaceIn(root, TENANTS_2, "id: jasmin", "id: iris"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:1:7  space "iris": id is already used in spaces/tenants/demo/001.yaml:3; choose another.`,
  ],
  [
    "an id twice in a file",
    (root) => replaceIn(root, TENANTS_1, "id: lotus", "id: iris"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:13:7  space "iris": id is already used in spaces/tenants/demo/001.yaml:3; choose another.`,
  ],
  [
    "an id that looks like another id",
    (root) => replaceIn(root, TENANTS_2, "id: zinnia", "id: l0-tus"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:10:7  space "l0-tus": id looks like "lotus" (spaces/tenants/demo/001.yaml:13); choose one that nobody takes for it.`,
  ],
  [
    "entries out of order",
    (root) => replaceIn(root, TENANTS_1, "id: lotus", "id: acacia"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:13:7  space "acacia": stands after "iris"; entries are sorted by id: move it above "iris" (line 3).`,
  ],
  [
    "a typing error in a key",
    (root) => replaceIn(root, TENANTS_2, /wave: main\n(?!.*wave)(?=  state: s)/s, "wafe: main\n"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:16:3  space "zinnia": unknown key \`wafe\`; did you mean \`wave\`?`,
  ],
  [
    "a key under another name",
    (root) => replaceIn(root, TENANTS_1, "plan: small", "quotaGb: 5"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:17:3  space "lotus": unknown key \`quotaGb\`; did you mean \`plan\`?`,
  ],
  [
    "an unknown key",
    (root) => replaceIn(root, TENANTS_1, "plan: small", "plan: small\n  theme: dark"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:18:3  space "lotus": unknown key \`theme\`; remove it, or write one of twoFactor, reason, since.`,
  ],
  [
    "a key that is missing",
    (root) => replaceIn(root, TENANTS_1, "  contact: contact@lotus.example\n", ""),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:13:3  space "lotus": contact is missing; write a mail address such as contact@example.org (mail address of a role, not of a person: the first administrator's invitation goes there).`,
  ],
  [
    "wrong types",
    (root) =>
      replaceIn(
        root,
        TENANTS_1,
        /name: Collectif Lotus\n {2}kind: collective/,
        "name: 1130\n  kind: [collective]",
      ),
    `Environment demo is not valid: 2 problems.
  spaces/tenants/demo/001.yaml:14:9  space "lotus": name is 1130; write text in quotes, such as "Les Amis du Lotus".
  spaces/tenants/demo/001.yaml:15:9  space "lotus": kind is ["collective"]; write one of association, collective, cooperative, federation, local-union, union.`,
  ],
  [
    "an id that is too long",
    (root) => replaceIn(root, TENANTS_1, "id: lotus", "id: lotus-and-all-the-gardens-of-our-town"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:13:7  space "lotus-and-all-the-gardens-of-our-town": id is "lotus-and-all-the-gardens-of-our-town"; write at most 32 characters (these are 37).`,
  ],
  [
    "an id that is reserved",
    (root) => replaceIn(root, TENANTS_1, "id: lotus", "id: mail"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:13:7  space "mail": id is "mail"; it is reserved; choose another.`,
  ],
  [
    "a machine's name",
    (root) => replaceIn(root, TENANTS_2, "id: zinnia", "id: storage-a3"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:10:7  space "storage-a3": id is "storage-a3"; machines are named so; choose another.`,
  ],
  [
    "an id with other letters",
    (root) => replaceIn(root, TENANTS_1, "id: lotus", "id: Lotus"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:13:7  space "Lotus": id is "Lotus"; write lower-case letters, digits and single hyphens between them, beginning with a letter.`,
  ],
  [
    "a plan that does not exist",
    (root) => replaceIn(root, TENANTS_1, "plan: small", "plan: standart"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:17:9  space "lotus": plan is "standart"; did you mean "standard"?`,
  ],
  [
    "a wave and an office suite that do not exist",
    (root) =>
      replaceIn(root, TENANTS_1, "office: collabora\n  wave: canary", "office: wordperfect\n  wave: late"),
    `Environment demo is not valid: 2 problems.
  spaces/tenants/demo/001.yaml:18:11  space "lotus": office is "wordperfect"; write collabora.
  spaces/tenants/demo/001.yaml:19:9  space "lotus": wave is "late"; write one of canary, early, main.`,
  ],
  [
    "an office suite that this environment does not run",
    (root) =>
      replaceIn(root, TENANTS_1, "office: collabora\n  wave: canary", "office: papyrus\n  wave: canary"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:18:11  space "lotus": office is "papyrus"; write collabora.`,
  ],
  [
    "an office suite by which one space could open others, in every place that asks for it",
    (root) => {
      replaceIn(root, CONFIGURATION, "suites: [collabora]", "suites: [collabora, onlyoffice]");
      replaceIn(root, CATALOG, "papyrus: { app: papyrus }", "onlyoffice: { app: onlyoffice }");
      replaceIn(root, CATALOG, "richdocuments, papyrus]", "richdocuments, onlyoffice]");
      replaceIn(root, CATALOG, "appsOptional: [registration]", "appsOptional: [registration, onlyoffice]");
    },
    `Environment demo is not valid: 4 problems.
  Pulumi.demo.yaml:60:25  framaspace:office.suites[1] is "onlyoffice"; write collabora: ${NOT_ONLYOFFICE}.
  spaces/catalog.yaml:6:15  app "onlyoffice": officeSuites holds it; take it off: ${NOT_ONLYOFFICE}.
  spaces/catalog.yaml:7:33  app "onlyoffice": apps holds it; take it off: ${NOT_ONLYOFFICE}.
  spaces/catalog.yaml:30:30  app "onlyoffice": appsOptional holds it; take it off: ${NOT_ONLYOFFICE}.`,
  ],
  [
    "apps that are to be removed from the releases, though spaces need them",
    (root) =>
      replaceIn(
        root,
        CATALOG,
        "appsOff: [survey_client]",
        "appsOff: [survey_client, theming, calendar, registration]",
      ),
    `Environment demo is not valid: 3 problems.
  spaces/catalog.yaml:29:26  app "theming": appsOff holds it, but Nextcloud does not work without it; take it off.
  spaces/catalog.yaml:29:35  app "calendar": both appsOff and apps hold it; take it off one of them.
  spaces/catalog.yaml:29:45  app "registration": both appsOff and appsOptional hold it; take it off one of them.`,
  ],
  [
    "a host whose pages nobody finds",
    (root) => {
      replaceIn(root, CATALOG, "privacy: https://host.example.org/privacy", "privacy: host.example.org");
      replaceIn(root, CATALOG, "  terms: https://host.example.org/terms\n", "");
    },
    `Environment demo is not valid: 2 problems.
  spaces/catalog.yaml:32:3  host.terms is missing; write an address such as https://example.org/legal (terms, to which everybody who makes an account agrees).
  spaces/catalog.yaml:36:12  host.privacy is "host.example.org"; write an address such as https://example.org/legal.`,
  ],
  [
    "an entry that asks for such a suite",
    (root) =>
      replaceIn(root, TENANTS_1, "office: collabora\n  wave: canary", "office: onlyoffice\n  wave: canary"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:18:11  space "lotus": office is "onlyoffice"; write collabora: ${NOT_ONLYOFFICE}.`,
  ],
  [
    "a second factor that is neither required nor left out",
    (root) => replaceIn(root, TENANTS_2, "  state: suspended", "  twoFactor: optional\n  state: suspended"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:17:14  space "zinnia": twoFactor is "optional"; write required.`,
  ],
  [
    "suspended without a reason",
    (root) => replaceIn(root, TENANTS_2, "  reason: its board asked for it\n", ""),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:10:3  space "zinnia": reason is missing; write text such as its board asked for it (why; visitors do not see it).`,
  ],
  [
    "suspended without a valid date",
    (root) => replaceIn(root, TENANTS_2, "since: 2026-10-12", "since: last week"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:19:10  space "zinnia": since is "last week"; write a date such as 2026-11-30.`,
  ],
  [
    "active with a reason",
    (root) => replaceIn(root, TENANTS_1, /state: active\n$/, "state: active\n  reason: none\n"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:21:11  space "lotus": reason is "none"; remove it, or write state: suspended.`,
  ],
  [
    "a state that does not exist",
    (root) => replaceIn(root, TENANTS_2, "state: suspended", "state: deleted"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:17:10  space "zinnia": state is "deleted"; write one of active, suspended, archived.`,
  ],
  [
    "exports that expire before the live data goes",
    (root) => replaceIn(root, CONFIGURATION, "exportDays: 365", "exportDays: 30"),
    `Environment demo is not valid: 1 problem.
  Pulumi.demo.yaml:26:77  storage.retention: exportDays is 30, and the live data of an archived space goes after 30 days (archive.graceDays of spaces/catalog.yaml); write more than 30.`,
  ],
  [
    "more storage promised than there is room for",
    (root) => replaceIn(root, CATALOG, "storageGb: 40", "storageGb: 4000"),
    `Environment demo is not valid: 1 problem.
  Pulumi.demo.yaml:28:18  storage: spaces are promised 8.61 TB, but 0.12 TB is the most (0.12 TB usable × commitRatio 1); archive spaces, add storage servers, or raise commitRatio if measured use allows.`,
  ],
  [
    "secrets that do not exist or never rotate",
    (root) =>
      replaceIn(
        root,
        CONFIGURATION,
        "generations: {}",
        "generations: { zinnia/s3: 2, postgres/superusr: 2, web-1/tls: 2, lotus/nextcloud-secret: 2 }",
      ),
    `Environment demo is not valid: 2 problems.
  Pulumi.demo.yaml:69:62  generations.postgres/superusr: names no secret that rotates; did you mean postgres/superuser?
  Pulumi.demo.yaml:69:103  generations.lotus/nextcloud-secret: names no secret that rotates; write one of lotus/postgres, lotus/redis, lotus/s3.`,
  ],
  [
    "secrets of a space that does not exist",
    (root) => replaceIn(root, CONFIGURATION, "generations: {}", "generations: { lotus/s3: 2, zinia/s3: 2 }"),
    `Environment demo is not valid: 1 problem.
  Pulumi.demo.yaml:69:52  generations.zinia/s3: no space has the id "zinia"; did you mean "zinnia"?`,
  ],
  [
    "YAML that does not parse; other entries are still checked",
    (root) => {
      replaceIn(root, TENANTS_1, "name: Collectif Lotus", 'name: "Collectif Lotus');
      replaceIn(root, TENANTS_2, /plan: standard/, "plan: huge");
    },
    `Environment demo is not valid: 2 problems.
  spaces/tenants/demo/001.yaml:14:9  entry 2: a quote opens here and never closes; close it.
  spaces/tenants/demo/002.yaml:14:9  space "zinnia": plan is "huge"; write one of small, standard.`,
  ],
  [
    "a key twice in an entry",
    (root) => replaceIn(root, TENANTS_1, "plan: small", "plan: small\n  plan: standard"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/001.yaml:18:3  entry 2: \`plan\` is written twice in one entry; keep one.`,
  ],
  [
    "anchors and aliases",
    (root) =>
      replaceIn(
        root,
        TENANTS_1,
        "name: Collectif Lotus\n  kind: collective",
        "name: &name Lotus\n  kind: *name",
      ),
    `Environment demo is not valid: 2 problems.
  spaces/tenants/demo/001.yaml:14:15  entry 2: anchor &name; write the value where it is used, or in quotes if it begins with \`&\`.
  spaces/tenants/demo/001.yaml:15:9  entry 2: alias *name; write the value itself, in quotes if it begins with \`*\`.`,
  ],
  [
    "a file that is not UTF-8",
    (root) => writeFileSync(join(root, TENANTS_2), Buffer.from("- id: jasmin\n  name: L'été\n", "latin1")),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:2:11  byte 0xe9 is not UTF-8; save the file as UTF-8 (iconv -f latin1 -t utf-8 FILE).`,
  ],
  [
    "an empty file",
    (root) => writeFileSync(join(root, TENANTS_2), ""),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:1:1  the file is empty; write its content, or delete it.`,
  ],
  [
    "a file with only comments",
    (root) => writeFileSync(join(root, TENANTS_2), "# none yet\n"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:1:1  the file has no entry; add one with \`npm run space -- add\`, or write \`[]\`.`,
  ],
  [
    "a file that is not a list",
    (root) => writeFileSync(join(root, TENANTS_2), "spaces:\n  - id: jasmin\n"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/002.yaml:1:1  the file is no list of spaces; begin each entry with \`- id: …\` in the first column.`,
  ],
  [
    "a file under another name",
    (root) => writeFileSync(join(root, "spaces/tenants/demo/new.yml"), "[]\n"),
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/new.yml:1:1  this is no tenants file; name it by three digits, such as 002.yaml.`,
  ],
  [
    "a link, wherever it leads",
    (root) => {
      symlinkSync("/etc/passwd", join(root, "spaces/tenants/demo/003.yaml"));
      symlinkSync("nowhere", join(root, "spaces/tenants/demo/004.yaml"));
    },
    `Environment demo is not valid: 2 problems.
  spaces/tenants/demo/003.yaml:1:1  this is a link or a folder; write a file.
  spaces/tenants/demo/004.yaml:1:1  this is a link or a folder; write a file.`,
  ],
  [
    "more than 100 entries in a file",
    (root) => {
      const ids = Array.from({ length: 101 }, (_, index) => `group-${1000 + index}`);
      const entry = (id: string) =>
        `- id: ${id}\n  name: Group\n  kind: union\n  contact: contact@${id}.example\n  plan: small\n  office: collabora\n  wave: main\n  state: active\n`;
      writeFileSync(join(root, "spaces/tenants/demo/003.yaml"), ids.map(entry).join(""));
      replaceIn(root, CONFIGURATION, "driveTerabytes: 0.02", "driveTerabytes: 16");
    },
    `Environment demo is not valid: 1 problem.
  spaces/tenants/demo/003.yaml:801:7  space "group-1100": the file has 101 entries; keep at most 100: \`npm run space -- add\` finds a file with room.`,
  ],
  [
    "a wave on a release with the state leaving",
    (root) => replaceIn(root, CATALOG, "early: 34.0.4", "early: 33.0.9"),
    `Environment demo is not valid: 1 problem.
  spaces/catalog.yaml:19:10  wave "early": release is "33.0.9"; write 34.0.4.`,
  ],
  [
    "a catalog with wrong types",
    (root) =>
      replaceIn(
        root,
        CATALOG,
        "standard: { storageGb: 40, accounts: 50 }",
        "standard: { storageGB: 40, accounts: many }",
      ),
    `Environment demo is not valid: 2 problems.
  spaces/catalog.yaml:3:15  unknown key \`storageGB\`; did you mean \`storageGb\`?
  spaces/catalog.yaml:3:40  plans.standard.accounts is "many"; write a whole number, at least 1.`,
  ],
  [
    "no configuration",
    (root) => rmSync(join(root, CONFIGURATION)),
    `Environment demo is not valid: 1 problem.
  Pulumi.demo.yaml:1:1  the file is missing: the environments here are none; docs/deploy.md makes a new one.`,
  ],
  [
    "no master secret",
    (root) => replaceIn(root, CONFIGURATION, /  framaspace:masterSecret:\n.*\n/, ""),
    `Environment demo is not valid: 1 problem.
  Pulumi.demo.yaml:2:3  framaspace:masterSecret is missing; run \`openssl rand -base64 48 | npx pulumi config set --secret framaspace:masterSecret --config-file Pulumi.demo.yaml --stack demo-platform\`.`,
  ],
  [
    "a master secret in plain text, which is not repeated",
    (root) =>
      replaceIn(
        root,
        CONFIGURATION,
        /(framaspace:masterSecret:)\n.*\n/,
        "framaspace:masterSecret: hunter2\n",
      ),
    `Environment demo is not valid: 1 problem.
  Pulumi.demo.yaml:74:28  framaspace:masterSecret is in the clear; run \`openssl rand -base64 48 | npx pulumi config set --secret framaspace:masterSecret --config-file Pulumi.demo.yaml --stack demo-platform\`.`,
  ],
  [
    "four servers in a site that needs five",
    (root) => replaceIn(root, CONFIGURATION, / {10}- name: storage-a5\n(?: {12}.*\n)*/, ""),
    `Environment demo is not valid: 1 problem.
  Pulumi.demo.yaml:39:11  storage.sites.primary.servers: 4 servers; write 5, as storage.pools says.`,
  ],
  [
    "the same drive twice",
    (root) => replaceIn(root, CONFIGURATION, "[disk-21, disk-22]", "[disk-21, disk-12]"),
    `Environment demo is not valid: 1 problem.
  Pulumi.demo.yaml:46:31  storage.sites.primary.servers[1].drives[1]: drive disk-12 is already listed for storage-a1; write storage-a2's own.`,
  ],
];

/** What a person writes as a name, in the second entry; and what check says, with its column. */
const MISREAD: [written: string, said: string][] = [
  [
    "name: Collectif #StopPollution",
    '19  space "lotus": `#` begins a comment, so name is read as "Collectif"; put the whole text in quotes, or the comment on a line of its own.',
  ],
  [
    "name: #StopPollution",
    '9  space "lotus": `#` begins a comment, so name is read as nothing; put the whole text in quotes, or the comment on a line of its own.',
  ],
  ["name: Les amis\n    du lotus", '9  space "lotus": name takes several lines; write it on one.'],
  ['name: "Les amis\n    du lotus"', '9  space "lotus": name takes several lines; write it on one.'],
  ["name: >\n    Les amis", '9  space "lotus": name takes several lines; write it on one.'],
  [
    "name: !!str Lotus",
    '9  space "lotus": name has the tag !!str; remove it, or put the whole text in quotes.',
  ],
  ["name: ! Lotus", '9  space "lotus": name has the tag !; remove it, or put the whole text in quotes.'],
  ["name: !Lotus", "9  entry 2: text begins with a sign that has a meaning in YAML; put it in quotes."],
  ["name: @lotus", "9  entry 2: text begins with a sign that has a meaning in YAML; put it in quotes."],
  ["name: - lotus", "9  entry 2: text begins with a sign that has a meaning in YAML; put it in quotes."],
  ["name: ? lotus", "9  entry 2: text begins with a sign that has a meaning in YAML; put it in quotes."],
  ["name: 'L'Amicale'", "12  entry 2: text goes on after its closing quote; put the whole in double quotes."],
  [
    "name: [Lotus] amis",
    "17  entry 2: text goes on after its closing bracket; put the whole in double quotes.",
  ],
  ["name: Lotus: amis", "9  entry 2: text holds `: `; put it in quotes."],
  ["name: 1e3", '9  space "lotus": name is 1000; write text in quotes, such as "Les Amis du Lotus".'],
  ["name: 0x1F", '9  space "lotus": name is 31; write text in quotes, such as "Les Amis du Lotus".'],
  ["name: null", '9  space "lotus": name is empty; write text such as Les Amis du Lotus.'],
  ["name: true", '9  space "lotus": name is true; write text in quotes, such as "Les Amis du Lotus".'],
];

test.each(MISREAD)("what YAML reads otherwise than people do is said: %s", (written, said) => {
  const root = copyFleet();
  replaceIn(root, TENANTS_1, "name: Collectif Lotus", written);
  expect(reportFleet(loadFleet(root, "demo"))).toBe(
    `Environment demo is not valid: 1 problem.\n  spaces/tenants/demo/001.yaml:14:${said}`,
  );
});

test.each([
  "yes",
  "no",
  "on",
  "2026-01-01",
  "12:30:45",
  "L'Amicale",
  "C++",
  '"Collectif #Stop"',
  '"a" # note',
])("a name that YAML reads as it stands is taken: %s", (written) => {
  const root = copyFleet();
  replaceIn(root, TENANTS_1, "name: Collectif Lotus", `name: ${written}`);
  const { problems, tenantsFiles } = loadFleet(root, "demo");
  expect(problems).toEqual([]);
  expect(tenantsFiles[0]?.entries[1]?.name).toBe(written.replaceAll(/"| # note/g, ""));
});

test("a fault besides a comment is said as well", () => {
  const root = copyFleet();
  replaceIn(root, TENANTS_1, "plan: small", "plan: small # later more\n  size: 3");
  expect(reportFleet(loadFleet(root, "demo"))).toContain("is not valid: 2 problems.");
});

describe("refuses, with this report:", () => {
  test.each(REFUSALS)("%s", (_title, breakIt, expected) => {
    const root = copyFleet();
    breakIt(root);
    const fleet = loadFleet(root, "demo");
    expect(reportFleet(fleet)).toBe(expected);
    expect(() => assertValid(fleet)).toThrow(new UserError(expected));
  });
});

test("reports every problem of every file at once, in file order", () => {
  const root = copyFleet();
  replaceIn(root, TENANTS_2, "plan: small", "plan: tiny");
  replaceIn(root, TENANTS_1, "id: lotus", "id: www");
  replaceIn(root, CONFIGURATION, "commitRatio: 1", "commitRatio: -1");
  expect(loadFleet(root, "demo").problems).toHaveLength(3);
  expect(reportFleet(loadFleet(root, "demo")).match(/[\w./]+:\d+:\d+/g)).toEqual([
    "Pulumi.demo.yaml:28:18",
    "spaces/tenants/demo/001.yaml:13:7",
    "spaces/tenants/demo/002.yaml:5:9",
  ]);
});

test("accepts a file with an empty list, so that its stack can remove the last space", () => {
  const root = copyFleet();
  writeFileSync(join(root, TENANTS_2), "# All gone.\n\n[]\n");
  expect(loadFleet(root, "demo").problems).toEqual([]);
});
