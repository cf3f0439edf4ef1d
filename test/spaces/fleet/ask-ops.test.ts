// What `npm run space` makes of ops-1's answers, by a fake of ssh.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { isExportName, restoreSpace } from "../../../spaces/fleet/ask-ops.ts";
import { runCommand, startCommand } from "../../support/commands.ts";
import { fake } from "../../support/fakes.ts";
import { copyFleet, replaceIn, TENANTS_1 } from "../../support/fleet-fixture.ts";

const IRIS = {
  id: "iris",
  state: "active",
  flags: "",
  release: "34.0.4",
  accounts: 7,
  bytes: 1.25 * 2 ** 30,
  limits: { accounts: 50, storageBytes: 40 * 2 ** 30 },
  lastActivity: "2026-11-01T10:00:00Z",
  lastExport: { export: "iris/20261030T000000Z", at: "2026-10-30T00:00:00Z" },
  archived: null,
  unfinished: null,
};
const LOTUS = {
  ...IRIS,
  id: "lotus",
  state: "archived",
  flags: "maintenance",
  accounts: null,
  bytes: null,
  lastActivity: null,
  lastExport: null,
  archived: { dropped: "2026-11-02" },
  unfinished: "web-2 is unreachable",
};
const LINES = [IRIS, LOTUS].map((space) => JSON.stringify(space)).join("\n");

const place = (root: string) => ["--env", "demo", "--root", root];

/** Puts a fake of ssh into a folder, and the folder on PATH. The result is PATH. */
function fakeSsh(root: string, ssh: string): string {
  fake(join(root, "ssh"), `printf '%s\\n' "$*" >${root}/called\n${ssh}`);
  return `${root}:${process.env.PATH}`;
}

/** `npm run space` in a copy of the fleet, with what ssh does; and the words that ssh was called with. */
async function ask(ssh: string, root: string, verb: string, ...words: string[]) {
  vi.stubEnv("PATH", fakeSsh(root, ssh));
  onTestFinished(() => void vi.unstubAllEnvs());
  const { status, text } = await runCommand("space", verb, ...words, ...place(root));
  return { status, text, called: () => readFileSync(join(root, "called"), "utf8").trim() };
}

test("list is a table, with what is unfinished under it", async () => {
  const { status, text, called } = await ask(`echo '${LINES}'`, copyFleet(), "list", "--fresh");
  expect([status, text]).toEqual([
    0,
    `id     state                                          release  accounts  storage        last activity  last export
iris   active                                         34.0.4   7 of 50   1.25 of 40 GB  2026-11-01     2026-10-30
lotus  archived, dropped, in maintenance, unfinished  34.0.4   ? of 50   ? of 40 GB     never          none

2 spaces.

Unfinished, and tried again by itself:
  lotus: web-2 is unreachable`,
  ]);
  expect(called()).toMatch(/^-o ConnectTimeout=10 root@\S+ list-spaces --fresh$/);
});

test("list --json is what ops-1 says", async () => {
  expect((await ask(`echo '${LINES}'`, copyFleet(), "list", "--json")).text).toBe(LINES);
});

test("show is the entry and what the machines have", async () => {
  const { status, text, called } = await ask(`echo '${JSON.stringify(IRIS)}'`, copyFleet(), "show", "lotus");
  expect(status).toBe(0);
  expect(text).toMatch(new RegExp(`^${TENANTS_1}, line 13:\n\n  - id: lotus\n`));
  expect(text).toContain('\n\nOn the machines:\n\n  {\n    "id": "iris",\n');
  expect(called()).toMatch(/ list-spaces lotus$/);
});

test("ssh that does not reach ops-1", async () => {
  const { status, text } = await ask("exit 255", copyFleet(), "export", "lotus");
  expect(status).toBe(1);
  expect(text).toMatch(/^ops-1 cannot be reached \(ssh -o ConnectTimeout=10 root@\S+\)\.$/);
});

test("a program of ops-1 that fails: what it says goes straight to the terminal", async () => {
  const root = copyFleet();
  const PATH = fakeSsh(root, "echo 'no room' >&2; exit 1");
  expect(await startCommand({ PATH }, "space", "export", "lotus", ...place(root))).toEqual({
    status: 1,
    text: "no room\nexport-space failed on ops-1; what it says stands above.",
  });
});

test("restore goes into a space that is out of service alone", async () => {
  const root = copyFleet();
  const { status, text } = await ask("exit 0", root, "restore", "lotus", "iris");
  expect([status, text]).toEqual([
    1,
    'Space "lotus" is in service, and restoring onto it would overwrite what it holds. Into a new space: npm run space -- add --id …, then suspend, up, and restore <new id> iris.',
  ]);
  replaceIn(root, TENANTS_1, /state: active\n$/, "state: suspended\n  reason: moves\n  since: 2026-11-01\n");
  const restored = await ask("echo restored", root, "restore", "lotus", "iris/20261030T000000Z");
  expect([restored.status, restored.text]).toEqual([0, "restored"]);
  expect(restored.called()).toMatch(/ restore-space lotus iris\/20261030T000000Z$/);
});

test.each(["iris; reboot", "$(id)", "iris/today", "Iris", ""])(
  "%j goes into no command line",
  async (name) => {
    expect(isExportName(name)).toBe(false);
    const options = {
      root: copyFleet(),
      env: "demo",
      lab: "lab",
      sshToLab: () => Promise.resolve(["false"]),
    };
    await expect(restoreSpace("zinnia", name, options)).rejects.toThrow("is no export; write a space's id");
  },
);
