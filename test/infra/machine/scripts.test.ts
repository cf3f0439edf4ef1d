// Everything that machines run as root, as they receive it.
import { execaSync } from "execa";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { renderScript } from "../../../infra/machine/remote.ts";
import { graphOf } from "../../support/platform-graph.ts";

interface Rendered {
  name: string;
  create: string;
  script: string;
}

/** The plain text of an input, secret or not. */
function plain(value: unknown): string {
  if (typeof value === "object" && value !== null && "value" in value) return plain(value.value);
  return typeof value === "string" ? value : "";
}

/** The scripts that a stack sends to machines. */
async function scriptsOf(stack: string): Promise<Rendered[]> {
  const { resources } = await graphOf(stack);
  return resources
    .filter(({ type }) => type === "command:remote:Command")
    .map(({ name, inputs }) => ({ name, create: plain(inputs.create), script: plain(inputs.stdin) }))
    .filter(({ create }) => create.startsWith("bash -s -- "));
}

/** What bash says of scripts that it cannot read. One process starts it for all of them: a start takes this one longer. */
function faultsIn(scripts: readonly Pick<Rendered, "name" | "script">[]): string {
  const folder = mkdtempSync(join(tmpdir(), "framaspace-scripts-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const { name, script } of scripts) writeFileSync(join(folder, name), script);
  const check = 'for script in *; do bash -n "$script"; done; true';
  return execaSync("bash", ["-c", check], { cwd: folder, all: true }).all;
}

describe.each(["lab-platform", "prod-platform"])("of %s", async (stack) => {
  const scripts = await scriptsOf(stack);

  it("are there", () => {
    expect(scripts.length).toBeGreaterThan(8);
  });

  it.each(scripts)("$name runs only after all of it has arrived", ({ create, script }) => {
    expect(create).toMatch(/^bash -s -- infra\/[a-z]+\/[a-z-]+\.sh$/);
    expect(script.startsWith("{\n")).toBe(true);
    expect(script.endsWith("\n} </dev/null\nexit\n")).toBe(true);
  });

  it("are bash", () => {
    expect(faultsIn(scripts)).toBe("");
    expect(faultsIn([...scripts, { name: "web-1-slip", script: "if true" }])).toMatch(
      /^web-1-slip: .* syntax error/,
    );
  });
});

it("a script that is cut short runs nothing", () => {
  const script = renderScript("infra/ops/install.sh", { MACHINE: "ops-1", PACKAGES: [] }, []);
  for (const share of [0.25, 0.5, 0.75, 0.99]) {
    const cut = `echo began >&2\n${script.slice(0, Math.floor(script.length * share))}`;
    const { stdout, exitCode } = execaSync("bash", ["-s", "--", "x"], { input: cut, reject: false });
    expect(stdout).toBe("");
    expect(exitCode).not.toBe(0);
  }
});
