// Connects and protects the machines: private network, firewalls, SSH keys, placement groups.
import * as hcloud from "@pulumi/hcloud";
import * as pulumi from "@pulumi/pulumi";
import { NETWORK } from "../inventory/addresses.ts";
import { CLOUD_ROLES, type CloudRole, type Environment } from "../inventory/environment.ts";
import { publicRules } from "./firewall.ts";

interface NetworkArgs {
  environment: Environment;
  deployKey: { publicKey: string; generation: number };
}

/** Private network, firewalls, SSH keys and placement groups: all that a server needs before it exists. */
export class Network extends pulumi.ComponentResource {
  readonly id: pulumi.Output<number>;
  readonly sshKeyIds: pulumi.Output<string>[];
  /** What must exist before a server can take an address. */
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
    // Only the first boot uses this key; afterwards base.sh decides which keys a machine accepts. A new generation is a
    // new resource: a replacement would delete the old key first, and the engine might delete the servers with it.
    const key = generation === 1 ? "deploy" : `deploy-${generation}`;
    this.sshKeyIds = [new hcloud.SshKey(`${name}-key-${key}`, { name: key, publicKey }, parent).id];

    const roles = CLOUD_ROLES.filter((role) => environment.machines[role].count > 0);
    this.#firewalls = new Map(
      roles.map((role) => [role, this.#createFirewall(name, role, environment.administrators.addresses)]),
    );
    // Two machines of a role must not fail with one host.
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

  /** The placement group of a role, if it has one. */
  placementOf(role: CloudRole): { placementGroupId: pulumi.Output<number> } | Record<string, never> {
    const placementGroupId = this.#placements.get(role);
    return placementGroupId ? { placementGroupId } : {};
  }
}
