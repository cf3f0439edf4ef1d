// The public side of the platform: DNS, certificate and load balancer, in front of the gateways.
import * as hcloud from "@pulumi/hcloud";
import * as pulumi from "@pulumi/pulumi";
import { LOAD_BALANCER_ADDRESS } from "../inventory/addresses.ts";
import type { Environment } from "../inventory/environment.ts";
import { OPS_RECORD } from "../inventory/names.ts";
import { PORTS } from "../machine/firewall.ts";
import type { CloudServer } from "../machine/server.ts";
import { BALANCER_IDLE_SECONDS, HEALTH_CHECK } from "./gateway.ts";

interface IngressArgs {
  environment: Environment;
  networkId: pulumi.Input<number>;
  networkReady: pulumi.Resource[];
  gateways: readonly CloudServer[];
  opsAddress: pulumi.Input<string>;
}

/** Seconds that resolvers may keep a record: short enough to move the load balancer within five minutes. */
const TTL = 300;

/** DNS, wildcard certificate and load balancer: the way in for visitors. */
export class Ingress extends pulumi.ComponentResource {
  constructor(name: string, args: IngressArgs, opts: pulumi.ComponentResourceOptions) {
    // The former name stays: it is in the state of every platform, and another one would replace all children.
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
        http: {
          certificates: [certificate.id.apply(Number)],
          redirectHttp: true,
          timeoutIdle: BALANCER_IDLE_SECONDS,
        },
        healthCheck: {
          protocol: "http",
          port: PORTS.gateway,
          interval: HEALTH_CHECK.intervalSeconds,
          timeout: HEALTH_CHECK.timeoutSeconds,
          retries: HEALTH_CHECK.retries,
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
