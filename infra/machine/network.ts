// What joins and shields the machines: private network, firewalls, keys, placement, and what the world sees first:
// DNS, certificate and load balancer.
import * as hcloud from "@pulumi/hcloud";
import * as pulumi from "@pulumi/pulumi";
import { LOAD_BALANCER_ADDRESS, NETWORK } from "../inventory/addresses.ts";
import { CLOUD_ROLES, type CloudRole, type Environment } from "../inventory/environment.ts";
import { PORTS, publicRules } from "./firewall.ts";
import { OPS_RECORD } from "../inventory/names.ts";
import type { CloudServer } from "./server.ts";

interface NetworkArgs {
  environment: Environment;
  deployKey: { publicKey: string; generation: number };
}

/** Private network, firewalls, SSH keys and placement groups: all that a server needs before it exists. */
export class Network extends pulumi.ComponentResource {
  readonly id: pulumi.Output<number>;
  readonly sshKeyIds: pulumi.Output<string>[];
  /** What must stand before a server can take an address. */
  readonly ready: pulumi.Resource[];
  readonly #firewalls: ReadonlyMap<CloudRole, pulumi.Output<number>>;
  readonly #placements: ReadonlyMap<CloudRole, pulumi.Output<number>>;

  constructor(
    name: string,
    { environment, deployKey: { publicKey, generation } }: NetworkArgs,
    opts: pulumi.ComponentResourceOptions,
  ) {
    super("framaspace:infra:Network", name, {}, opts);
    const parent = { parent: this };
    const network = new hcloud.Network(name, { name, ipRange: NETWORK.range }, { ...parent, protect: true });
    this.id = network.id.apply(Number);
    this.ready = [
      new hcloud.NetworkSubnet(
        `${name}-cloud`,
        {
          networkId: this.id,
          type: "cloud",
          networkZone: environment.hcloud.networkZone,
          ipRange: NETWORK.cloud,
        },
        parent,
      ),
    ];
    if (environment.hcloud.vswitchId !== undefined)
      new hcloud.NetworkSubnet(
        `${name}-vswitch`,
        {
          networkId: this.id,
          type: "vswitch",
          networkZone: environment.hcloud.networkZone,
          ipRange: NETWORK.vswitch,
          vswitchId: environment.hcloud.vswitchId,
        },
        parent,
      );
    // The first boot's; whom a machine lets in from then on, base.sh says. A new generation is another resource: a replaced
    // one would go before it comes, and the engine might take the servers along.
    const key = generation === 1 ? "deploy" : `deploy-${generation}`;
    this.sshKeyIds = [new hcloud.SshKey(`${name}-key-${key}`, { name: key, publicKey }, parent).id];

    const roles = CLOUD_ROLES.filter((role) => environment.machines[role].count > 0);
    this.#firewalls = new Map(
      roles.map((role) => [role, this.#createFirewall(name, role, environment.administrators.addresses)]),
    );
    // Two machines of a role must not die with one host.
    this.#placements = new Map(
      roles
        .filter((role) => environment.machines[role].count > 1)
        .map((role) => [
          role,
          new hcloud.PlacementGroup(
            `${name}-spread-${role}`,
            { name: role, type: "spread" },
            parent,
          ).id.apply(Number),
        ]),
    );
    this.registerOutputs({});
  }

  #createFirewall(name: string, role: CloudRole, administrators: readonly string[]): pulumi.Output<number> {
    const ping = { direction: "in", protocol: "icmp", sourceIps: ["0.0.0.0/0", "::/0"] };
    const rules = publicRules(role, administrators).map(({ port, sources }) => ({
      direction: "in",
      protocol: "tcp",
      port: String(port),
      sourceIps: [...sources],
    }));
    return new hcloud.Firewall(
      `${name}-firewall-${role}`,
      { name: role, rules: [ping, ...rules] },
      { parent: this },
    ).id.apply(Number);
  }

  firewallId(role: CloudRole): pulumi.Output<number> {
    const id = this.#firewalls.get(role);
    if (!id) throw new Error(`no firewall for ${role}: it has no machines`);
    return id;
  }

  /** The placement group, for roles that have one. */
  placementOf(role: CloudRole): { placementGroupId: pulumi.Output<number> } | Record<string, never> {
    const placementGroupId = this.#placements.get(role);
    return placementGroupId ? { placementGroupId } : {};
  }
}

interface IngressArgs {
  environment: Environment;
  networkId: pulumi.Input<number>;
  networkReady: pulumi.Resource[];
  gateways: readonly CloudServer[];
  opsAddress: pulumi.Input<string>;
}

/** Seconds that resolvers may keep a record: short enough to move the load balancer within a coffee. */
const TTL = 300;

/** DNS, wildcard certificate and load balancer: the way in for everybody. */
export class Ingress extends pulumi.ComponentResource {
  constructor(name: string, args: IngressArgs, opts: pulumi.ComponentResourceOptions) {
    // Its former name stays: it is in the state of every platform, and another would replace what is below it.
    super("framaspace:infra:Entrance", name, {}, opts);
    const { domain, hcloud: cloud } = args.environment;
    const parent = { parent: this };
    const zone = new hcloud.Zone(
      `${name}-zone`,
      { name: domain, mode: "primary", ttl: TTL },
      { ...parent, protect: true },
    );
    const certificate = new hcloud.ManagedCertificate(
      `${name}-certificate`,
      { name: domain, domainNames: [domain, `*.${domain}`] },
      { ...parent, dependsOn: zone },
    );
    const balancer = new hcloud.LoadBalancer(
      `${name}-load-balancer`,
      {
        name: "entrance",
        loadBalancerType: cloud.loadBalancerType,
        location: cloud.location,
        algorithm: { type: "round_robin" },
      },
      parent,
    );
    const loadBalancerId = balancer.id.apply(Number);
    const attachment = new hcloud.LoadBalancerNetwork(
      `${name}-network`,
      { loadBalancerId, networkId: args.networkId, ip: LOAD_BALANCER_ADDRESS, enablePublicInterface: true },
      { ...parent, dependsOn: args.networkReady },
    );
    new hcloud.LoadBalancerService(
      `${name}-https`,
      {
        loadBalancerId: balancer.id,
        protocol: "https",
        listenPort: 443,
        destinationPort: PORTS.gateway,
        http: { certificates: [certificate.id.apply(Number)], redirectHttp: true },
        healthCheck: {
          protocol: "http",
          port: PORTS.gateway,
          interval: 5,
          timeout: 3,
          retries: 2,
          http: { path: "/healthz", statusCodes: ["200"] },
        },
      },
      parent,
    );
    for (const gateway of args.gateways)
      new hcloud.LoadBalancerTarget(
        `${name}-${gateway.spec.name}`,
        { type: "server", loadBalancerId, serverId: gateway.serverId, usePrivateIp: true },
        { ...parent, dependsOn: attachment },
      );
    for (const [record, address] of [
      ["@", balancer.ipv4],
      ["*", balancer.ipv4],
      [OPS_RECORD, pulumi.output(args.opsAddress)],
    ] as const)
      new hcloud.ZoneRrset(
        `${name}-record-${record === "@" ? "apex" : record === "*" ? "wildcard" : record}`,
        { zone: zone.name, name: record, type: "A", ttl: TTL, records: [{ value: address }] },
        parent,
      );
    this.registerOutputs({});
  }
}
