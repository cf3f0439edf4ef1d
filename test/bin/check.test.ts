import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CATALOG, CONFIGURATION, copyFleet, replaceIn, TENANTS_2 } from "../support/fleet-fixture.ts";
import { runCommand, startCommand } from "../support/commands.ts";

const withoutTime = (text: string) => text.replace(/ +\d+\.\d s/, " N s");

test("a valid fleet passes", async () => {
  const { status, text } = await runCommand("check", "tenants", "--root", copyFleet());
  expect([status, withoutTime(text)]).toEqual([0, "✔ tenants N s  demo 4 spaces"]);
});

test("problems are reported as everywhere else, with exit status 1, also as people run it", async () => {
  const root = copyFleet();
  replaceIn(root, TENANTS_2, "plan: standard", "plan: huge");
  const { status, text } = await startCommand({}, "check", "tenants", "--root", root);
  expect([status, withoutTime(text)]).toEqual([
    1,
    `✘ tenants N s  failed
Environment demo is not valid: 1 problem.
  ${TENANTS_2}:14:9  space "zinnia": plan is "huge"; write one of small, standard.`,
  ]);
});

test("what has no checksum yet is no fault, and is named with its place", async () => {
  const root = copyFleet();
  replaceIn(root, CONFIGURATION, /\n +sha256: "b+"/, "");
  replaceIn(root, CATALOG, /\n +url: .*34\.0\.4\.tar\.zst\n +sha256: .*/, "");
  const { status, text } = await runCommand("check", "tenants", "--root", root);
  expect([status, withoutTime(text)]).toEqual([
    0,
    `✔ tenants N s  demo 4 spaces
  ${CONFIGURATION}:33:7  storage.mc: has no checksum yet, so no machine installs it; \`npm run release -- pin mc\` checks it, and writes its checksum.
  ${CATALOG}:14:5  release 34.0.4: has no archive yet, so no machine installs it; \`npm run release -- build 34.0.4\` makes it, and writes its address and checksum.`,
  ]);
});

test.each([
  [
    "zeros",
    (root: string) => replaceIn(root, CATALOG, /"d+"/, `"${"0".repeat(64)}"`),
    /sha256 is "0{40}0*…; write the 64 hexadecimal digits/,
  ],
  [
    "an address alone",
    (root: string) => replaceIn(root, CATALOG, /\n +sha256: "d+"/, ""),
    /no sha256; write both/,
  ],
  [
    "a checksum alone",
    (root: string) => replaceIn(root, CATALOG, /\n +url: .*34\.0\.4.*/, ""),
    /no url; write both/,
  ],
])("%s in place of what is pinned is a fault", async (_, change, said) => {
  const root = copyFleet();
  change(root);
  const { status, text } = await runCommand("check", "tenants", "--root", root);
  expect([status, text]).toEqual([1, expect.stringMatching(said)]);
});

test("a stale editors' schema, or a broken one, is a failure", async () => {
  const root = copyFleet();
  writeFileSync(join(root, "spaces/tenants.schema.json"), "{");
  const { status, text } = await runCommand("check", "tenants", "--root", root);
  expect([status, text.split("\n")[1]]).toEqual([
    1,
    "spaces/tenants.schema.json is not what the catalog and the code say; run `npm run space -- schema`.",
  ]);
});

test("a part that does not exist", async () => {
  const { status, text } = await runCommand("check", "tenant");
  expect([status, text]).toEqual([
    1,
    '"tenant" is no part of check; write one of tenants, types, lint, format, shell, or nothing for all.',
  ]);
});
