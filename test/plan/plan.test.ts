// Plans of a small repository. Each plan runs as people run it: as a process, against a commit.
import { execa } from "execa";
import { execFileSync } from "node:child_process";
import {
  cpSync,
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
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { secret } from "../../evaluate/graph.ts";
import { describeDifferences } from "../../plan/differences.ts";
import { block, code } from "../../plan/markdown.ts";
import { scriptParts } from "../../plan/script-text.ts";
import { record } from "../../evaluate/recorder.ts";
import { commandOf } from "../support/platform-graph.ts";
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

function startPlan(...args: string[]) {
  return execa(process.execPath, [join(REPOSITORY, "bin/plan.ts"), "--root", root, ...args], {
    env: { TMPDIR: temporary },
    all: true,
    reject: false,
  });
}

async function plan(...args: string[]): Promise<{ status: number | undefined; text: string }> {
  const { exitCode, all } = await startPlan(...args);
  return { status: exitCode, text: all };
}

/** The text under a heading. */
function under(text: string, heading: string): string {
  const start = text.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`no heading "${heading}" in:\n${text}`);
  return (
    text
      .slice(start + heading.length + 2)
      .split(/\n#+ /)[0]
      ?.trim() ?? ""
  );
}

describe("npm run plan", { timeout: 60_000 }, () => {
  test("without a change, every section says so and no stack is evaluated", async () => {
    edit(TENANTS, /^# Spaces/m, "# The spaces");
    const { status, text } = await plan();
    expect(status).toBe(0);
    expect(text.split("\n").filter((line) => line.startsWith("#"))).toMatchInlineSnapshot(`
      [
        "# What this change does",
        "## Spaces of prod",
        "### Added",
        "### Changed",
        "### Suspended or resumed",
        "### Archived, removed or moved",
        "### What all spaces share",
        "### Resources of spaces",
        "## Platform of prod",
        "### Configuration",
        "### Added",
        "### Changed",
        "### Replaced",
        "### Deleted",
        "## Storage and cost of prod",
      ]
    `);
    expect(under(text, "### Archived, removed or moved")).toBe("No space is archived, removed or moved.");
    expect(text).toContain("Spaces: 0 to add, 0 to change, 0 to remove; 12 spaces before.");
    expect(text).toContain("Evaluated 0 of 4 stacks");
    expect(readdirSync(temporary)).toEqual([]);
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
    const { status, text } = await plan();
    expect(status).toBe(0);
    const added = under(text, "### Added");
    expect(added).toContain("``A|B <img src=x> @all `x` [l](https://evil.example)`` (association)");
    expect(added).toContain("will answer at `https://aaa-first.");
    expect(under(text, "### Changed")).toBe(
      "- 📝 `chorale-a-tue-tete`: plan `small` → `standard` (40 GB, 50 accounts).",
    );
    expect(under(text, "### Suspended or resumed").split("\n")).toEqual([
      "- ⏸️ `amap-du-vallon` is suspended since 2026-11-20: its visitors see a notice, and its data stays. Reason: `asked for it`.",
      "- ▶️ `cine-plein-air` is active again, with the data that it had.",
    ]);
    expect(under(text, "### Resources of spaces")).toContain("- ➕ database added: `aaa-first-database`");
    expect(under(text, "## Storage and cost of prod")).toMatch(
      /active and suspended spaces +\| +11 \| +12 \|/,
    );
    expect(text).toContain(
      "Spaces: 1 to add, 3 to change, 0 to remove; 12 spaces before. Resources: 6 to create, 4 to update,",
    );
    expect(text).toContain("Evaluated 1 of 4 stacks");
  });

  test("refuses to remove the entry of an active space, or to move an entry to another file", async () => {
    edit(TENANTS, /^- id: amap-du-vallon\n(?: .*\n)+\n/m, "");
    const moved = /^- id: atelier-velo\n(?: .*\n)+/m;
    const [entry = ""] = moved.exec(readFileSync(join(root, TENANTS), "utf8")) ?? [];
    edit(TENANTS, moved, "");
    writeFileSync(join(root, "spaces/tenants/prod/002.yaml"), entry);
    const { status, text } = await plan();
    expect(status).toBe(2);
    const dangers = under(text, "## ⛔ This would destroy data: do not merge it").split("\n");
    expect(dangers).toHaveLength(2);
    expect(dangers[0]).toContain(
      "space `amap-du-vallon` is active, and removing its entry would destroy its data. Put the entry back.",
    );
    expect(dangers[1]).toContain(
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
    const { status, text } = await plan();
    expect(status).toBe(2);
    expect(under(text, "## ⛔ Too many spaces at once: do not merge it")).toBe(
      "- prod: too many spaces suspended, archived or removed: 33.33 % is over 30.00 % (4/12). Check whether a file was lost or overwritten. If it is intended, split it into several changes, or let an administrator plan it with `npm run plan -- --allow-many`.",
    );
    expect((await plan("--allow-many")).status).toBe(0);
  });

  test("allows to remove the entry of an archived space", async () => {
    edit(TENANTS, /(?<=id: cine-plein-air\n[^]*?)state: suspended/, "state: archived");
    git("commit", "--quiet", "--all", "--message", "archive");
    edit(TENANTS, /^- id: cine-plein-air\n(?: .*\n)+\n/m, "");
    const { status, text } = await plan("--base", "HEAD");
    git("reset", "--quiet", "--hard", "HEAD~1");
    expect(status).toBe(0);
    expect(under(text, "### Archived, removed or moved")).toBe(
      "- ❌ `cine-plein-air`: its entry is removed. The space is archived, so nothing is lost.",
    );
  });

  test("for one more machine and one more line of a script, names files, lines and cost", async () => {
    edit(CONFIGURATION, /web: \{ ?type: ccx33, count: 2 ?\}/, "web: { type: ccx33, count: 3 }");
    edit("infra/machine/base.sh", /^finish$/m, "echo 'a line more'\nfinish");
    const { status, text } = await plan();
    expect(status).toBe(0);
    expect(under(text, "### Configuration")).toBe("- `framaspace:machines › web › count`: `2` → `3`");
    expect(text).toMatch(/➕ server: `web-3`/);
    const changed = text.slice(text.indexOf("## Platform of prod"));
    expect(changed).toContain("+echo 'a line more'");
    expect(changed).toContain("`file /etc/hosts`");
    expect(changed).toContain("+10.0.20.3 web-3");
    expect(text).toMatch(/cost per month +\| +1,904 EUR \| +1,966 EUR/);
  });

  test("refuses to replace machines that hold data, and says which and why", async () => {
    edit(CONFIGURATION, /location: fsn1/, "location: nbg1");
    const { status, text } = await plan();
    expect(status).toBe(2);
    const dangers = under(text, "## ⛔ This would destroy data: do not merge it");
    for (const machine of ["postgres-1", "postgres-2", "logs-1", "ops-1"])
      expect(dangers).toContain(
        `server \`${machine}\` of prod-platform would be replaced, because \`location\` cannot be changed in place`,
      );
    expect(dangers).not.toContain("web-1");
    expect(text).toContain("⚠️ **holds data**");
  });

  test("an invalid change gives the text of check, and nothing else", async () => {
    edit(TENANTS, /plan: small/, "plan: huge");
    const { status, text } = await plan();
    expect(status).toBe(1);
    expect(text).toContain(reportFleet(loadFleet(root, "prod")));
    expect(text).not.toContain("## Spaces");
  });

  test("refuses an unknown base and an unknown environment", async () => {
    expect(await plan("--base", "--output=x")).toEqual({
      status: 1,
      text: expect.stringContaining("--base"),
    });
    expect(await plan("--base=--output=x")).toEqual({
      status: 1,
      text: 'git knows no commit "--output=x"; write a branch, a tag or a commit after --base.',
    });
    expect(await plan("--environment", "prd")).toEqual({
      status: 1,
      text: 'there is no environment "prd"; write one of lab, prod after --environment.',
    });
  });

  test("a killed plan leaves no folder, or the next plan removes it", async () => {
    edit("infra/inventory/names.ts", /^\/\//m, "// Changed.\n//");
    const left: number[] = [];
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const running = startPlan();
      await expect.poll(() => readdirSync(temporary), { timeout: 20_000 }).toHaveLength(1);
      running.kill(signal);
      await running;
      left.push(readdirSync(temporary).length);
    }
    git("checkout", "--quiet", ".");
    await plan();
    left.push(readdirSync(temporary).length);
    expect(left).toEqual([0, 1, 0]);
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
  const graph = await record({ stack: "prod-platform" });
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
