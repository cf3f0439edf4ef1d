// A rollout over a fake of the CLI, with a program that costs nothing. test/lab/rollout.test.ts has the Pulumi CLI.
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { Backend } from "../../rollout/backend.ts";
import { rollout, type RolloutOptions } from "../../rollout/rollout.ts";
import { loadFleet } from "../../spaces/fleet/load-fleet.ts";
import { FakeBackend } from "../support/fake-backend.ts";
import { makeFleetProject, tenantsFile } from "../support/fleet-project.ts";

const root = mkdtempSync(join(tmpdir(), "framaspace-test-"));
beforeAll(() => makeFleetProject(root, 4, 2));
afterAll(() => rmSync(root, { recursive: true }));

/** The second file has the canary space. */
const ORDER = ["prod-platform", "prod-spaces-002", "prod-spaces-001", "prod-spaces-003", "prod-spaces-004"];

let printed: string[];
beforeEach(() => {
  vi.stubEnv("PULUMI_CONFIG_PASSPHRASE", "example");
  printed = [];
  vi.spyOn(console, "log").mockImplementation((text: string) => void printed.push(text));
  return () => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  };
});
const text = () => printed.join("\n");

function run(fakes: FakeBackend, options: Partial<RolloutOptions> = {}): Promise<boolean> {
  const project = { root, configFile: join(root, "Pulumi.prod.yaml"), cli: fakes.cli };
  return rollout({
    backend: new Backend(project, join(fakes.folder, "applied.json")),
    fleet: loadFleet(root, "prod"),
    atOnce: 1,
    stopAtPercent: 0,
    all: false,
    dryRun: false,
    logs: fakes.folder,
    open: async () => ({ close: async () => {} }),
    look: async () => [],
    signal: new AbortController().signal,
    ...options,
  });
}

test("applies the platform, the canary's stack, the others; and nothing the next time", async () => {
  const fakes = new FakeBackend();
  expect(await run(fakes)).toBe(true);
  expect(fakes.applied).toEqual(ORDER);
  expect(text()).toContain("5 stacks done, 0 unchanged.");
  fakes.forgetCalls();
  expect(await run(fakes)).toBe(true);
  expect(fakes.applied).toEqual([]);
  expect(text()).toContain("Nothing to apply in prod: 5 stacks unchanged.");
});

test("applies a stack whose entries changed, and one whose state somebody else wrote", async () => {
  const fakes = new FakeBackend();
  await run(fakes);
  fakes.forgetCalls();
  const file = join(root, tenantsFile(3));
  const before = readFileSync(file, "utf8");
  onTestFinished(() => writeFileSync(file, before));
  writeFileSync(file, before.replace("name: Association 3 1", "name: Trois"));
  fakes.touch("prod-spaces-004");
  expect(await run(fakes, { dryRun: true })).toBe(true);
  expect(fakes.applied).toEqual([]);
  expect(text()).toMatch(/prod-spaces-003 {2}changed\n {2}prod-spaces-004 {2}its state was written at 2/);
  expect(await run(fakes)).toBe(true);
  expect(fakes.applied).toEqual(["prod-spaces-003", "prod-spaces-004"]);
});

test("a comment changes nothing, and --all applies all", async () => {
  const fakes = new FakeBackend();
  await run(fakes);
  fakes.forgetCalls();
  const file = join(root, tenantsFile(1));
  const before = readFileSync(file, "utf8");
  onTestFinished(() => writeFileSync(file, before));
  writeFileSync(file, `# A comment\n${before}`);
  expect(await run(fakes)).toBe(true);
  expect(fakes.applied).toEqual([]);
  expect(await run(fakes, { all: true })).toBe(true);
  expect(fakes.applied).toEqual(ORDER);
});

test("a stack whose files change while it is applied is applied once more", async () => {
  const fakes = new FakeBackend();
  await run(fakes);
  fakes.forgetCalls();
  const file = join(root, tenantsFile(3));
  const before = readFileSync(file, "utf8");
  onTestFinished(() => writeFileSync(file, before));
  writeFileSync(file, before.replace("name: Association 3 1", "name: Trois"));
  fakes.slowDown(0.4);
  const running = run(fakes);
  await vi.waitFor(() => expect(fakes.applied).toEqual(["prod-spaces-003"]), {
    timeout: 10_000,
    interval: 20,
  });
  writeFileSync(file, before.replace("name: Association 3 1", "name: Drei"));
  expect(await running).toBe(true);
  expect(text()).toContain("prod-spaces-003: its files changed meanwhile");
  fakes.forgetCalls();
  await run(fakes);
  expect(fakes.applied).toEqual(["prod-spaces-003"]);
});

