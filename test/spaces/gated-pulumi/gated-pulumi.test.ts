// `npm run pulumi` of a stack of spaces, as people type it: with fakes of PostgreSQL and MinIO behind a proxy, and of the
// Pulumi CLI on PATH.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { readStackConfiguration } from "../../../evaluate/stack-configuration.ts";
import { Authority } from "../../../infra/pki/certificates.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";
import { gateFile } from "../../../spaces/gated-pulumi/gate.ts";
import { runPulumi } from "../../../spaces/gated-pulumi/gated-pulumi.ts";
import { servicesOf } from "../../../spaces/gated-pulumi/services.ts";
import { UserError } from "../../../validation/user-error.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { FakePulumi, stateWith } from "../../support/fake-pulumi.ts";
import {
  closeServices,
  serveMinio,
  servePostgresql,
  servePostgresqlNode,
  serveProxy,
  type FakeMinio,
} from "../../support/space-services.ts";

const ROOT = join(import.meta.dirname, "../../..");
/** There is no such tenants file, so nobody else uses its gate. */
const STACK = "prod-spaces-999";
const GATE = join(ROOT, gateFile(STACK));
const BOTH = ["space-iris", "space-lotus"];

const environment = exampleEnvironment("prod");
const { values } = await readStackConfiguration(join(ROOT, "Pulumi.prod.yaml"), "example");
const secrets = () => new Secrets(values["framaspace:masterSecret"]!, "prod", environment.generations);
const services = servicesOf(environment);
const addressOf = (kind: "PostgreSQL" | "MinIO") => {
  const { host, port } = services.find((service) => service.kind === kind)!;
  return { host, address: `${host}:${port}` };
};
let minio: FakeMinio;
let postgresqlPort: number;

beforeAll(async () => {
  minio = await serveMinio(new Authority(secrets(), environment.certificates), addressOf("MinIO").host);
  minio.buckets = BOTH;
  postgresqlPort = await servePostgresql();
});
afterAll(closeServices);

test("what is asked: the PostgreSQL node that takes the writes, and the site that spaces use", () => {
  expect(services).toEqual([
    { kind: "PostgreSQL", host: "10.0.30.1", port: 5432 },
    { kind: "MinIO", host: "storage-a", port: 9000 },
  ]);
  const { storage } = environment;
  const moved = { ...environment, postgresPrimary: "postgres-2" as const };
  expect(servicesOf({ ...moved, storage: storage && { ...storage, serving: "replica" } })).toEqual([
    { kind: "PostgreSQL", host: "10.0.30.2", port: 5432 },
    { kind: "MinIO", host: "storage-b", port: 9000 },
  ]);
  expect(servicesOf({ ...environment, storage: undefined })).toHaveLength(1);
});

/** What a person has set, with a proxy that refuses what it does not know. */
async function variables(cli: FakePulumi, reachable: readonly ("PostgreSQL" | "MinIO")[]) {
  const all = { PostgreSQL: postgresqlPort, MinIO: minio.port };
  const ports = Object.fromEntries(reachable.map((kind) => [addressOf(kind).address, all[kind]]));
  return {
    PATH: `${cli.folder}:${process.env.PATH}`,
    PULUMI_CONFIG_PASSPHRASE: "example",
    ALL_PROXY: `socks5://127.0.0.1:${await serveProxy(ports)}`,
  };
}

