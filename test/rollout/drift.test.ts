// A look for drift over a fake of the CLI, with fakes of PostgreSQL and MinIO.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { readStackConfiguration } from "../../evaluate/stack-configuration.ts";
import { Authority } from "../../infra/pki/certificates.ts";
import { Secrets } from "../../infra/pki/secrets.ts";
import { Backend } from "../../rollout/backend.ts";
import { drift } from "../../rollout/drift.ts";
import { gateFile } from "../../spaces/gated-pulumi/gate.ts";
import { servicesOf } from "../../spaces/gated-pulumi/services.ts";
import { exampleEnvironment } from "../support/example-environment.ts";
import { FakeBackend } from "../support/fake-backend.ts";
import {
  closeServices,
  serveMinio,
  servePostgresql,
  serveProxy,
  type FakeMinio,
} from "../support/space-services.ts";

const ROOT = join(import.meta.dirname, "../..");
const STACKS = ["prod-platform", "prod-spaces-998"];
const environment = exampleEnvironment("prod");
const logs = mkdtempSync(join(tmpdir(), "framaspace-test-"));
let minio: FakeMinio;
let certificate: string;
let proxy: string;

beforeAll(async () => {
  const { values } = await readStackConfiguration(join(ROOT, "Pulumi.prod.yaml"), "example");
  const secrets = new Secrets(values["framaspace:masterSecret"] ?? "", "prod", environment.generations);
  const authority = new Authority(secrets, environment.certificates);
  certificate = await authority.root();
  const [postgresql, storage] = servicesOf(environment);
  minio = await serveMinio(authority, storage?.host);
  const port = await proxyPort({
    [`${postgresql?.host}:${postgresql?.port}`]: await servePostgresql(),
    [`${storage?.host}:${storage?.port}`]: minio.port,
  });
  proxy = `socks5://127.0.0.1:${port}`;
});
const proxyPort = (ports: Record<string, number>) => serveProxy(ports);
afterAll(() => {
  closeServices();
  rmSync(logs, { recursive: true });
});

let printed: string[];
beforeEach(() => {
  printed = [];
  minio.health = 200;
  vi.stubEnv("ALL_PROXY", proxy);
  vi.spyOn(console, "log").mockImplementation((text: string) => void printed.push(text));
  return () => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  };
});

const run = (fakes: FakeBackend) =>
  drift({
    backend: new Backend(
      { root: ROOT, configFile: join(ROOT, "Pulumi.prod.yaml"), cli: fakes.cli },
      join(logs, "applied.json"),
    ),
    stacks: STACKS,
    way: {
      environmentName: "prod",
      environment,
      certificate,
      assertTakesWrites: async () => {},
      close: async () => {},
    },
    atOnce: 2,
    logs,
    signal: new AbortController().signal,
  });

test("nothing differs: status 0; each stack is looked at without writing, and without a lock", async () => {
  const fakes = new FakeBackend();
  expect(await run(fakes)).toBe(0);
  expect(printed).toEqual(["2 stacks: 0 differ, 0 could not be looked at."]);
  expect(fakes.calls).toHaveLength(2);
  for (const call of fakes.calls) expect(call).toMatch(/^refresh --stack \S+ .* --preview-only/);
  expect(existsSync(join(ROOT, gateFile(STACKS[1] ?? "")))).toBe(false);
});

test("names what is gone or changed, and what brings it back: status 2", async () => {
  const fakes = new FakeBackend();
  const step = (op: string, name: string, diffs: string[] = []) =>
    JSON.stringify({
      resOutputsEvent: {
        metadata: {
          op,
          urn: `urn:pulumi:x::framaspace::t::${name}`,
          type: "hcloud:index/server:Server",
          diffs,
        },
      },
    });
  fakes.write(
    "prod-platform",
    "drift",
    `${step("same", "web-1")}\n${step("delete", "web-2")}\n${step("update", "web-3", ["labels"])}\n`,
  );
  expect(await run(fakes)).toBe(2);
  expect(printed).toEqual([
    `prod-platform:
  web-2 (hcloud:index/server:Server) is gone
  web-3 (hcloud:index/server:Server) is changed: labels
2 stacks: 1 differ, 0 could not be looked at.
To make it again as it is declared:
  npm run pulumi -- refresh --stack prod-platform
  npm run rollout -- --env prod`,
  ]);
});

test("a stack that cannot be looked at is no stack without drift: status 1", async () => {
  const fakes = new FakeBackend();
  fakes.write("prod-spaces-998", "unreadable", "");
  expect(await run(fakes)).toBe(1);
  expect(printed.join()).toContain("prod-spaces-998 could not be looked at:\n  error: no luck");
});

test("if MinIO fails meanwhile, what it holds is not called gone", async () => {
  const fakes = new FakeBackend();
  minio.health = 503;
  await expect(run(fakes)).rejects.toThrow("too few of its drives are there");
  expect(fakes.calls).toEqual([]);
  minio.health = 200;
  const running = run(fakes);
  onTestFinished(() => void (minio.health = 200));
  await vi.waitFor(() => expect(fakes.calls.length).toBeGreaterThan(0), { interval: 5 });
  minio.health = 503;
  await expect(running).rejects.toThrow("too few of its drives are there");
  expect(printed).toEqual([]);
});
