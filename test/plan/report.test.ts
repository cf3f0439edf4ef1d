// What people read of a plan, from what a plan found: without a repository and without a process.
import { join } from "node:path";
import { marked } from "marked";
import { expect, test } from "vitest";
import type { Group } from "../../plan/comparison.ts";
import { figuresOf } from "../../plan/fleet-figures.ts";
import type { EnvironmentPlan, Outcome } from "../../plan/outcome.ts";
import { planText } from "../../plan/plan.ts";
import { isDangerous, renderPlan } from "../../plan/report.ts";
import { compareSpaces } from "../../plan/space-changes.ts";
import type { Entry } from "../../spaces/fleet/entry.ts";
import { readCatalog } from "../../spaces/fleet/load-fleet.ts";
import { exampleEnvironment } from "../support/example-environment.ts";

const catalog = readCatalog(join(import.meta.dirname, "../..")).value!;
const environment = exampleEnvironment("prod");
const FILE = "spaces/tenants/prod/001.yaml";

type Active = Extract<Entry, { state: "active" }>;
const space = (id: string, more: Partial<Active> = {}): Entry => ({
  id,
  name: "Les Amis du Lotus",
  kind: "association",
  contact: "bureau@lotus.example",
  plan: "standard",
  office: "collabora",
  wave: "main",
  state: "active",
  ...more,
});
const many = (n: number, more: Partial<Active> = {}) =>
  Array.from({ length: n }, (_, i) => space(`space-${String(i).padStart(5, "0")}`, more));

/** The outcome of a change from some entries to others. */
function outcome(before: Entry[], after: Entry[], more: Partial<EnvironmentPlan> = {}): Outcome {
  const prod: EnvironmentPlan = {
    name: "prod",
    configuration: [],
    catalog: [],
    spaces: compareSpaces(new Map([[FILE, before]]), new Map([[FILE, after]])),
    promises: { domain: "example.org", catalog },
    groups: [],
    losses: [],
    unchanged: 156,
    before: figuresOf(before, catalog, environment),
    after: figuresOf(after, catalog, environment),
    existingSpaces: before.length,
    ...more,
  };
  return {
    base: { name: "main", commit: "0123456789abcdef" },
    environments: [prod],
    evaluated: 1,
    total: 4,
    leftOut: [],
    code: [],
    allowMany: true,
  };
}

/** How many lines a text takes in a window of 80 columns. */
function linesShown(text: string): number {
  return text
    .trimEnd()
    .split("\n")
    .reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / 80)), 0);
}

const group = (more: Partial<Group>): Group => ({
  kind: "create",
  type: "hcloud:index/server:Server",
  ofSpaces: false,
  stateful: false,
  differences: [],
  names: ["web-3"],
  count: 1,
  ...more,
});

test("one space added is said in 25 lines of a terminal", () => {
  const { summary } = renderPlan(
    outcome(many(11), [space("lotus"), ...many(11)], {
      groups: [group({ ofSpaces: true, names: ["lotus-role"], count: 6 })],
    }),
  );
  expect(linesShown(summary)).toBeLessThanOrEqual(25);
  expect(summary).toBe(`# What this change does

It is valid. Merging it, and running \`up\`, adds 1 space and creates 6 resources of spaces.

## In prod

- ➕ \`lotus\`: \`Les Amis du Lotus\` (association), at \`https://lotus.example.org\`
  - plan standard: 40 GB for 50 accounts
  - office suite collabora; Nextcloud 34.0.4 (wave main)
  - invited as its first administrator: \`bureau@lotus.example\`

- **Storage:** it fits. 0.472 TB → 0.515 TB promised, of 384 TB that may be: 0.1 %.
- **Cost:** 1,920 EUR a month; 174.55 → 160.00 EUR for each of 11 → 12 spaces.

Nothing else changes in prod: no space is archived, removed, moved, suspended, resumed or changed; nothing of the platform is added, changed, replaced or deleted; the catalog and the configuration stay the same.

Compared with \`main\` (0123456789ab).
`);
});

test("spaces without a pool on web servers are said before there are any", () => {
  const added = (count: number) => renderPlan(outcome(many(count), many(count + 1))).summary;
  expect(added(1599)).not.toContain("Numbers");
  expect(added(1600)).toContain(
    "- **Numbers:** 1,601 of 2,000 spaces that web servers have pools for. Raise MOST_SPACES in",
  );
});

test("without a change, one line names all that was looked at, and nothing is folded but what was compared", () => {
  const { summary, details } = renderPlan(outcome(many(3), many(3)));
  expect(summary).toContain("It is valid. Merging it changes nothing that is declared here.\n");
  expect(summary).toContain(
    "Nothing else changes in prod: no space is archived, removed, moved, suspended, resumed, added or changed; nothing of the platform is added, changed, replaced or deleted; the catalog, the configuration, storage, cost and the resources of spaces stay the same.",
  );
  expect(details.match(/<summary>.*<\/summary>/g)).toEqual(["<summary>What was compared</summary>"]);
});

