// The lab's network: namespaces that veth pairs join to one router. Everything is routed, as at Hetzner. Nothing leads
// out of it: no interface is ever put into the host's own namespace. router-rules.ts says what may pass.
import { execa } from "execa";
import { readdir, readFile, rm } from "node:fs/promises";
import { inside, namespace, type Lab } from "./lab.ts";

/** Gateways as at Hetzner. All servers have the same public one. The private one is the network's first address. */
export const PUBLIC_GATEWAY = "172.31.1.1";
export const PRIVATE_GATEWAY = "10.0.0.1";
const PRIVATE_RANGE = "10.0.0.0/16";
/** Range of the public addresses of servers and load balancers (TEST-NET-3). */
export const PUBLIC_RANGE = "203.0.113.0/24";
/** Public address of the load balancer. The lab has no DNS: what reads the wildcard record must know it. */
export const BALANCER_ADDRESS = "203.0.113.11";
/** Address of the administrators' namespace: the engine, the hcloud endpoint and the artifacts (TEST-NET-1). */
export const ADMIN_ADDRESS = "192.0.2.1";

export const ROUTER = "router";
export const ADMIN = "admin";

/** An interface of a namespace, and the router's end of it. */
interface Link {
  /** Name of the router's end, at most 15 characters. */
  routerEnd: string;
  end: string;
  address: string;
  gateway: string;
  /** The addresses that are reached through it. */
  range: string;
  mtu: number;
}

/** Adds what every lab has: router and admin. Does only what is missing. */
export async function addRouter(lab: Lab): Promise<void> {
  await addNamespace(lab, ROUTER);
  // Strict reverse path filter: no machine can use another's address.
  const settings = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=1",
    "net.ipv4.conf.default.rp_filter=1",
  ];
  await execa("nsenter", [...inside(lab, ROUTER).slice(1), "sysctl", "-qw", ...settings]);
  await addNamespace(lab, ADMIN);
  await addLink(lab, ADMIN, {
    routerEnd: "admin",
    end: "eth0",
    address: ADMIN_ADDRESS,
    gateway: PUBLIC_GATEWAY,
    range: "default",
    mtu: 1500,
  });
}

/** Names of the router's ends of a machine's interfaces, at most 15 characters. */
export const routerEnds = (link: string) => ({ public: `pub${link}`, private: `prv${link}` });

/** Adds eth0, with a public address. */
export async function addPublicLink(lab: Lab, part: string, link: string, address: string): Promise<void> {
  await addNamespace(lab, part);
  const gateway = PUBLIC_GATEWAY;
  await addLink(lab, part, {
    routerEnd: routerEnds(link).public,
    end: "eth0",
    address,
    gateway,
    range: "default",
    mtu: 1500,
  });
}

/** Adds enp7s0, with an address of the private network. */
export async function addPrivateLink(lab: Lab, part: string, link: string, address: string): Promise<void> {
  await addNamespace(lab, part);
  const gateway = PRIVATE_GATEWAY;
  await addLink(lab, part, {
    routerEnd: routerEnds(link).private,
    end: "enp7s0",
    address,
    gateway,
    range: PRIVATE_RANGE,
    mtu: 1450,
  });
}

async function addLink(lab: Lab, part: string, link: Link): Promise<void> {
  const { routerEnd, end, address, gateway, range, mtu } = link;
  if (!(await interfaces(lab, ROUTER)).includes(routerEnd))
    await ip(lab, ROUTER, [
      `link add ${routerEnd} mtu ${mtu} type veth peer name ${end} mtu ${mtu} netns ${namespace(lab, part)}`,
    ]);
  await ip(lab, ROUTER, [
    `addr replace ${gateway}/32 dev ${routerEnd}`,
    `link set ${routerEnd} up`,
    `route replace ${address}/32 dev ${routerEnd}`,
  ]);
  await ip(lab, part, [
    `addr replace ${address}/32 dev ${end}`,
    `link set ${end} up`,
    `route replace ${gateway} dev ${end} scope link src ${address}`,
    `route replace ${range} via ${gateway} dev ${end} onlink src ${address}`,
  ]);
}

/** Takes a machine off the private network. */
export async function removePrivateLink(lab: Lab, link: string): Promise<void> {
  const { private: end } = routerEnds(link);
  if ((await interfaces(lab, ROUTER)).includes(end)) await ip(lab, ROUTER, [`link del ${end}`]);
}

/** Loads a whole rule set into the router, in one transaction. */
export async function loadFilter(lab: Lab, rules: string): Promise<void> {
  const [command, ...words] = [...inside(lab, ROUTER), "nft", "-f", "-"];
  await execa(`${command}`, words, { input: rules });
}

/** Removes a namespace, its interfaces, and the router's ends of them. */
export async function removeNamespace(lab: Lab, part: string): Promise<void> {
  await deleteNamespace(namespace(lab, part));
}

export async function removeNamespaces(lab: Lab): Promise<void> {
  for (const name of await namespaces(lab)) await deleteNamespace(name);
}

/** Names of the lab's namespaces, complete or half-made. */
export async function namespaces(lab: Lab): Promise<string[]> {
  const names = await readdir("/run/netns").catch(() => []);
  return names.filter((name) => name.startsWith(namespace(lab, "")));
}

async function deleteNamespace(name: string): Promise<void> {
  if (await isMounted(name)) await execa("ip", ["netns", "delete", name]);
  else await rm(`/run/netns/${name}`, { force: true });
}

async function addNamespace(lab: Lab, part: string): Promise<void> {
  const name = namespace(lab, part);
  if (await isMounted(name)) return;
  // `ip netns add` creates a file, then mounts on it. If it is killed in between, the file stays.
  await rm(`/run/netns/${name}`, { force: true });
  await execa("ip", ["netns", "add", name]);
  await ip(lab, part, ["link set lo up"]);
}

async function isMounted(name: string): Promise<boolean> {
  return (await readFile("/proc/self/mounts", "utf8")).includes(` /run/netns/${name} `);
}

async function interfaces(lab: Lab, part: string): Promise<string[]> {
  const { stdout } = await execa("ip", ["-n", namespace(lab, part), "-br", "link"]);
  return stdout.split("\n").map((line) => line.split(/[@\s]/)[0] ?? "");
}

async function ip(lab: Lab, part: string, commands: string[]): Promise<void> {
  await execa("ip", ["-n", namespace(lab, part), "-batch", "-"], { input: `${commands.join("\n")}\n` });
}
