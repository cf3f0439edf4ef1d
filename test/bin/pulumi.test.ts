// What `npm run pulumi` hands to the CLI, which a fake plays; and that docs/ have people type it.
import { execaSync } from "execa";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fake } from "../support/fakes.ts";

const ROOT = join(import.meta.dirname, "../..");
let bin: string;
beforeAll(() => {
  bin = mkdtempSync(join(tmpdir(), "pulumi-"));
  fake(join(bin, "pulumi"), 'printf "%s\\n" "$@"');
});
afterAll(() => rmSync(bin, { recursive: true }));

const run = (...words: string[]) =>
  execaSync(process.execPath, [join(ROOT, "bin/pulumi.ts"), ...words], {
    env: { PATH: `${bin}:${process.env.PATH}`, PULUMI_CONFIG_PASSPHRASE: "example" },
    reject: false,
  });

// Each loads the SDK again.
describe("npm run pulumi", { timeout: 60_000 }, () => {
  test.each(["up", "preview"])("%s of a platform looks first which machines are there", (command) => {
    const words = run(command, "--stack", "prod-platform").stdout.split("\n");
    expect(words.slice(0, 3)).toEqual([command, "--stack", "prod-platform"]);
    expect(words).toContain("--refresh");
    expect(words).toContain("--policy-pack=policies");
    expect(words.join(" ")).toContain("--config-file Pulumi.prod.yaml");
  });

  test("leaves that to whoever says otherwise", () => {
    const words = run("up", "--stack", "prod-platform", "--refresh=false").stdout.split("\n");
    expect(words.filter((word) => word.startsWith("--refresh"))).toEqual(["--refresh=false"]);
  });

  test("destroy of a platform is as it is", () => {
    expect(run("destroy", "--stack", "prod-platform").stdout).not.toContain("--refresh");
  });

  test("refuses to look within an up of spaces, where a bucket could be forgotten", () => {
    const { exitCode, stdout, stderr } = run("up", "--stack", "prod-spaces-001", "--refresh");
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toContain("--refresh is a step of its own for spaces");
  });
});

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
