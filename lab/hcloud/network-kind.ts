// Networks and firewalls.
import * as z from "zod";
import { ApiError, common, find, read, type Kind } from "./kind.ts";

const subnet = z.object({
  type: z.string(),
  ip_range: z.string(),
  network_zone: z.string(),
  vswitch_id: z.number().optional(),
});
const route = z.object({ destination: z.string(), gateway: z.string() });

export const networks: Kind<"networks"> = {
  singular: "network",
  async create(entity, body) {
    const schema = z.object({
      ip_range: z.string(),
      subnets: z.array(subnet).default([]),
      routes: z.array(route).default([]),
    });
    return { ...entity, ...read(schema, body) };
  },
  view(network, state) {
    const attached = (others: readonly { id: number; private_net: { network: number }[] }[]) =>
      others
        .filter((other) => other.private_net.some((net) => net.network === network.id))
        .map(({ id }) => id);
    return {
      ...common(network),
      ip_range: network.ip_range,
      subnets: network.subnets.map((one) => ({ ...one, gateway: gatewayOf(network.ip_range) })),
      routes: network.routes,
      servers: attached(state.servers),
      load_balancers: attached(state.load_balancers),
      expose_routes_to_vswitch: false,
    };
  },
  actions: {
    add_subnet(network, body) {
      network.subnets.push(read(subnet, body));
    },
    delete_subnet(network, body) {
      const { ip_range } = read(z.object({ ip_range: z.string() }), body);
      network.subnets = network.subnets.filter((one) => one.ip_range !== ip_range);
    },
    add_route(network, body) {
      network.routes.push(read(route, body));
    },
    delete_route(network, body) {
      const { destination } = read(route, body);
      network.routes = network.routes.filter((one) => one.destination !== destination);
    },
    change_ip_range(network, body) {
      network.ip_range = read(z.object({ ip_range: z.string() }), body).ip_range;
    },
  },
};

/** The network's first address. */
function gatewayOf(range: string): string {
  return range.replace(/\d+\/\d+$/, "1");
}

const rule = z.object({
  direction: z.enum(["in", "out"]),
  protocol: z.string(),
  port: z.string().nullish(),
  source_ips: z.array(z.string()).default([]),
  destination_ips: z.array(z.string()).default([]),
  description: z.string().nullish(),
});
const resources = z.array(z.object({ type: z.literal("server"), server: z.object({ id: z.number() }) }));

export const firewalls: Kind<"firewalls"> = {
  singular: "firewall",
  manyActions: true,
  async create(entity, body) {
    return { ...entity, ...read(z.object({ rules: z.array(rule).default([]) }), body) };
  },
  view(firewall, state) {
    const servers = state.servers.filter((server) => server.firewalls.includes(firewall.id));
    return {
      ...common(firewall),
      rules: firewall.rules,
      applied_to: servers.map(({ id }) => ({ type: "server", server: { id } })),
    };
  },
  deleting({ id, name }, state) {
    const user = state.servers.find((server) => server.firewalls.includes(id));
    if (user) throw new ApiError(409, "resource_in_use", `firewall ${name} is still applied to ${user.name}`);
  },
  actions: {
    set_rules(firewall, body) {
      firewall.rules = read(z.object({ rules: z.array(rule) }), body).rules;
    },
    apply_to_resources({ id }, body, state) {
      for (const { server } of read(z.object({ apply_to: resources }), body).apply_to) {
        const target = find(state.servers, server.id, "server");
        target.firewalls = [...new Set([...target.firewalls, id])];
      }
    },
    remove_from_resources({ id }, body, state) {
      for (const { server } of read(z.object({ remove_from: resources }), body).remove_from) {
        const target = find(state.servers, server.id, "server");
        target.firewalls = target.firewalls.filter((other) => other !== id);
      }
    },
  },
};
