// Servers. A new server boots a machine of the lab. Its action succeeds when SSH answers.
import * as z from "zod";
import { image, location, serverType } from "./offers.ts";
import { ApiError, common, find, read, type Kind, type Work, type World } from "./kind.ts";
import type { Server, State } from "./document.ts";
import { placementGroups } from "./placement-group-kind.ts";

const idOrName = z.union([z.number(), z.string()]).transform(String);

const creation = z.object({
  server_type: idOrName,
  image: idOrName,
  location: z.string().default("fsn1"),
  ssh_keys: z.array(idOrName).default([]),
  user_data: z.string().default(""),
  start_after_create: z.boolean().default(true),
  networks: z.array(z.number()).default([]),
  firewalls: z.array(z.object({ firewall: z.number() })).default([]),
  placement_group: z.number().nullish(),
  public_net: z.object({ enable_ipv4: z.boolean().default(true) }).default({ enable_ipv4: true }),
});

export const servers: Kind<"servers"> = {
  singular: "server",
  async create(entity, body, state, world) {
    const asked = read(creation, body);
    if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(entity.name))
      throw new ApiError(422, "invalid_input", `invalid input: name "${entity.name}" is no host name`);
    return {
      ...entity,
      status: asked.start_after_create ? "initializing" : "off",
      server_type: asked.server_type,
      image: asked.image,
      location: asked.location,
      ipv4: asked.public_net.enable_ipv4 ? world.address(state, entity.name) : null,
      private_net: asked.networks.map((network) => attachment(state, { network })),
      firewalls: asked.firewalls.map(({ firewall }) => find(state.firewalls, firewall, "firewall").id),
      placement_group: asked.placement_group ?? null,
      public_keys: asked.ssh_keys.map((key) => {
        const found = state.ssh_keys.find((one) => String(one.id) === key || one.name === key);
        if (!found) throw new ApiError(404, "not_found", `SSH key '${key}' not found`);
        return found.public_key;
      }),
      user_data: asked.user_data,
    };
  },
  created(server, state, world) {
    return server.status === "initializing" ? powerOn(server, state, world) : undefined;
  },
  view(server, state) {
    const group = state.placement_groups.find(({ id }) => id === server.placement_group);
    const mac = server.id.toString(16).padStart(6, "0").match(/../g)?.join(":");
    return {
      ...common(server),
      status: server.status,
      server_type: serverType(server.server_type),
      image: image(server.image),
      location: location(server.location),
      datacenter: null,
      public_net: {
        ipv4: server.ipv4 && { id: 0, ip: server.ipv4, blocked: false, dns_ptr: "" },
        ipv6: null,
        floating_ips: [],
        firewalls: server.firewalls.map((id) => ({ id, status: "applied" })),
      },
      private_net: server.private_net.map((net) => ({ ...net, mac_address: `86:00:00:${mac}` })),
      placement_group: group ? placementGroups.view(group, state) : null,
      protection: { delete: server.protected, rebuild: server.protected },
      load_balancers: state.load_balancers
        .filter(({ targets }) => targets.some((target) => target.server?.id === server.id))
        .map(({ id }) => id),
      volumes: [],
      iso: null,
      rescue_enabled: false,
      locked: false,
      backup_window: null,
      primary_disk_size: 40,
      included_traffic: 0,
      ingoing_traffic: 0,
      outgoing_traffic: 0,
    };
  },
  deleting({ id }, state) {
    // Hetzner removes a deleted server from its load balancers.
    for (const balancer of state.load_balancers)
      balancer.targets = balancer.targets.filter((target) => target.server?.id !== id);
  },
  actions: {
    attach_to_network(server, body, state) {
      const asked = read(z.object({ network: z.number(), ip: z.string().optional() }), body);
      if (server.private_net.some(({ network }) => network === asked.network))
        throw new ApiError(409, "server_already_attached", `${server.name} is already in the network`);
      server.private_net.push(attachment(state, asked));
    },
    detach_from_network(server, body) {
      const { network } = read(z.object({ network: z.number() }), body);
      server.private_net = server.private_net.filter((net) => net.network !== network);
    },
    change_alias_ips(server, body) {
      const { network, alias_ips } = read(
        z.object({ network: z.number(), alias_ips: z.array(z.string()) }),
        body,
      );
      for (const net of server.private_net) if (net.network === network) net.alias_ips = alias_ips;
    },
    poweron: (server, _body, state, world) => powerOn(server, state, world),
    poweroff: (server, _body, _state, world) => powerOff(server, world),
    shutdown: (server, _body, _state, world) => powerOff(server, world),
    reset: (server, _body, state, world) => restart(server, state, world),
    reboot: (server, _body, state, world) => restart(server, state, world),
    change_type(server, body) {
      server.server_type = read(z.object({ server_type: idOrName }), body).server_type;
    },
    add_to_placement_group(server, body) {
      server.placement_group = read(z.object({ placement_group: z.number() }), body).placement_group;
    },
    remove_from_placement_group(server) {
      server.placement_group = null;
    },
    enable_backup() {},
    disable_backup() {},
    change_dns_ptr() {},
  },
};

/** A place in a network, with the requested address if it is free. The lab assigns none: the program plans them. */
function attachment(state: State, { network, ip }: { network: number; ip?: string | undefined }) {
  find(state.networks, network, "network");
  if (ip === undefined)
    throw new ApiError(
      422,
      "invalid_input",
      "invalid input: the lab hands out no private addresses; ask for one",
    );
  const owner = [...state.servers, ...state.load_balancers].find((other) =>
    other.private_net.some((net) => net.ip === ip),
  );
  if (owner) throw new ApiError(409, "ip_not_available", `${ip} is already ${owner.name}'s`);
  return { network, ip, alias_ips: [] };
}

function powerOn(server: Server, state: State, world: World): Work {
  return async () => {
    await world.boot(state, server.id);
    server.status = "running";
  };
}

function powerOff(server: Server, world: World): Work {
  return async () => {
    await world.halt(server.name);
    server.status = "off";
  };
}

function restart(server: Server, state: State, world: World): Work {
  return async () => {
    await powerOff(server, world)();
    await powerOn(server, state, world)();
  };
}