/** The exit status, or why nothing was run. */
async function run(
  cli: FakePulumi,
  command: string,
  reachable: readonly ("PostgreSQL" | "MinIO")[] = ["PostgreSQL", "MinIO"],
): Promise<number | string> {
  for (const [name, value] of Object.entries(await variables(cli, reachable))) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  try {
    return await runPulumi([command, "--stack", STACK], readStackConfiguration);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
}

/** Notes whether the gate is open, and for which stack the program would take it as open. */
const NOTE_GATE = `echo "$FRAMASPACE_GATE $(ls ${GATE} 2>&1)" >>$FOLDER/calls;`;
const fresh = (script = "") =>
  new FakePulumi(stateWith(addressOf("MinIO").address, BOTH), `${NOTE_GATE} ${script}`);

describe("npm run pulumi of a stack of spaces", { timeout: 60_000 }, () => {
  test.each(["up", "destroy", "preview"])("%s finds the gate open, and closes it", async (command) => {
    const cli = fresh("exit 5;");
    expect(await run(cli, command)).toBe(5);
    expect(cli.calls[0]).toMatch(new RegExp(`^${command} --stack ${STACK} --config-file Pulumi.prod.yaml`));
    expect(cli.calls.slice(1)).toEqual([`${STACK} ${GATE}`]);
    expect(existsSync(GATE)).toBe(false);
  });

  test.each([
    ["PostgreSQL", ["MinIO"]],
    ["MinIO", ["PostgreSQL"]],
  ] as const)("with %s unreachable the CLI is not called, and the gate stays closed", async (kind, rest) => {
    const cli = fresh();
    expect(await run(cli, "refresh", rest)).toContain(
      `What holds the spaces' data is out of reach; nothing was changed.\n  ${kind} at ${addressOf(kind).address}: takes no connection\n`,
    );
    expect(cli.calls).toEqual([]);
    expect(existsSync(GATE)).toBe(false);
  });

  describe("after a switchover, while the configuration names the former primary", () => {
    const password = secrets().plainPassword("postgres", "superuser");
    const nodes = { "10.0.30.1": "postgres-1", "10.0.30.2": "postgres-2" };
    /** Both nodes, of which the named ones are standbys. */
    async function serveNodes(standbys: readonly string[], known = password) {
      const authority = new Authority(secrets(), environment.certificates);
      const ports = await Promise.all(
        Object.entries(nodes).map(async ([address, name]) => {
          const node = { address, password: known, standby: standbys.includes(name) };
          return [`${address}:5432`, await servePostgresqlNode(authority, node)] as const;
        }),
      );
      return Object.fromEntries(ports);
    }
    async function runWith(cli: FakePulumi, ports: Record<string, number>, command = "up") {
      const all = { ...ports, [addressOf("MinIO").address]: minio.port };
      const before = await variables(cli, []);
      vi.stubEnv("ALL_PROXY", `socks5://127.0.0.1:${await serveProxy(all)}`);
      vi.stubEnv("PATH", before.PATH);
      vi.stubEnv("PULUMI_CONFIG_PASSPHRASE", "example");
      onTestFinished(() => void vi.unstubAllEnvs());
      return runPulumi([command, "--stack", STACK], readStackConfiguration);
    }

    test.each(["up", "refresh", "destroy"])(
      "%s says which line to write, and calls no CLI",
      async (command) => {
        const cli = fresh();
        await expect(runWith(cli, await serveNodes(["postgres-1"]), command)).rejects.toThrow(
          new UserError(
            "PostgreSQL: postgres-2 takes the writes, but Pulumi.prod.yaml names no node, which means postgres-1; nothing was changed. Write in Pulumi.prod.yaml:\n  framaspace:postgresPrimary: postgres-2",
          ),
        );
        expect(cli.calls).toEqual([]);
        expect(existsSync(GATE)).toBe(false);
      },
    );

    test("with both nodes as standbys it says where to look", async () => {
      await expect(runWith(fresh(), await serveNodes(["postgres-1", "postgres-2"]))).rejects.toThrow(
        /^No PostgreSQL node takes the writes that answers: .* `postgres-cluster status` says who does/,
      );
    });

    test.each([
      ["the named node takes the writes", ["postgres-2"], password],
      ["it takes another password: the provider says so", ["postgres-1"], "another"],
    ])("nothing is refused if %s", async (_, standbys, known) => {
      const cli = fresh("exit 5;");
      expect(await runWith(cli, await serveNodes(standbys, known))).toBe(5);
    });
  });

  test("a preview asks neither", async () => {
    const cli = fresh();
    expect(await run(cli, "preview", [])).toBe(0);
    expect(cli.calls).toContain(`${STACK} ${GATE}`);
  });

  test("a refresh that was stopped by Ctrl-C is compared all the same, and the gate closed", async () => {
    const lost = stateWith(addressOf("MinIO").address, ["space-iris"]);
    const cli = fresh(`kill -INT $PPID; sleep 0.3; echo '${lost}' >$FOLDER/state; exit 255;`);
    // In a process of its own, as the signal goes to the CLI's parent.
    const { exitCode, stderr } = await execa(
      process.execPath,
      [join(ROOT, "bin/pulumi.ts"), "refresh", "--stack", STACK],
      { env: await variables(cli, ["PostgreSQL", "MinIO"]), reject: false },
    );
    expect(exitCode).toBe(1);
    expect(stderr).toContain("The refresh took 1 of 2 buckets for gone (space-lotus), but MinIO has them");
    expect(cli.state).toBe(stateWith(addressOf("MinIO").address, BOTH));
    expect(existsSync(GATE)).toBe(false);
  });
});
