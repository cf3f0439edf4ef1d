// What runs after a file on a machine has changed: `file` and `on_change` of lib.sh, with a folder in place of the
// machine.
import { execa } from "execa";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { libIn } from "../../support/fakes.ts";

let machine: string;

beforeEach(() => {
  machine = mkdtempSync(join(tmpdir(), "framaspace-on-change-"));
  onTestFinished(() => rmSync(machine, { recursive: true }));
});

/**
 * Runs a role that writes one unit, for which two commands wait. Each command writes its name into `did`.
 * @param content Of the unit.
 * @returns What this run did.
 */
async function run(content: string) {
  writeFileSync(join(machine, "did"), "");
  const input = `${libIn(machine)}
reload() { echo reload >>${machine}/did; }
restart() { [ ! -e ${machine}/refuses ] || return 1; echo restart >>${machine}/did; }
file ${machine}/units/x.service 0644 "$(id -un):$(id -gn)" <<<'${content}'
on_change '${machine}/other/* ${machine}/units/*' reload
on_change '${machine}/units/x*' restart
finish`;
  const { exitCode, stdout } = await execa("bash", ["-s", "--", "infra/role/install.sh"], {
    input,
    reject: false,
  });
  return { exitCode, stdout, did: readFileSync(join(machine, "did"), "utf8").trim().split("\n").join(" ") };
}

test("runs every command that waits for a file once", async () => {
  expect(await run("1")).toMatchObject({ exitCode: 0, did: "reload restart" });
  expect(await run("1")).toMatchObject({ exitCode: 0, did: "", stdout: "changed: 0" });
  expect(await run("2")).toMatchObject({ exitCode: 0, did: "reload restart" });
});

test("after a failed run, the next run does only what is missing", async () => {
  writeFileSync(join(machine, "refuses"), "");
  expect(await run("1")).toMatchObject({ exitCode: 1, did: "reload" });
  expect(await run("1")).toMatchObject({ exitCode: 1, did: "" });
  rmSync(join(machine, "refuses"));
  expect(await run("1")).toMatchObject({ exitCode: 0, did: "restart", stdout: "changed: 0" });
  expect(existsSync(join(machine, "units/x.service"))).toBe(true);
});

test("a file that changes again before the next run reaches all commands", async () => {
  writeFileSync(join(machine, "refuses"), "");
  expect(await run("1")).toMatchObject({ exitCode: 1, did: "reload" });
  rmSync(join(machine, "refuses"));
  expect(await run("2")).toMatchObject({ exitCode: 0, did: "reload restart" });
});
