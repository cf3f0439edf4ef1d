// What `npm run pulumi` hands to the CLI, which a fake plays; and that docs/ have people type it.
import { execaSync } from "execa";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readCommandLine } from "../../spaces/gated-pulumi/command-line.ts";
import { fake } from "../support/fakes.ts";

const ROOT = join(import.meta.dirname, "../..");

test(
  "npm run pulumi calls the CLI with the words for the stack, and ends as it does",
  { timeout: 60_000 },
  () => {
    const bin = mkdtempSync(join(tmpdir(), "pulumi-"));
    onTestFinished(() => rmSync(bin, { recursive: true }));
    fake(join(bin, "pulumi"), 'printf "%s\\n" "$@"; exit 7');
    const { exitCode, stdout } = execaSync(
      process.execPath,
      [join(ROOT, "bin/pulumi.ts"), "up", "--stack", "prod-platform"],
      { env: { PATH: `${bin}:${process.env.PATH}` }, reject: false },
    );
    expect(exitCode).toBe(7);
    expect(stdout.split("\n")).toEqual(readCommandLine(["up", "--stack", "prod-platform"]).words);
  },
);

test("pages have people type npm run pulumi, which knows what each stack needs", () => {
  const pages = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`);
  const typed = ["README.md", ...pages].flatMap((page) =>
    [...readFileSync(join(ROOT, page), "utf8").matchAll(/^```sh.*\n([^]*?)^```$/gm)].flatMap(
      ([, block = ""]) =>
        block
          .split("\n")
          .filter((line) => /\bpulumi\b(?: --)? +(?:up|preview|refresh|destroy)\b/.test(line))
          .map((line) => ({ page, line })),
    ),
  );
  expect(typed.length).toBeGreaterThan(10);
  expect(typed.filter(({ line }) => !line.startsWith("npm run pulumi -- "))).toEqual([]);
});
