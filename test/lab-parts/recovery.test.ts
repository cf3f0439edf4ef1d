// After a killed `up`: what is removed from the lab's cloud, and what the CLI has to take over. The cloud is the real
// endpoint; the state is a file as the CLI writes it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ask, endpointSocket } from "../../lab/hcloud/client.ts";
import { Endpoint } from "../../lab/hcloud/endpoint.ts";
import type { World } from "../../lab/hcloud/kind.ts";
import { pendingFlags, removeOrphans } from "../../lab/recovery.ts";

/** A world that does nothing: these tests need no machine. */
const nothing: World = {
  reconcile: () => Promise.resolve(),
  boot: () => Promise.resolve(),
  halt: () => Promise.resolve(),
  address: () => "203.0.113.20",
  issue: () => Promise.reject(new Error("no test asks for a certificate")),
};

let lab: { name: string; directory: string; cgroup: string };
let endpoint: Endpoint;
let server: Server;
let file: string;

beforeEach(async () => {
  const directory = mkdtempSync(join(tmpdir(), "framaspace-recovery-"));
  lab = { name: "a", directory, cgroup: "" };
  file = join(directory, "state.json");
  endpoint = new Endpoint(join(directory, "hcloud.json"), nothing);
  server = await endpoint.listen({ path: endpointSocket(lab) });
});
afterEach(async () => {
  server.close();
  await endpoint.saved();
  rmSync(lab.directory, { recursive: true });
});

interface Resource {
  urn?: string;
  type: string;
  id?: string;
  inputs?: object;
}

function writeState(resources: Resource[], pending_operations: { type: string; resource: Resource }[] = []) {
  writeFileSync(
    file,
    JSON.stringify({ version: 3, checkpoint: { latest: { resources, pending_operations } } }),
  );
}

/** Creates something in the cloud. Returns its id, as the state writes it. */
async function create(kind: string, singular: string, body: object): Promise<string> {
  const answer = (await ask(lab, "POST", kind, body)) as Record<string, { id: number }>;
  return String(answer[singular]?.id);
}

const machine = (name: string, firewalls: number[] = []) =>
  create("servers", "server", {
    name,
    server_type: "cpx22",
    image: "debian-13",
    firewalls: firewalls.map((firewall) => ({ firewall })),
  });

describe("what the cloud has and the state does not", () => {
  test("is removed, what uses another thing first; what the state knows stays", async () => {
    const kept = await machine("web-1");
    const firewall = await create("firewalls", "firewall", { name: "lost-firewall", rules: [] });
    await machine("lost-server", [Number(firewall)]);
    await create("networks", "network", { name: "lost-network", ip_range: "10.0.0.0/16" });
    writeState([{ urn: "a", type: "hcloud:index/server:Server", id: kept }]);
    expect(await removeOrphans(lab, file)).toEqual(["lost-server", "lost-firewall", "lost-network"]);
    expect(endpoint.state.servers.map(({ name }) => name)).toEqual(["web-1"]);
    expect(await removeOrphans(lab, file)).toEqual([]);
  });

  test("is not a zone that the state knows by its name", async () => {
    await create("zones", "zone", { name: "spaces.example", mode: "primary" });
    writeState([{ urn: "a", type: "hcloud:index/zone:Zone", id: "spaces.example" }]);
    expect(await removeOrphans(lab, file)).toEqual([]);
  });

  test("is not what another provider has under the same number", async () => {
    const id = await machine("web-1");
    writeState([{ urn: "a", type: "command:remote:Command", id }]);
    expect(await removeOrphans(lab, file)).toEqual(["web-1"]);
  });

  test("is everything, where the first up was killed before it wrote a state", async () => {
    await machine("web-1");
    expect(await removeOrphans(lab, file)).toEqual(["web-1"]);
  });
});

describe("what the CLI is told", () => {
  const role = (name: string) => ({
    urn: `urn:pulumi:a::b::postgresql:index/role:Role::${name}-role`,
    type: "postgresql:index/role:Role",
    inputs: { name },
  });

  test("nothing, where nothing was being created", async () => {
    writeState([], [{ type: "updating", resource: role("lotus") }]);
    expect(await pendingFlags(file)).toEqual([]);
    rmSync(file);
    expect(await pendingFlags(file)).toEqual([]);
  });

  test("to take over what has its id in its inputs, and to forget all else", async () => {
    const machine = { urn: "urn:machine", type: "hcloud:index/server:Server", inputs: { name: "web-1" } };
    const resources = [role("lotus"), machine, { ...role("iris"), inputs: {} }];
    writeState(
      [],
      resources.map((resource) => ({ type: "creating", resource })),
    );
    expect(await pendingFlags(file)).toEqual([
      "--import-pending-creates",
      role("lotus").urn,
      "--import-pending-creates",
      "lotus",
      "--clear-pending-creates",
    ]);
  });
});
