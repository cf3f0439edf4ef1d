// Load balancers. HAProxy does what they declare (haproxy.ts).
import * as z from "zod";
import { loadBalancerType, location } from "./offers.ts";
import { ApiError, common, find, read, type Kind } from "./kind.ts";
import type { LoadBalancer, Service } from "./document.ts";

const protocol = z.enum(["http", "https", "tcp"]);

/** A service in a request. A missing field keeps its value, or gets Hetzner's default. `timeout_idle` is in seconds. */
const serviceBody = z.object({
  protocol: protocol.optional(),
  listen_port: z.number().optional(),
  destination_port: z.number().optional(),
  proxyprotocol: z.boolean().optional(),
  http: z
    .object({
      cookie_name: z.string(),
      cookie_lifetime: z.number(),
      certificates: z.array(z.number()),
      redirect_http: z.boolean(),
      sticky_sessions: z.boolean(),
      timeout_idle: z.number(),
    })
    .partial()
    .optional(),
  health_check: z
    .object({
      protocol,
      port: z.number(),
      interval: z.number(),
      timeout: z.number(),
      retries: z.number(),
      http: z
        .object({
          domain: z.string(),
          path: z.string(),
          response: z.string(),
          status_codes: z.array(z.string()),
          tls: z.boolean(),
        })
        .partial(),
    })
    .partial()
    .optional(),
});
const target = z.object({
  type: z.string(),
  server: z.object({ id: z.number() }).optional(),
  ip: z.object({ ip: z.string() }).optional(),
  label_selector: z.object({ selector: z.string() }).optional(),
  use_private_ip: z.boolean().default(false),
});

function merge(old: Service | undefined, asked: z.infer<typeof serviceBody>): Service {
  if (asked.proxyprotocol || asked.http?.sticky_sessions)
    throw new ApiError(
      422,
      "invalid_input",
      "invalid input: the lab's load balancer has neither the PROXY protocol nor sticky sessions",
    );
  const kind = asked.protocol ?? old?.protocol ?? "http";
  const standardPort = kind === "https" ? 443 : 80;
  const port = asked.destination_port ?? old?.destination_port ?? standardPort;
  const checks = { ...old?.health_check, ...defined(asked.health_check ?? {}) };
  const checkKind = checks.protocol ?? (kind === "tcp" ? "tcp" : "http");
  const http = { ...old?.health_check.http, ...defined(asked.health_check?.http ?? {}) };
  return {
    protocol: kind,
    listen_port: asked.listen_port ?? old?.listen_port ?? standardPort,
    destination_port: port,
    proxyprotocol: asked.proxyprotocol ?? old?.proxyprotocol ?? false,
    http: {
      cookie_name: "HCLBSTICKY",
      cookie_lifetime: 300,
      certificates: [],
      redirect_http: false,
      sticky_sessions: false,
      // Hetzner accepts 30 to 300 (its provider's documentation), and does not document the default.
      timeout_idle: 50,
      ...old?.http,
      ...defined(asked.http ?? {}),
    },
    health_check: {
      port: checks.port ?? port,
      interval: checks.interval ?? 15,
      timeout: checks.timeout ?? 10,
      retries: checks.retries ?? 3,
      protocol: checkKind,
      http:
        checkKind === "tcp"
          ? null
          : { domain: "", path: "/", response: "", status_codes: ["2??", "3??"], tls: false, ...http },
    },
  };
}

