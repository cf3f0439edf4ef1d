// Plans of a small repository against its commit: in this process, and some as people run them.
import { execa } from "execa";
import { execFileSync } from "node:child_process";
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { secret } from "../../evaluate/graph.ts";
import { describeDifferences } from "../../plan/differences.ts";
import { block, code } from "../../plan/markdown.ts";
import { plan, planText, type PlanOptions } from "../../plan/plan.ts";
import { scriptParts } from "../../plan/script-text.ts";
import { commandOf, prodPlatform } from "../support/platform-graph.ts";
import { loadFleet } from "../../spaces/fleet/load-fleet.ts";
import { reportFleet } from "../../spaces/fleet/fleet.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const TENANTS = "spaces/tenants/prod/001.yaml";
const CONFIGURATION = "Pulumi.prod.yaml";
const folder = mkdtempSync(join(tmpdir(), "framaspace-test-"));
const root = join(folder, "repository");
/** A temporary folder for the plans alone, so that the test sees what they leave behind. */
const temporary = join(folder, "tmp");

function git(...args: string[]): void {
  const author = ["-c", "user.name=test", "-c", "user.email=test@framaspace.example"];
  execFileSync("git", [...author, ...args], { cwd: root, stdio: "pipe" });
}

beforeAll(() => {
  mkdirSync(temporary);
  const files = execFileSync("git", ["ls-files", "*.ts", "*.yaml", "package.json", "infra", "spaces"], {
    cwd: REPOSITORY,
    encoding: "utf8",
  });
  for (const file of files
    .trim()
    .split("\n")
    .filter((name) => !/^(test|evaluate|plan|check|review|lab|bench|bin|policies)\//.test(name))) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    cpSync(join(REPOSITORY, file), join(root, file));
  }
  symlinkSync(join(REPOSITORY, "node_modules"), join(root, "node_modules"));
  writeFileSync(join(root, ".gitignore"), "node_modules\n");
  execFileSync("git", ["init", "--quiet", "--initial-branch=main", root]);
  git("add", "--all");
  git("commit", "--quiet", "--message", "base");
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  git("checkout", "--quiet", ".");
  git("clean", "--quiet", "--force", "-d");
});

/** Replaces one text in a file of the work tree. Throws if the text is not there. */
function edit(file: string, from: string | RegExp, to: string): void {
  const before = readFileSync(join(root, file), "utf8");
  const after = before.replace(from, () => to);
  if (after === before) throw new Error(`${file} does not hold ${String(from)}`);
  writeFileSync(join(root, file), after);
}

/** `npm run plan` in a process of its own. */
function startPlan(...args: string[]) {
  return execa(process.execPath, [join(REPOSITORY, "bin/plan.ts"), "--root", root, ...args], {
    env: { TMPDIR: temporary },
    all: true,
    reject: false,
  });
}

/** Its status and all that it prints. */
async function runPlan(...args: string[]): Promise<{ status: number | undefined; text: string }> {
  const { exitCode, all } = await startPlan(...args);
  return { status: exitCode, text: all };
}

/** The same in this process, with all details. */
async function planned(options: Omit<PlanOptions, "root"> = {}): Promise<{ status: number; text: string }> {
  vi.stubEnv("TMPDIR", temporary);
  onTestFinished(() => void vi.unstubAllEnvs());
  const all = await plan({ root, ...options });
  expect(readdirSync(temporary)).toEqual([]);
  return { status: all.status, text: planText(all) };
}

/** The lines of a folded section. */
function folded(text: string, title: string): string {
  const start = text.indexOf(`<summary>${title}`);
  if (start < 0) throw new Error(`no section "${title}" in:\n${text}`);
  return text.slice(start, text.indexOf("\n</details>", start)).split("\n").slice(2).join("\n").trim();
}

/** The list right below the title. */
function dangers(text: string): string[] {
  return text.split("\n\n")[1]?.split("\n") ?? [];
}

describe("npm run plan", { timeout: 60_000 }, () => {
  test("without a change, one line says so and no stack is evaluated", async () => {
    edit(TENANTS, /^# Spaces/m, "# The spaces");
    const { status, text } = await runPlan("--environment", "prod", "--details");
    expect(status).toBe(0);
    expect(text).toContain("It is valid. Merging it changes nothing that is declared here.");
    expect(text).toContain("Nothing else changes in prod: no space is archived,");
    expect(folded(text, "What was compared")).toContain("Evaluated 0 of 4 stacks");
    expect(folded(text, "What was compared")).toContain("12 spaces before.");
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("says what a changed contact and a changed name do to the space", async () => {
    edit(TENANTS, /(?<=id: chorale-a-tue-tete\n[^]*?)contact: .*/, "contact: bureau@chorale.example");
    edit(TENANTS, /(?<=id: chorale-a-tue-tete\n[^]*?)name: .*/, "name: La Chorale");
    const { status, text } = await planned();
    expect(status).toBe(0);
    expect(text).toContain("→ `La Chorale` (the space's title, unless the space has set another)");
    expect(text).toContain(
      "→ `bureau@chorale.example` (a new invitation, if the first administrator has never logged in; else no account changes)",
    );
  });

  test("describes added, changed, suspended and resumed spaces; no name breaks a sentence", async () => {
    const evil = "A|B <img src=x> @all `x` [l](https://evil.example)";
    edit(
      TENANTS,
      /^- id: /m,
      `- id: aaa-first\n  name: '${evil}'\n  kind: association\n  contact: info@aaa.example\n  plan: standard\n  office: collabora\n  wave: main\n  state: active\n\n- id: `,
    );
    edit(
      TENANTS,
      /(?<=id: amap-du-vallon\n[^]*?)state: active/,
      "state: suspended\n  reason: asked for it\n  since: 2026-11-20",
    );
    edit(TENANTS, /(?<=id: chorale-a-tue-tete\n[^]*?)plan: small/, "plan: standard");
    edit(TENANTS, /(?<=id: cine-plein-air\n[^]*?)state: suspended\n.*\n.*\n/, "state: active\n");
    const { status, text } = await planned();
    expect(status).toBe(0);
    expect(text).toContain(
      "adds 1 space, changes 3 spaces, creates 6 resources of spaces and updates 4 resources of spaces.",
    );
    expect(text.slice(text.indexOf("## In prod"), text.indexOf("- **Storage"))).toBe(`## In prod

- ⏸️ \`amap-du-vallon\`: suspended, since 2026-11-20. Reason: \`asked for it\`. Visitors see a notice; the data stays.
- ▶️ \`cine-plein-air\`: active again, with the data as it was.
- ➕ \`aaa-first\`: \`\`A|B <img src=x> @all \`x\` [l](https://evil.example)\`\` (association), at \`https://aaa-first.example.org\`
  - plan standard: 40 GB for 50 accounts
  - office suite collabora; Nextcloud 34.0.4 (wave main)
  - invited as its first administrator: \`info@aaa.example\`
- 📝 \`chorale-a-tue-tete\`: \`plan\` \`small\` → \`standard\` (40 GB, 50 accounts).

`);
    expect(folded(text, "Resources of spaces of prod")).toContain(
      "- ➕ database added: `aaa-first-database`",
    );
    expect(folded(text, "Storage and cost of prod")).toMatch(/active and suspended spaces +\| +11 \| +12 \|/);
    expect(folded(text, "What was compared")).toContain("Evaluated 1 of 4 stacks");
  });

  test("refuses to remove the entry of an active space, or to move an entry to another file", async () => {
    edit(TENANTS, /^- id: amap-du-vallon\n(?: .*\n)+\n/m, "");
    const moved = /^- id: atelier-velo\n(?: .*\n)+/m;
    const [entry = ""] = moved.exec(readFileSync(join(root, TENANTS), "utf8")) ?? [];
    edit(TENANTS, moved, "");
    writeFileSync(join(root, "spaces/tenants/prod/002.yaml"), entry);
    const { status, text } = await runPlan();
    expect(status).toBe(2);
    expect(text).toMatch(/^# ⛔ Do not merge this: it would destroy data\n/);
    const found = dangers(text);
    expect(found).toHaveLength(2);
    expect(found[0]).toContain(
      "space `amap-du-vallon` is active, and removing its entry would destroy its data. Put the entry back.",
    );
    expect(found[1]).toContain(
      "space `atelier-velo` moves from spaces/tenants/prod/001.yaml to spaces/tenants/prod/002.yaml",
    );
  });

  test("refuses a change of too many spaces, with their share and what to do", async () => {
    for (let n = 0; n < 4; n++)
      edit(
        TENANTS,
        /state: active\n(?!.*\n.*state)/,
        "state: suspended\n  reason: spring cleaning\n  since: 2026-11-20\n",
      );
    const { status, text } = await planned();
    expect(status).toBe(2);
    expect(text).toMatch(/^# ⛔ Do not merge this: it concerns too many spaces at once\n/);
    expect(dangers(text)).toEqual([
      "- prod: too many spaces suspended, archived or removed: 33.33 % is over 30.00 % (4/12). Check whether a file was lost or overwritten. If it is intended, split it into several changes, or let an administrator plan it with `npm run plan -- --allow-many`.",
    ]);
    expect(await runPlan("--allow-many")).toEqual({
      status: 0,
      text: expect.stringMatching(/\nAll resources, settings and spaces: npm run plan -- --details$/),
    });
  });

  test("allows to remove the entry of an archived space", async () => {
    edit(TENANTS, /(?<=id: cine-plein-air\n[^]*?)state: suspended/, "state: archived");
    git("commit", "--quiet", "--all", "--message", "archive");
    edit(TENANTS, /^- id: cine-plein-air\n(?: .*\n)+\n/m, "");
    const { status, text } = await planned({ base: "HEAD" });
    git("reset", "--quiet", "--hard", "HEAD~1");
    expect(status).toBe(0);
    expect(text).toContain(
      "\n- ❌ `cine-plein-air`: the entry is removed. The space is archived, so nothing is lost.\n",
    );
  });

  test("for one more machine and one more line of a script, names files, lines and cost", async () => {
    edit(CONFIGURATION, /web: \{ ?type: ccx33, count: 2 ?\}/, "web: { type: ccx33, count: 3 }");
    edit("infra/machine/base.sh", /^finish$/m, "echo 'a line more'\nfinish");
    const { status, text } = await planned();
    expect(status).toBe(0);
    expect(text).toContain("**Configuration:**\n\n- `framaspace:machines › web › count`: `2` → `3`\n");
    expect(text).toMatch(/➕ server added: `web-3`/);
    const changed = text.slice(text.indexOf("<summary>Platform of prod, changed in place"));
    expect(changed).toContain("+echo 'a line more'");
    expect(changed).toContain("`file /etc/hosts`");
    expect(changed).toContain("+10.0.20.3 web-3");
    expect(text).toContain(
      "- **Cost:** 1,920 → 1,982 EUR a month; 174.55 → 180.18 EUR for each of 11 spaces.",
    );
  });

  test("refuses to replace machines that hold data, and says which and why", async () => {
    edit(CONFIGURATION, /location: fsn1/, "location: nbg1");
    const { status, text } = await planned();
    expect(status).toBe(2);
    const found = dangers(text).join("\n");
    for (const machine of ["postgres-1", "postgres-2", "logs-1", "ops-1"])
      expect(found).toContain(
        `server \`${machine}\` of prod-platform would be replaced, because \`location\` cannot be changed in place`,
      );
    expect(found).not.toContain("web-1");
    expect(text).toContain("⚠️ **holds data**");
  });

  test("an invalid change gives the text of check, and nothing else", async () => {
    edit(TENANTS, /plan: small/, "plan: huge");
    const { status, text } = await runPlan();
    expect(status).toBe(1);
    expect(text).toContain(reportFleet(loadFleet(root, "prod")));
    expect(text).not.toContain("## In prod");
    expect(text).not.toContain("--details");
  });

  test("refuses an unknown base and an unknown environment", async () => {
    expect(await runPlan("--base", "--output=x")).toEqual({
      status: 1,
      text: expect.stringContaining("--base"),
    });
    expect(await runPlan("--base=--output=x")).toEqual({
      status: 1,
      text: 'git knows no commit "--output=x"; write a branch, a tag or a commit after --base.',
    });
    await expect(planned({ environments: ["prd"] })).rejects.toThrow(
      'there is no environment "prd"; write one of lab, prod after --environment.',
    );
  });

  test("a killed plan leaves no folder, or the next plan removes it", async () => {
    edit("infra/inventory/names.ts", /^\/\//m, "// Changed.\n//");
    const left: number[] = [];
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const running = startPlan();
      // The link is the last thing in the folder: nothing writes there any more.
      const isWhole = () => globSync("*/tree/node_modules", { cwd: temporary });
      await expect.poll(isWhole, { timeout: 20_000, interval: 10 }).toHaveLength(1);
      running.kill(signal);
      await running;
      left.push(readdirSync(temporary).length);
    }
    git("checkout", "--quiet", ".");
    await planned();
    expect(left).toEqual([0, 1]);
  });
});

test("any text becomes one piece of code in Markdown", () => {
  expect(code("a`b``c")).toBe("```a`b``c```");
  expect(code("`a`")).toBe("`` `a` ``");
  expect(code("a\nb\u202Ec")).toBe("`a\u{FFFD}b\u{FFFD}c`");
  expect(block("diff", ["+```", "+x"])).toEqual(["````diff", "+```", "+x", "````"]);
});

test("differences inside secrets are named, and their secret parts are hidden", () => {
  const before = secret(JSON.stringify({ limits: { storage: 40 }, password: "aB3".repeat(13) }));
  const after = secret(JSON.stringify({ limits: { storage: 50 }, password: "cD4".repeat(13) }));
  expect(describeDifferences({ stdin: before }, { stdin: after })).toEqual([
    { path: ["limits", "storage"], before: "40", after: "50" },
    { path: ["password"], before: "<hidden>", after: "<hidden>" },
  ]);
  expect(describeDifferences({ a: secret("x") }, { a: "x" })).toEqual([
    { path: ["a"], before: "secret", after: "in plain" },
  ]);
  expect(describeDifferences({ rules: [{ port: 1 }] }, { rules: [{ port: 2 }, { port: 1 }] })).toEqual([
    { path: ["rules"], patch: ['+{"port":2}'] },
  ]);
});

test("every script of the platform splits into its files and settings", async () => {
  const graph = await prodPlatform();
  const commands = graph.resources.filter(({ type }) => type === "command:remote:Command");
  expect(commands.length).toBeGreaterThan(20);
  for (const { name } of commands) {
    const { script } = commandOf(graph, name);
    const parts = scriptParts(script);
    expect(parts, name).toMatchObject({ "setting MACHINE": expect.any(String), script: expect.any(String) });
    // Nothing is lost: there is one part for each `file` line, and no such line is left in the script itself.
    expect(Object.keys(parts ?? {}).filter((part) => part.startsWith("file "))).toHaveLength(
      script.split(/^file '.*<<'END_OF_FILE_*'$/m).length - 1,
    );
  }
});
