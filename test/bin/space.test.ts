import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderEntry } from "../../spaces/fleet/edit.ts";
import { CONFIGURATION, copyFleet, replaceIn, TENANTS_1, TENANTS_2 } from "../support/fleet-fixture.ts";
import { runCommand, startCommand } from "../support/commands.ts";

const run = (root: string, verb: string, ...args: string[]) =>
  runCommand("space", verb, ...args, "--env", "demo", "--root", root);
const read = (root: string, file: string) => readFileSync(join(root, file), "utf8");

test("add, as people run it, inserts into a file with room, and says what it did", async () => {
  const root = copyFleet();
  const before = read(root, TENANTS_2);
  const args = ["add", "--id", "kiwi", "--name", "Kiwi", "--plan", "small", "--env", "demo", "--root", root];
  const { status, text } = await startCommand({}, "space", ...args);
  expect(text).toBe(`Added space "kiwi" to ${TENANTS_2}, line 10:

  - id: kiwi
    name: Kiwi
    kind: association
    contact: admin@example.org
    plan: small
    office: collabora
    wave: main
    state: active

By default: --kind association --office collabora --wave main --contact admin@example.org

Next, see what it will do, then open a pull request:
  npm run plan
  git switch -c add-the-space-kiwi
  git add ${TENANTS_2}
  git commit -m "Add the space kiwi"`);
  expect(status).toBe(0);
  const [jasmin, zinnia] = before.split("\n\n");
  expect(read(root, TENANTS_2).split("\n\n")).toEqual([
    jasmin,
    expect.stringContaining("- id: kiwi\n"),
    zinnia,
  ]);
});

test("add opens a new file when all are full", async () => {
  const root = copyFleet();
  replaceIn(root, CONFIGURATION, "driveTerabytes: 0.02", "driveTerabytes: 16");
  const fill = (prefix: string) =>
    Array.from({ length: 100 }, (_, index) =>
      renderEntry({
        id: `${prefix}-${1000 + index}`,
        name: prefix,
        kind: "union",
        contact: "contact@group.example",
        plan: "small",
        office: "collabora",
        wave: "main",
      }),
    ).join("");
  writeFileSync(join(root, TENANTS_1), fill("aster"));
  writeFileSync(join(root, TENANTS_2), fill("basil"));
  const { status } = await run(root, "add", "--id", "kiwi", "--name", "Kiwi");
  expect(status).toBe(0);
  const [made = "", ...others] = globSync("spaces/tenants/demo/*", {
    cwd: root,
    exclude: [TENANTS_1, TENANTS_2],
  });
  expect(others).toEqual([]);
  expect(read(root, made)).toContain("\n- id: kiwi\n  name: Kiwi\n");
});

test.each([
  [
    "a duplicate",
    ["--id", "lotus"],
    "id is already used in spaces/tenants/demo/001.yaml:13; choose another.",
  ],
  ["a reserved id", ["--id", "www"], 'id is "www"; it is reserved; choose another.'],
  ["an unknown wave", ["--id", "kiwi", "--wave", "mian"], 'wave is "mian"; did you mean "main"?'],
  [
    "no mail address",
    ["--id", "kiwi", "--contact", "kiwi"],
    'contact is "kiwi"; write a mail address such as contact@example.org.',
  ],
  [
    "a name of two lines",
    ["--id", "kiwi", "--name", "Ki\nwi"],
    'name is "Ki\\nwi"; write one line of visible characters, without spaces around it.',
  ],
])("add refuses %s as check does, and changes nothing", async (_title, args, what) => {
  const root = copyFleet();
  const before = [TENANTS_1, TENANTS_2].map((file) => read(root, file));
  const { status, text } = await run(root, "add", "--name", "Kiwi", ...args);
  expect(status).toBe(1);
  expect(text).toContain(what);
  expect(text).toMatch(/\nNothing was changed\.$/);
  expect([TENANTS_1, TENANTS_2].map((file) => read(root, file))).toEqual(before);
  expect(existsSync(join(root, "spaces/tenants/demo/003.yaml"))).toBe(false);
});

test("a space's whole way out, and back half-way", async () => {
  const root = copyFleet();
  const original = read(root, TENANTS_1);
  const steps: [string, ...string[]][] = [
    ["suspend", "lotus", "--reason", "asked: by its board", "--since", "2026-11-01"],
    ["resume", "lotus"],
  ];
  for (const [verb, ...args] of steps) expect((await run(root, verb, ...args)).status).toBe(0);
  expect(read(root, TENANTS_1)).toBe(original);

  for (const [verb, ...args] of [steps[0]!, ["archive", "lotus", "--since", "2026-12-01"] as const])
    expect((await run(root, verb, ...args)).status).toBe(0);
  expect(read(root, TENANTS_1)).toBe(
    original.replace(
      /state: active\n$/,
      'state: archived\n  reason: "asked: by its board"\n  since: 2026-12-01\n',
    ),
  );
  expect((await run(root, "remove", "lotus")).status).toBe(0);
  expect(read(root, TENANTS_1)).toBe(original.slice(0, original.indexOf("\n# Asked for")));
});

test.each([
  [
    "remove",
    ["lotus"],
    'Space "lotus": it is active, and only archived spaces may be removed; run `npm run space -- suspend lotus --reason …` first.',
  ],
  [
    "suspend",
    ["lotis", "--reason", "none"],
    'There is no space "lotis" in spaces/tenants/demo; did you mean "lotus"?',
  ],
])("%s refuses what makes no sense", async (verb, args, text) => {
  const root = copyFleet();
  expect(await run(root, verb, ...args)).toEqual({ status: 1, text });
});