describe("if something fails", () => {
  test("of the first stack of spaces, nothing else is begun; the same command continues", async () => {
    const fakes = new FakeBackend();
    fakes.break("prod-spaces-002", "no room for lotus", { once: true });
    expect(await run(fakes)).toBe(false);
    expect(fakes.applied).toEqual(ORDER.slice(0, 2));
    expect(text()).toContain("prod-spaces-002 failed:\n  lotus: no room for lotus");
    expect(text()).toContain("3 not begun: prod-spaces-001, prod-spaces-003, prod-spaces-004");
    expect(text()).toContain("To continue: npm run rollout -- --env prod");
    fakes.forgetCalls();
    expect(await run(fakes)).toBe(true);
    expect(fakes.applied).toEqual(ORDER.slice(1));
  });

  test("of the others, it stops at a share", async () => {
    const fakes = new FakeBackend();
    fakes.break("prod-spaces-001", "no luck");
    fakes.break("prod-spaces-003", "no luck");
    expect(await run(fakes, { stopAtPercent: 25 })).toBe(false);
    expect(fakes.applied).toEqual(ORDER.slice(0, 4));
    expect(text()).toContain("Stopped: 2 stacks failed, more than 25 %.");
    fakes.forgetCalls();
    expect(await run(fakes, { stopAtPercent: 100 })).toBe(false);
    expect(fakes.applied).toEqual(["prod-spaces-001", "prod-spaces-003", "prod-spaces-004"]);
    expect(text()).toContain("1 stack done, 2 unchanged.\n2 failed: prod-spaces-001, prod-spaces-003");
  });

  test("of the look at canary spaces, nothing else is begun", async () => {
    const fakes = new FakeBackend();
    const asked: string[] = [];
    const look = async (ids: readonly string[]) => {
      asked.push(...ids);
      return ["space space-002-000: web-1 answers an upload with 413"];
    };
    expect(await run(fakes, { look })).toBe(false);
    expect(asked).toEqual(["space-002-000"]);
    expect(fakes.applied).toEqual(ORDER.slice(0, 2));
    expect(text()).toContain("web-1 answers an upload with 413");
  });
});

describe("a stack that is locked", () => {
  test("by an up that is dead is unlocked", async () => {
    const fakes = new FakeBackend();
    // No process has this number: it is above the kernel's limit.
    fakes.lock("prod-spaces-001", 2 ** 22 + 1, hostname());
    expect(await run(fakes)).toBe(true);
    expect(fakes.calls).toContain("cancel --yes --stack prod-spaces-001 --non-interactive");
    expect(text()).toContain("prod-spaces-001: removed the lock of an up that is dead (process 4194305)");
  });

  test("by an up that runs is waited for", async () => {
    const fakes = new FakeBackend();
    // The kernel names a process after its file.
    const program = join(fakes.folder, "pulumi-up");
    copyFileSync("/bin/sleep", program);
    const other = spawn(program, ["2"]);
    other.once("exit", () => rmSync(join(fakes.folder, "prod-platform/lock"), { force: true }));
    fakes.lock("prod-platform", other.pid!, hostname());
    expect(await run(fakes)).toBe(true);
    expect(fakes.calls.filter((call) => call.startsWith("cancel"))).toEqual([]);
    expect(text()).toContain(`prod-platform: waiting for another up of this stack (process ${other.pid})`);
  });

  test("from another machine is left alone, and the message says what to type", async () => {
    const fakes = new FakeBackend();
    fakes.lock("prod-spaces-002", 1234, "another");
    expect(await run(fakes)).toBe(false);
    expect(fakes.calls.filter((call) => call.startsWith("cancel"))).toEqual([]);
    expect(text()).toContain(
      "prod-spaces-002 is locked by root@another (process 1234) since 2026-11-29T01:00:00.000Z. If that process is gone: pulumi cancel --stack prod-spaces-002 --yes",
    );
  });
});

test("asked to stop, it finishes what is under way and begins nothing else", async () => {
  const fakes = new FakeBackend();
  fakes.slowDown(0.5);
  const stopping = new AbortController();
  const running = run(fakes, { signal: stopping.signal });
  await vi.waitFor(() => expect(fakes.applied).toHaveLength(2), { timeout: 10_000, interval: 20 });
  stopping.abort();
  expect(await running).toBe(false);
  expect(fakes.applied).toEqual(ORDER.slice(0, 2));
  expect(text()).toContain("Stopped: it was asked to stop.");
});

test("what an earlier up made is taken over only where the program plans its id", async () => {
  const fakes = new FakeBackend();
  fakes.break("prod-platform", 'role "lotus" already exists');
  expect(await run(fakes)).toBe(false);
  expect(text()).toContain(
    "the id is not planned. Find it, and take it over: docs/runbooks/interrupted-up.md",
  );
});
