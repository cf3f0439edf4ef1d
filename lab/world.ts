// Makes this machine match the endpoint's document: machines, links, filters and the load balancer's process. It
// compares the whole document with what is there. So it continues where a killed process stopped.
import { issue } from "./lets-encrypt.ts";
import { ApiError, find, type World } from "./hcloud/kind.ts";
import type { FirewallRule, Server, State } from "./hcloud/document.ts";
import { renderFilter, type Filtered } from "./router-rules.ts";
import { BALANCER, isBalancing, renderFor, runBalancer, stopBalancer } from "./balancer.ts";
import type { Lab } from "./lab.ts";
import { boot, halt, machineNames, prepare, remove, type MachineSpec } from "./machine.ts";
import {
  addPrivateLink,
  addPublicLink,
  addRouter,
  loadFilter,
  removeNamespace,
  removePrivateLink,
} from "./namespaces.ts";
import type { DedicatedMachine, Settings } from "./settings.ts";

/** How many machines boot at once. More would only slow each one down. */
const PARALLEL_BOOTS = 3;

/** The place of a namespace in the network. `link` is part of the names of the router's ends. */
interface Place {
  name: string;
  link: string;
  publicAddress: string | null;
  privateAddress: string | undefined;
}

export class LabWorld implements World {
  readonly #lab: Lab;
  readonly #settings: Settings;
  /** What this process has already reconciled: the router, each link, the rules, the load balancer. */
  readonly #done = new Map<string, string>();
  #booting = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(lab: Lab, settings: Settings) {
    this.#lab = lab;
    this.#settings = settings;
  }

  async reconcile(state: State): Promise<void> {
    if (!this.#done.has("router")) await addRouter(this.#lab);
    this.#done.set("router", "");
    const { dedicated } = this.#settings;
    await this.#removeMachinesBut(new Set([...state.servers, ...dedicated].map(({ name }) => name)));
    const balancer = state.load_balancers[0];
    const places: Place[] = [
      ...dedicated.map(({ name, address, privateAddress }) => ({
        name,
        // Not its place in the list, which changes when a pool is added.
        link: `r${address.split(".").at(-1)}`,
        publicAddress: address,
        privateAddress,
      })),
      ...state.servers.map(({ name, id, ipv4, private_net }) => ({
        name,
        link: String(id),
        publicAddress: ipv4,
        privateAddress: private_net[0]?.ip,
      })),
      ...(balancer
        ? [
            {
              name: BALANCER,
              link: String(balancer.id),
              publicAddress: balancer.public_interface ? balancer.ipv4 : null,
              privateAddress: balancer.private_net[0]?.ip,
            },
          ]
        : []),
    ];
    for (const place of places) await this.#connect(place);
    await this.#filter(state);
    await this.#balance(state);
  }

  async boot(state: State, id: number): Promise<void> {
    await this.#bootMachine(specOf(find(state.servers, id, "server")));
  }

  /** Boots the dedicated servers, which no engine creates. */
  async bootDedicated(): Promise<void> {
    const present = this.#settings.dedicated.filter(({ declaredUnreachable }) => !declaredUnreachable);
    await Promise.all(present.map((server) => this.#bootMachine(specOfDedicated(server))));
  }

  async #bootMachine(spec: MachineSpec): Promise<void> {
    if (this.#booting >= PARALLEL_BOOTS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#booting++;
    try {
      await prepare(this.#lab, spec, this.#settings.image);
      await boot(this.#lab, spec);
    } finally {
      this.#booting--;
      this.#waiting.shift()?.();
    }
  }

  async halt(name: string): Promise<void> {
    await halt(this.#lab, name);
  }

  address(state: State, name: string): string {
    const { reserved, dedicated } = this.#settings;
    const taken = new Set([
      ...Object.entries(reserved).flatMap(([owner, address]) => (owner === name ? [] : [address])),
      ...dedicated.map(({ address }) => address),
      ...[...state.servers, ...state.load_balancers].map(({ ipv4 }) => ipv4),
    ]);
    const own = reserved[name];
    if (own !== undefined && !taken.has(own)) return own;
    for (let host = 20; host < 255; host++) if (!taken.has(`203.0.113.${host}`)) return `203.0.113.${host}`;
    throw new ApiError(503, "resource_unavailable", "the lab has no public address left");
  }

  issue(names: readonly string[]): Promise<{ certificate: string; privateKey: string }> {
    return issue(this.#lab, names);
  }

  async #removeMachinesBut(wanted: ReadonlySet<string>): Promise<void> {
    for (const name of await machineNames(this.#lab))
      if (!wanted.has(name)) {
        await remove(this.#lab, name);
        for (const key of this.#done.keys()) if (key.startsWith(`${name} `)) this.#done.delete(key);
      }
  }

  async #connect({ name, link, publicAddress, privateAddress }: Place): Promise<void> {
    if (publicAddress !== null)
      await this.#once(`${name} public`, `${link} ${publicAddress}`, () =>
        addPublicLink(this.#lab, name, link, publicAddress),
      );
    await this.#once(`${name} private`, `${link} ${privateAddress}`, () =>
      privateAddress === undefined
        ? removePrivateLink(this.#lab, link)
        : addPrivateLink(this.#lab, name, link, privateAddress),
    );
  }

  async #filter(state: State): Promise<void> {
    const machines: Filtered[] = state.servers.map((server) => ({
      link: String(server.id),
      rules: rulesOf(server, state),
    }));
    const rules = renderFilter(machines);
    await this.#once("filter", rules, () => loadFilter(this.#lab, rules));
  }

  async #once(key: string, value: string, act: () => Promise<void>): Promise<void> {
    if (this.#done.get(key) === value) return;
    await act();
    this.#done.set(key, value);
  }

  async #balance(state: State): Promise<void> {
    const wanted = renderFor(this.#lab, state);
    if (!wanted || !isBalancing(this.#lab)) this.#done.delete(BALANCER);
    if (wanted) await this.#once(BALANCER, wanted.configuration, () => runBalancer(this.#lab, wanted));
    else await stopBalancer(this.#lab);
    if (state.load_balancers.length > 0 || !this.#done.has(`${BALANCER} private`)) return;
    await removeNamespace(this.#lab, BALANCER);
    for (const side of ["public", "private"]) this.#done.delete(`${BALANCER} ${side}`);
  }
}

/** The rules of all firewalls of a server; undefined if it has none. */
function rulesOf(server: Server, state: State): FirewallRule[] | undefined {
  const applied = state.firewalls.filter(({ id }) => server.firewalls.includes(id));
  return applied.length === 0 ? undefined : applied.flatMap(({ rules }) => rules);
}

function specOf(server: Server): MachineSpec {
  return {
    name: server.name,
    instance: `i-${server.id}`,
    userData: server.user_data,
    publicKeys: server.public_keys,
    drives: [],
  };
}

function specOfDedicated({ name, hostKey, drives, publicKey }: DedicatedMachine): MachineSpec {
  const keys = { ed25519_private: hostKey.privateKey, ed25519_public: hostKey.publicKey };
  // JSON is valid YAML.
  const data = {
    disable_root: false,
    ssh_deletekeys: true,
    ssh_genkeytypes: [],
    preserve_hostname: true,
    ssh_keys: keys,
  };
  return {
    name,
    instance: `i-${name}`,
    userData: `#cloud-config\n${JSON.stringify(data)}\n`,
    publicKeys: [publicKey],
    drives,
  };
}
