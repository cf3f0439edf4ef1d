// The lab's Hetzner API, called over loopback as Hetzner's provider calls it: its answers, its refusals and their
// words, and what it does to the lab. The lab is a fake that records the calls.
import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLOUD } from "../../lab/applier/cloud.ts";
import type { Context } from "../../lab/applier/handler.ts";
import { endpointSocket } from "../../lab/hcloud/client.ts";
import { Endpoint } from "../../lab/hcloud/endpoint.ts";
import type { World } from "../../lab/hcloud/kind.ts";
import { createAuthority, issue } from "../../lab/lets-encrypt.ts";

/** A lab whose machines boot when a test says so. */
class FakeWorld implements World {
  /** The calls, in order. */
  readonly done: string[] = [];
  /** How each boot ends. By default it ends at once. */
  boots: () => Promise<void> = () => Promise.resolve();
  /** The highest number of changes at the same time. */
  most = 0;
  readonly #directory: string;
  #now = 0;
  #addresses = 20;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async reconcile(state: Endpoint["state"]): Promise<void> {
    this.most = Math.max(this.most, ++this.#now);
    await new Promise((resolve) => setImmediate(resolve));
    this.#now--;
    this.done.push(`reconcile ${state.servers.map(({ name }) => name).join(" ")}`.trim());
  }

  async boot(_state: unknown, id: number): Promise<void> {
    this.done.push(`boot ${id}`);
    await this.boots();
  }

  async halt(name: string): Promise<void> {
    this.done.push(`halt ${name}`);
  }

  address(): string {
    return `203.0.113.${this.#addresses++}`;
  }

  async issue(names: readonly string[]) {
    await createAuthority({ name: "a", directory: this.#directory });
    return issue({ directory: this.#directory }, names);
  }
}

let directory: string;
let world: FakeWorld;
let endpoint: Endpoint;
let server: Server;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "framaspace-hcloud-"));
  world = new FakeWorld(directory);
  await start();
});
afterEach(async () => {
  await stop();
  rmSync(directory, { recursive: true });
});

/** Starts the endpoint, with the existing document. */
async function start(): Promise<void> {
  endpoint = new Endpoint(join(directory, "hcloud.json"), world);
  server = await endpoint.listen({ host: "127.0.0.1", port: 0 });
}

/** Stops the endpoint, after the changes of its actions are written. */
async function stop(): Promise<void> {
  server.close();
  await endpoint.saved();
}

interface Action {
  id: number;
  command: string;
  status: string;
  error: { message: string } | null;
}

/** The parts of an answer that tests read. */
interface Body {
  [kind: string]: unknown;
  action?: Action;
  actions?: Action[];
  error?: { code: string; message: string };
}