test("200 spaces added are cut in the summary, and whole in the details", () => {
  const { summary, details } = renderPlan(outcome([], many(200)));
  expect(linesShown(summary)).toBeLessThanOrEqual(45);
  expect(summary).toContain(
    "- ➕ `space-00009`: `Les Amis du Lotus` (association), at `https://space-00009.example.org`, plan standard.\n- … and 190 spaces more added, in the details\n",
  );
  expect(details).toContain("<summary>Spaces of prod that are added: 200</summary>");
  expect(details).toContain("- ➕ `space-00199`: `Les Amis du Lotus` (association), at");
  expect(details).toContain("invited as its first administrator: `bureau@lotus.example`.");
});

test("5,000 spaces that change alike share a line; the details name each", () => {
  const { summary, details } = renderPlan(outcome(many(5000, { plan: "small" }), many(5000)));
  expect(linesShown(summary)).toBeLessThanOrEqual(25);
  expect(summary).toContain(
    "- 📝 `space-00000`, `space-00001`, `space-00002`, `space-00003`, `space-00004`, `space-00005` and 4,994 more: `plan` `small` → `standard` (40 GB, 50 accounts).\n",
  );
  expect(details).toContain("`space-04998`, `space-04999`: `plan` `small`");
});

test("what would destroy data comes first, cut in the summary and whole in the details", () => {
  const plan = outcome(many(30), []);
  const { summary, details } = renderPlan(plan);
  expect(isDangerous(plan)).toBe(true);
  const [title, , first] = summary.split("\n");
  expect(title).toBe("# ⛔ Do not merge this: it would destroy data");
  expect(first).toContain("- space `space-00000` is active, and removing its entry would destroy its data.");
  expect(summary).toContain("\n- … and 20 more, in the details\n");
  expect(summary).not.toContain("space `space-00010` is");
  expect(details).toContain("- space `space-00029` is active");
  const both = renderPlan({ ...plan, allowMany: false });
  expect(both.summary).toMatch(
    /^# ⛔ Do not merge this: it would destroy data, and it concerns too many spaces at once\n/,
  );
});

test("of resources, the summary has what is added, replaced and deleted; the details have what differs", () => {
  const { summary, details } = renderPlan(
    outcome([], [], {
      configuration: [{ path: ["machines", "web", "count"], before: "2", after: "3" }],
      groups: [
        group({}),
        group({
          kind: "update",
          type: "command:remote:Command",
          names: ["base-web-1"],
          count: 25,
          differences: [{ path: ["script"], patch: [" a", "+b"] }],
        }),
        group({ kind: "update", ofSpaces: true, names: ["lotus-converge"], count: 8 }),
        group({ kind: "replace", ofSpaces: true, names: ["lotus-converge"] }),
      ],
    }),
  );
  expect(summary).toContain("**Configuration:**\n\n- `machines › web › count`: `2` → `3`\n");
  expect(summary).toContain(
    "**Resources:**\n\n- ➕ server added: `web-3`\n- 📝 8 × server changed: `lotus-converge` and 7 more\n- ♻️ server replaced: `lotus-converge`\n",
  );
  expect(summary).not.toContain("base-web-1");
  expect(summary).toContain("updates 25 resources of the platform.");
  expect(details).toContain("- 📝 25 × script on a machine changed: `base-web-1` and 24 more\n");
  expect(details).toContain("  +b\n");
});

test("no text of the change leaves its place, neither in the summary nor in a folded section", async () => {
  const evil = "</details></summary> <img src=x> @all ``` `x` [l](https://evil.example)\n\n# X <b>";
  const before = [...many(3), space("twice", { name: "Old" })];
  const after = [
    ...many(3, { contact: evil }),
    ...[1, 2, 3, 4].map((n) => space(`new-${n}`, { name: evil, contact: evil })),
    { ...space("twice", { name: evil }), state: "suspended" as const, reason: evil, since: "2026-11-20" },
  ];
  const found = outcome(before, after, {
    catalog: [{ path: ["apps", evil], before: evil, after: "x" }],
    configuration: [{ path: ["mail"], patch: ["+</details>", `+${evil}`, " ```", " ````"] }],
    groups: [group({ names: [evil], differences: [{ path: [evil], patch: [`-${evil}`] }] })],
    losses: [
      { stack: "prod-platform", kind: "replace", type: "a:b:Server", name: evil, urn: evil, because: [evil] },
    ],
  });
  const text = planText(renderPlan({ ...found, code: [evil], base: { name: evil, commit: "0" } }));
  const html = await marked.parse(text);
  const outsideCode = html.replaceAll(/<code[^>]*>[^]*?<\/code>/g, "");
  expect(html).toContain("&lt;img src=x&gt;");
  expect(outsideCode).not.toMatch(/<img|evil|@all|<b>/);
  const count = (tag: string) => outsideCode.split(tag).length - 1;
  expect(count("<details>")).toBeGreaterThan(6);
  expect(count("</details>")).toBe(count("<details>"));
  expect(count("<h1>")).toBe(1);
});