/** Removes keys with the value undefined, which would overwrite what is spread before them. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

const isSame = (a: z.infer<typeof target>) => (b: z.infer<typeof target>) =>
  a.type === b.type && a.server?.id === b.server?.id && a.ip?.ip === b.ip?.ip;

export const loadBalancers: Kind<"load_balancers"> = {
  singular: "load_balancer",
  async create(entity, body, state, world) {
    const schema = z.object({
      load_balancer_type: z.union([z.string(), z.number()]).transform(String),
      location: z.string().default("fsn1"),
      algorithm: z.object({ type: z.string() }).default({ type: "round_robin" }),
      public_interface: z.boolean().default(true),
      services: z.array(serviceBody).default([]),
      targets: z.array(target).default([]),
    });
    if (state.load_balancers.length > 0)
      throw new ApiError(422, "resource_limit_exceeded", "the lab has one load balancer; delete it first");
    const { services, ...asked } = read(schema, body);
    const ipv4 = world.address(state, entity.name);
    return {
      ...entity,
      ...asked,
      ipv4,
      private_net: [],
      services: services.map((service) => merge(undefined, service)),
    };
  },
  view(balancer) {
    const { services, targets, algorithm, private_net } = balancer;
    return {
      ...common(balancer),
      load_balancer_type: loadBalancerType(balancer.load_balancer_type),
      location: location(balancer.location),
      algorithm,
      public_net: {
        enabled: balancer.public_interface,
        ipv4: { ip: balancer.ipv4, dns_ptr: "" },
        ipv6: { ip: "2001:db8::1", dns_ptr: "" },
      },
      private_net,
      services,
      targets: targets.map((one) => ({
        ...one,
        health_status: services.map(({ listen_port }) => ({ listen_port, status: "unknown" })),
      })),
      included_traffic: 0,
      ingoing_traffic: 0,
      outgoing_traffic: 0,
    };
  },
  actions: {
    add_service(balancer, body, state) {
      const service = merge(undefined, read(serviceBody, body));
      if (balancer.services.some((other) => other.listen_port === service.listen_port))
        throw new ApiError(
          409,
          "source_port_already_used",
          `port ${service.listen_port} is already a service's`,
        );
      for (const id of service.http.certificates) find(state.certificates, id, "certificate");
      balancer.services.push(service);
    },
    update_service(balancer, body) {
      const asked = read(serviceBody, body);
      const index = serviceIndex(balancer, asked.listen_port);
      balancer.services[index] = merge(balancer.services[index], asked);
    },
    delete_service(balancer, body) {
      balancer.services.splice(serviceIndex(balancer, read(serviceBody, body).listen_port), 1);
    },
    add_target(balancer, body, state) {
      const added = read(target, body);
      const server = added.server && find(state.servers, added.server.id, "server");
      if (balancer.targets.some(isSame(added)))
        throw new ApiError(409, "target_already_defined", "the target is already defined");
      if (
        server &&
        added.use_private_ip &&
        (server.private_net.length === 0 || balancer.private_net.length === 0)
      )
        throw new ApiError(
          422,
          "server_not_attached_to_network",
          `${server.name} or the load balancer is in no network`,
        );
      balancer.targets.push(added);
    },
    remove_target(balancer, body) {
      const removed = read(target, body);
      balancer.targets = balancer.targets.filter((other) => !isSame(removed)(other));
    },
    attach_to_network(balancer, body, state) {
      const schema = z.object({ network: z.number(), ip: z.string() });
      const { network, ip } = read(schema, body);
      find(state.networks, network, "network");
      if (balancer.private_net.some((net) => net.network === network))
        throw new ApiError(
          409,
          "load_balancer_already_attached",
          "the load balancer is already in the network",
        );
      balancer.private_net.push({ network, ip });
    },
    detach_from_network(balancer, body) {
      const { network } = read(z.object({ network: z.number() }), body);
      balancer.private_net = balancer.private_net.filter((net) => net.network !== network);
    },
    enable_public_interface(balancer) {
      balancer.public_interface = true;
    },
    disable_public_interface(balancer) {
      balancer.public_interface = false;
    },
    change_algorithm(balancer, body) {
      balancer.algorithm = read(z.object({ type: z.string() }), body);
    },
    change_type(balancer, body) {
      balancer.load_balancer_type = read(
        z.object({ load_balancer_type: z.string() }),
        body,
      ).load_balancer_type;
    },
  },
};

function serviceIndex(balancer: LoadBalancer, port: number | undefined): number {
  const index = balancer.services.findIndex((service) => service.listen_port === port);
  if (index < 0) throw new ApiError(404, "not_found", `service with listen port '${port}' not found`);
  return index;
}