async function ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: Body }> {
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/v1/${path}`, {
    method,
    headers: { authorization: "Bearer token", "content-type": "application/json" },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Body };
}

const get = (path: string) => ask("GET", path);

/** Creates something. Returns its id. */
async function create(kind: string, singular: string, body: object): Promise<number> {
  const answer = await ask("POST", kind, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  return (answer.body[singular] as { id: number }).id;
}

/** Starts an action on something. */
const act = (path: string, command: string, body: object = {}) =>
  ask("POST", `${path}/actions/${command}`, body);

/** Status and code of a refusal. */
async function refusal(asked: Promise<{ status: number; body: Body }>): Promise<string> {
  const { status, body } = await asked;
  return `${status} ${body.error?.code}`;
}

const network = () => create("networks", "network", { name: "net", ip_range: "10.0.0.0/16" });
const SERVER = { name: "web-1", server_type: "cpx22", image: "debian-13", location: "fsn1" };
const machine = (more: object = {}) => create("servers", "server", { ...SERVER, ...more });
const BALANCER = { name: "entrance", load_balancer_type: "lb11", location: "fsn1" };
const balancer = () => create("load_balancers", "load_balancer", BALANCER);

describe("what all kinds have in common", () => {
  test("one is created, found by its number and by its name, renamed and deleted", async () => {
    const id = await network();
    const named = { id, name: "net", ip_range: "10.0.0.0/16", labels: {} };
    expect((await get(`networks/${id}`)).body.network).toMatchObject(named);
    expect((await get("networks?name=net")).body.networks).toMatchObject([named]);
    const renamed = await ask("PUT", `networks/${id}`, { name: "other", labels: { a: "b" } });
    expect(renamed).toMatchObject({ status: 200, body: { network: { name: "other", labels: { a: "b" } } } });
    expect((await ask("DELETE", `networks/${id}`)).body.action).toMatchObject({ status: "success" });
    expect((await get("networks?name=other")).body.networks).toEqual([]);
  });

  test("a list is one page, and says so", async () => {
    await network();
    expect((await get("networks?page=1&per_page=50")).body.meta).toEqual({
      pagination: {
        page: 1,
        per_page: 50,
        previous_page: null,
        next_page: null,
        last_page: 1,
        total_entries: 1,
      },
    });
  });

  test.each([
    ["a number that nobody has", "GET", "networks/99", undefined, "404 not_found"],
    ["a kind that there is not", "GET", "volumes", undefined, "404 not_found"],
    [
      "a name that is taken",
      "POST",
      "networks",
      { name: "net", ip_range: "10.0.0.0/8" },
      "409 uniqueness_error",
    ],
    ["a body without what is needed", "POST", "networks", { name: "b" }, "422 invalid_input"],
    ["a body without a name", "POST", "networks", { ip_range: "10.0.0.0/8" }, "422 invalid_input"],
    ["a body that is no JSON", "POST", "networks", "{", "400 json_error"],
    ["an action that there is not", "POST", "networks/1/actions/explode", {}, "404 not_found"],
    ["a path below a thing", "GET", "networks/1/metrics", undefined, "404 not_found"],
  ])("%s is refused as Hetzner does", async (_, method, path, body, expected) => {
    await network();
    expect(await refusal(ask(method, path, body))).toBe(expected);
  });

  test("what is protected is not deleted before it no longer is", async () => {
    const id = await network();
    await act(`networks/${id}`, "change_protection", { delete: true });
    expect((await get(`networks/${id}`)).body.network).toMatchObject({ protection: { delete: true } });
    expect(await refusal(ask("DELETE", `networks/${id}`))).toBe("423 protected");
    await act(`networks/${id}`, "change_protection", { delete: false });
    expect((await ask("DELETE", `networks/${id}`)).status).toBe(200);
  });

  test("changes are made one after the other, however many ask at once", async () => {
    const names = Array.from({ length: 12 }, (_, index) => `net-${index}`);
    await Promise.all(names.map((name) => ask("POST", "networks", { name, ip_range: "10.0.0.0/16" })));
    expect(world.most).toBe(1);
    const ids = endpoint.state.networks.map(({ id }) => id);
    expect(new Set(ids).size).toBe(12);
  });

  test("what is sold is found by name: every type, and the one image", async () => {
    expect((await get("server_types?name=cpx22")).body.server_types).toMatchObject([{ name: "cpx22" }]);
    expect((await get("load_balancer_types?name=lb11")).body.load_balancer_types).toHaveLength(1);
    expect((await get("images?name=debian-13&architecture=x86")).body.images).toHaveLength(1);
    expect((await get("images?name=debian-7")).body.images).toEqual([]);
    expect((await get("locations")).body.locations).toHaveLength(3);
  });
});

describe("networks and firewalls", () => {
  test("a subnet is added, shown with the network's gateway, and deleted", async () => {
    const id = await network();
    const subnet = { type: "cloud", ip_range: "10.0.10.0/24", network_zone: "eu-central" };
    const { status, body } = await act(`networks/${id}`, "add_subnet", subnet);
    expect({ status, action: body.action }).toMatchObject({ status: 201, action: { status: "success" } });
    const shown = async () => (await get(`networks/${id}`)).body.network;
    expect(await shown()).toMatchObject({ subnets: [{ ...subnet, gateway: "10.0.0.1" }] });
    await act(`networks/${id}`, "delete_subnet", { ip_range: subnet.ip_range });
    expect(await shown()).toMatchObject({ subnets: [] });
  });

  test("a firewall answers with several actions; its rules are replaced, not added to", async () => {
    const rule = { direction: "in", protocol: "tcp", port: "22", source_ips: ["0.0.0.0/0"] };
    const made = await ask("POST", "firewalls", { name: "fw", rules: [rule] });
    const { id } = made.body.firewall as { id: number };
    expect(made.body.actions).toHaveLength(1);
    await act(`firewalls/${id}`, "set_rules", { rules: [{ ...rule, port: "80" }] });
    expect((await get(`firewalls/${id}`)).body.firewall).toMatchObject({ rules: [{ port: "80" }] });
  });

  test("a firewall that a server has is not deleted; taken off it, it is", async () => {
    const firewall = await create("firewalls", "firewall", { name: "fw", rules: [] });
    const id = await machine({ firewalls: [{ firewall }] });
    expect((await get(`firewalls/${firewall}`)).body.firewall).toMatchObject({
      applied_to: [{ type: "server", server: { id } }],
    });
    expect(await refusal(ask("DELETE", `firewalls/${firewall}`))).toBe("409 resource_in_use");
    const remove_from = [{ type: "server", server: { id } }];
    await act(`firewalls/${firewall}`, "remove_from_resources", { remove_from });
    expect((await ask("DELETE", `firewalls/${firewall}`)).status).toBe(200);
  });
});

describe("servers", () => {
  /** The state of an action, asked for in both ways that the provider uses. */
  async function poll(id: number): Promise<Action | undefined> {
    const one = (await get(`actions/${id}`)).body.action;
    const [listed] = (await get(`actions?id=${id}&page=1`)).body.actions ?? [];
    expect(listed).toEqual(one);
    return one;
  }

  test("one boots while its action runs, and is running when the action succeeds", async () => {
    let booted = () => {};
    world.boots = () => new Promise((resolve) => (booted = resolve));
    const { body } = await ask("POST", "servers", SERVER);
    const { id } = body.server as { id: number };
    expect(body).toMatchObject({
      server: { status: "initializing", public_net: { ipv4: { ip: "203.0.113.20" } } },
      action: { command: "create_server", status: "running", resources: [{ id, type: "server" }] },
      next_actions: [],
    });
    const action = body.action?.id ?? 0;
    expect(await poll(action)).toMatchObject({ status: "running", finished: null });
    // The links exist before the boot.
    expect(world.done).toEqual(["reconcile web-1", `boot ${id}`]);
    booted();
    await expect.poll(() => poll(action)).toMatchObject({ status: "success", progress: 100 });
    expect((await get(`servers/${id}`)).body.server).toMatchObject({ status: "running" });
  });

  test("a boot that fails is its action's error, in the lab's words", async () => {
    world.boots = () => Promise.reject(new Error("no SSH after a minute"));
    const { body } = await ask("POST", "servers", SERVER);
    await expect
      .poll(() => poll(body.action?.id ?? 0))
      .toMatchObject({
        status: "error",
        error: { code: "action_failed", message: "no SSH after a minute" },
      });
  });

  test("one is attached to a network at the address that is asked for, which nobody else gets", async () => {
    const net = await network();
    const [one, other] = [await machine(), await machine({ name: "web-2" })];
    await act(`servers/${one}`, "attach_to_network", { network: net, ip: "10.0.20.1" });
    expect((await get(`servers/${one}`)).body.server).toMatchObject({
      private_net: [{ network: net, ip: "10.0.20.1", alias_ips: [] }],
    });
    const attach = (id: number, body: object) => act(`servers/${id}`, "attach_to_network", body);
    const again = { network: net, ip: "10.0.20.2" };
    expect(await refusal(attach(one, again))).toBe("409 server_already_attached");
    expect(await refusal(attach(other, { network: net, ip: "10.0.20.1" }))).toBe("409 ip_not_available");
    expect(await refusal(attach(other, { network: net }))).toBe("422 invalid_input");
    expect(await refusal(attach(other, { network: 99, ip: "10.0.20.3" }))).toBe("404 not_found");
  });

  test("keys are named by number or by name, and one is there once", async () => {
    const key = { name: "deploy", public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== a" };
    const id = await create("ssh_keys", "ssh_key", key);
    expect((await get(`ssh_keys/${id}`)).body.ssh_key).toMatchObject({
      fingerprint: expect.stringMatching(/^([0-9a-f]{2}:){15}[0-9a-f]{2}$/),
    });
    expect(await refusal(ask("POST", "ssh_keys", { ...key, name: "b" }))).toBe("409 uniqueness_error");
    await machine({ ssh_keys: [String(id)], user_data: "#cloud-config" });
    await machine({ name: "web-2", ssh_keys: ["deploy"] });
    expect(endpoint.state.servers.map(({ public_keys }) => public_keys)).toEqual([
      [key.public_key],
      [key.public_key],
    ]);
    expect(await refusal(ask("POST", "servers", { ...SERVER, name: "c", ssh_keys: ["d"] }))).toBe(
      "404 not_found",
    );
    // The user data holds the host's keys.
    expect(JSON.stringify((await get("servers")).body)).not.toContain("#cloud-config");
  });

  test("one that is deleted is gone from the lab, and from the load balancer", async () => {
    const id = await machine();
    const entrance = await balancer();
    await act(`load_balancers/${entrance}`, "add_target", { type: "server", server: { id } });
    world.done.length = 0;
    await ask("DELETE", `servers/${id}`);
    expect(world.done).toEqual(["reconcile"]);
    expect((await get(`load_balancers/${entrance}`)).body.load_balancer).toMatchObject({ targets: [] });
  });

  test("one is switched off and on again", async () => {
    const id = await machine();
    await act(`servers/${id}`, "poweroff");
    await expect.poll(() => endpoint.state.servers[0]?.status).toBe("off");
    await act(`servers/${id}`, "poweron");
    await expect.poll(() => endpoint.state.servers[0]?.status).toBe("running");
    expect(world.done.filter((what) => !what.startsWith("reconcile"))).toEqual([
      `boot ${id}`,
      "halt web-1",
      `boot ${id}`,
    ]);
  });

  test("a name that is no host name is refused", async () => {
    expect(await refusal(ask("POST", "servers", { ...SERVER, name: "web_1" }))).toBe("422 invalid_input");
  });
});

describe("load balancers", () => {
  const shown = async (id: number) =>
    (await get(`load_balancers/${id}`)).body.load_balancer as { services: object[]; targets: object[] };

  test("a service has Hetzner's defaults, and keeps what an update does not name", async () => {
    const id = await balancer();
    const path = `load_balancers/${id}`;
    await act(path, "add_service", { protocol: "http", listen_port: 80, destination_port: 8080 });
    const checks = { protocol: "http", port: 8080, interval: 15, timeout: 10, retries: 3 };
    expect((await shown(id)).services).toMatchObject([
      { proxyprotocol: false, http: { sticky_sessions: false, redirect_http: false }, health_check: checks },
    ]);
    await act(path, "update_service", { listen_port: 80, health_check: { interval: 5 } });
    expect((await shown(id)).services).toMatchObject([
      { destination_port: 8080, health_check: { ...checks, interval: 5 } },
    ]);
    await act(path, "delete_service", { listen_port: 80 });
    expect((await shown(id)).services).toEqual([]);
  });

  test("the lab's applier asks for all that a service declares", async () => {
    const loadBalancerId = await balancer();
    const lab = { name: "a", directory, cgroup: directory };
    const socket = await endpoint.listen({ path: endpointSocket(lab) });
    const service = CLOUD["hcloud:index/loadBalancerService:LoadBalancerService"];
    const inputs = {
      loadBalancerId,
      protocol: "http",
      listenPort: 80,
      destinationPort: 8080,
      http: { timeoutIdle: 300 },
      healthCheck: { protocol: "http", port: 8080, interval: 5, timeout: 3, retries: 2 },
    };
    const apply = () => service?.(inputs, { lab, name: "https" } as Context);
    expect(await apply()).toMatchObject({ changed: true });
    expect((await shown(loadBalancerId)).services).toMatchObject([{ http: { timeout_idle: 300 } }]);
    expect(await apply()).toMatchObject({ changed: false });
    socket.close();
  });

  test.each([
    ["a port that is taken", "add_service", { protocol: "tcp", listen_port: 80, destination_port: 1 }, "409 source_port_already_used"],
    ["a port that is not served", "update_service", { listen_port: 81 }, "404 not_found"],
    ["a certificate that is not there", "add_service", { protocol: "https", listen_port: 443, http: { certificates: [9] } }, "404 not_found"],
    ["what the lab's load balancer cannot do", "add_service", { protocol: "tcp", listen_port: 22, destination_port: 22, proxyprotocol: true }, "422 invalid_input"],
    ["a target that is not there", "add_target", { type: "server", server: { id: 99 } }, "404 not_found"],
  ])("%s is refused", async (_, command, body, expected) => {
    const path = `load_balancers/${await balancer()}`;
    await act(path, "add_service", { protocol: "http", listen_port: 80, destination_port: 80 });
    expect(await refusal(act(path, command, body))).toBe(expected);
  }); // prettier-ignore

  test("a target is there once, and at its private address only where both have one", async () => {
    const net = await network();
    const id = await balancer();
    const server = await machine();
    const target = { type: "server", server: { id: server }, use_private_ip: true };
    const add = () => act(`load_balancers/${id}`, "add_target", target);
    expect(await refusal(add())).toBe("422 server_not_attached_to_network");
    await act(`servers/${server}`, "attach_to_network", { network: net, ip: "10.0.10.1" });
    await act(`load_balancers/${id}`, "attach_to_network", { network: net, ip: "10.0.0.10" });
    expect((await add()).status).toBe(201);
    expect(await refusal(add())).toBe("409 target_already_defined");
    expect((await shown(id)).targets).toMatchObject([target]);
  });

  test("there is one in a lab", async () => {
    await balancer();
    const second = ask("POST", "load_balancers", { ...BALANCER, name: "b" });
    expect(await refusal(second)).toBe("422 resource_limit_exceeded");
  });

  test("a managed certificate is issued, and nobody is shown its key", async () => {
    const names = ["spaces.example", "*.spaces.example"];
    const body = { name: "wildcard", type: "managed", domain_names: names };
    const id = await create("certificates", "certificate", body);
    const answer = await get(`certificates/${id}`);
    expect(answer.body.certificate).toMatchObject({ domain_names: names, status: { issuance: "completed" } });
    expect(JSON.stringify(answer.body)).not.toContain("PRIVATE KEY");
    const path = `load_balancers/${await balancer()}`;
    await act(path, "add_service", { protocol: "https", listen_port: 443, http: { certificates: [id] } });
    expect(await refusal(ask("DELETE", `certificates/${id}`))).toBe("409 resource_in_use");
  });
});

describe("zones and record sets", () => {
  const RECORD = { name: "*", type: "A", ttl: 300, records: [{ value: "203.0.113.20" }] };
  const zone = () => create("zones", "zone", { name: "spaces.example", mode: "primary", ttl: 300 });
  const sets = "zones/spaces.example/rrsets";

  test("a zone is found by its name as by its number", async () => {
    const id = await zone();
    for (const key of [id, "spaces.example"])
      expect((await get(`zones/${key}`)).body.zone).toMatchObject({ id, mode: "primary", ttl: 300 });
  });

  test("a record set is made, read, changed and deleted", async () => {
    await zone();
    const made = await ask("POST", sets, RECORD);
    expect(made).toMatchObject({ status: 201, body: { rrset: RECORD, action: { status: "success" } } });
    expect((await get(sets)).body.rrsets).toMatchObject([RECORD]);
    const one = `${sets}/${encodeURIComponent("*")}/A`;
    expect((await get(one)).body.rrset).toMatchObject({ id: "*/A" });
    await act(one, "set_records", { records: [{ value: "203.0.113.21" }] });
    await act(one, "change_ttl", { ttl: 60 });
    expect((await get(one)).body.rrset).toMatchObject({ ttl: 60, records: [{ value: "203.0.113.21" }] });
    expect((await ask("DELETE", one)).body.action).toMatchObject({ status: "success" });
    expect(await refusal(get(one))).toBe("404 not_found");
  });

  test("a name has one set of each type", async () => {
    await zone();
    await ask("POST", sets, RECORD);
    expect(await refusal(ask("POST", sets, RECORD))).toBe("409 uniqueness_error");
    expect((await ask("POST", sets, { ...RECORD, type: "TXT" })).status).toBe(201);
    expect(await refusal(get("zones/nowhere.example/rrsets"))).toBe("404 not_found");
  });
});

describe("after a start", () => {
  async function restart(): Promise<void> {
    await stop();
    world.done.length = 0;
    await start();
    await endpoint.resume();
  }

  test("all is there again, under the same numbers, and new numbers are new", async () => {
    const id = await network();
    await restart();
    expect((await get(`networks/${id}`)).body.network).toMatchObject({ name: "net" });
    const next = await create("networks", "network", { name: "b", ip_range: "10.1.0.0/16" });
    expect(next).toBeGreaterThan(id);
  });

  test("machines that were on are booted, and no others", async () => {
    const on = await machine();
    const off = await machine({ name: "web-2" });
    await act(`servers/${off}`, "poweroff");
    await expect.poll(() => endpoint.state.servers[1]?.status).toBe("off");
    await restart();
    expect(world.done).toEqual(["reconcile web-1 web-2", `boot ${on}`]);
  });

  test("an action that a killed process had begun is an error, so that nobody waits for it", async () => {
    world.boots = () => new Promise(() => {});
    const { body } = await ask("POST", "servers", SERVER);
    world.boots = () => Promise.resolve();
    await restart();
    expect((await get(`actions/${body.action?.id}`)).body.action).toMatchObject({
      status: "error",
      error: { message: "the lab was interrupted" },
    });
  });
});
