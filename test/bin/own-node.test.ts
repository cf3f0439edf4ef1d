// A program whose Node does not run TypeScript, as an old one on PATH: `pulumi` takes that one.
import { execa } from "execa";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fake } from "../support/fakes.ts";

let root: string;
const run = (...options: string[]) =>
  execa(
    process.execPath,
    [...options, "--require", join(root, "bin/own-node.cjs"), join(root, "program.cjs"), "one", "2 3"],
    {
      reject: false,
    },
  );

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framaspace-node-"));
  mkdirSync(join(root, "bin"));
  copyFileSync("bin/own-node.cjs", join(root, "bin/own-node.cjs"));
  writeFileSync(join(root, "program.cjs"), "console.log('the Node on PATH runs', process.argv.slice(2))");
});
afterEach(() => rmSync(root, { recursive: true }));

test("one that does runs it", async () =>
  expect(await run()).toMatchObject({ exitCode: 0, stdout: "the Node on PATH runs [ 'one', '2 3' ]" }));

test("gives way to the project's own, with its words, output and status", async () => {
  mkdirSync(join(root, "node_modules/node/bin"), { recursive: true });
  fake(join(root, "node_modules/node/bin/node"), 'printf "<%s>" "${@: -3}"; exit 32');
  const { exitCode, stdout } = await run("--no-experimental-strip-types");
  expect(stdout).toBe(`<${join(root, "program.cjs")}><one><2 3>`);
  expect(exitCode).toBe(32);
});

test("says what to run where that is not there", async () => {
  const { exitCode, stdout, stderr } = await run("--no-experimental-strip-types");
  expect([exitCode, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("does not run TypeScript; run npm ci, which brings one that does.");
});
