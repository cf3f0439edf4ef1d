// hcloud:* through the lab's own endpoint. Finds each resource by its name, creates it if it is missing, and updates
// what can change in place.
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import type { Resource } from "../../evaluate/graph.ts";
import { ask } from "../hcloud/client.ts";
import type { Lab } from "../lab.ts";
import { handler, type Handled, type Handler } from "./handler.ts";
import { UserError } from "../../validation/user-error.ts";

const id = z.union([z.string(), z.number()]).transform(Number);
const labels = z.record(z.string(), z.string()).default({});
const entity = z.looseObject({ id: z.number() });
type Found = z.infer<typeof entity>;
const action = z.object({
  id: z.number(),
  status: z.string(),
  error: z.object({ message: z.string() }).nullish(),
});

/** The entities of a collection, or those with a name. */
async function list(lab: Lab, collection: string, name?: string): Promise<Found[]> {
  const query = name === undefined ? "" : `?name=${encodeURIComponent(name)}`;
  const answer = await ask(lab, "GET", `${collection}${query}`);
  return z
    .record(z.string(), z.unknown())
    .transform((all) => z.array(entity).parse(all[collection]))
    .parse(answer);
}

/** Asks for a change and waits until its actions end. */
async function change(
  lab: Lab,
  method: string,
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const answer = z.record(z.string(), z.unknown()).parse(await ask(lab, method, path, body));
  const started = [
    ...z.array(action).catch([]).parse(answer.actions),
    ...z.array(action).catch([]).parse([answer.action]),
  ];
  for (const { id: number } of started)
    for (;;) {
      const { action: now } = z.object({ action }).parse(await ask(lab, "GET", `actions/${number}`));
      if (now.status === "success") break;
      if (now.status === "error") throw new UserError(now.error?.message ?? `${path} failed`);
      await sleep(100);
    }
  return answer;
}

/** The entity with that name, created if it is missing. */
async function ensure(
  lab: Lab,
  collection: string,
  singular: string,
  body: { name: string },
): Promise<{ found: Found; made: boolean }> {
  const [found] = await list(lab, collection, body.name);
  if (found) return { found, made: false };
  const answer = await change(lab, "POST", collection, body);
  return { found: entity.parse(answer[singular]), made: true };
}

function simple<T extends { name: string }>(
  collection: string,
  singular: string,
  schema: z.ZodType<T>,
): Handler {
  return handler(schema, async (body, { lab }): Promise<Handled> => {
    const { found, made } = await ensure(lab, collection, singular, body);
    return { id: String(found.id), changed: made };
  });
}

const rules = z.array(
  z
    .looseObject({
      direction: z.string(),
      protocol: z.string(),
      port: z.string().optional(),
      sourceIps: z.array(z.string()).default([]),
      destinationIps: z.array(z.string()).default([]),
      description: z.string().optional(),
    })
    .transform(({ direction, protocol, port, sourceIps, destinationIps, description }) => ({
      direction,
      protocol,
      ...(port !== undefined && { port }),
      source_ips: sourceIps,
      destination_ips: destinationIps,
      ...(description !== undefined && { description }),
    })),
);

const firewall = handler(z.object({ name: z.string(), rules: rules.default([]) }), async (body, { lab }) => {
  const { found, made } = await ensure(lab, "firewalls", "firewall", body);
  const same = made || JSON.stringify(found.rules) === JSON.stringify(body.rules);
  if (!same) await change(lab, "POST", `firewalls/${found.id}/actions/set_rules`, { rules: body.rules });
  return { id: String(found.id), changed: made || !same };
});

const server = handler(
  z.object({
    name: z.string(),
    serverType: z.string(),
    image: z.string(),
    location: z.string(),
    userData: z.string(),
    labels,
    sshKeys: z.array(z.string()),
    firewallIds: z.array(id),
    placementGroupId: id.optional(),
    networks: z.array(z.object({ networkId: id, ip: z.string() })),
  }),
  async (inputs, { lab }) => {
    const { found, made } = await ensure(lab, "servers", "server", {
      name: inputs.name,
      server_type: inputs.serverType,
      image: inputs.image,
      location: inputs.location,
      user_data: inputs.userData,
      labels: inputs.labels,
      ssh_keys: inputs.sshKeys,
      firewalls: inputs.firewallIds.map((firewallId) => ({ firewall: firewallId })),
      ...(inputs.placementGroupId !== undefined && { placement_group: inputs.placementGroupId }),
    } as { name: string });
    const schema = z.looseObject({
      status: z.string(),
      public_net: z.object({ ipv4: z.object({ ip: z.string() }) }),
      private_net: z.array(z.object({ network: z.number() })),
    });
    const { public_net, private_net, status } = schema.parse(found);
    const path = `servers/${found.id}/actions`;
    // A server that an interrupted `up` created may be incomplete.
    for (const { networkId, ip } of inputs.networks)
      if (!private_net.some(({ network }) => network === networkId))
        await change(lab, "POST", `${path}/attach_to_network`, { network: networkId, ip });
    if (!made && status !== "running") await change(lab, "POST", `${path}/poweron`);
    return { id: String(found.id), outputs: { ipv4Address: public_net.ipv4.ip }, changed: made };
  },
);

const subnet = handler(
  z.object({
    networkId: id,
    type: z.string(),
    networkZone: z.string(),
    ipRange: z.string(),
    vswitchId: id.optional(),
  }),
  async ({ networkId, type, networkZone, ipRange, vswitchId }, { lab }) => {
    const { network } = z
      .object({ network: z.looseObject({ subnets: z.array(z.looseObject({ ip_range: z.string() })) }) })
      .parse(await ask(lab, "GET", `networks/${networkId}`));
    const made = !network.subnets.some((one) => one.ip_range === ipRange);
    const body = {
      type,
      network_zone: networkZone,
      ip_range: ipRange,
      ...(vswitchId !== undefined && { vswitch_id: vswitchId }),
    };
    if (made) await change(lab, "POST", `networks/${networkId}/actions/add_subnet`, body);
    return { id: `${networkId}-${ipRange}`, changed: made };
  },
);

const balancer = z.looseObject({
  public_net: z.object({ ipv4: z.object({ ip: z.string() }) }),
  private_net: z.array(z.object({ network: z.number() })),
  services: z.array(z.looseObject({ listen_port: z.number() })),
  targets: z.array(z.looseObject({ server: z.object({ id: z.number() }).nullish() })),
});

async function readBalancer(lab: Lab, number: number) {
  return z.object({ load_balancer: balancer }).parse(await ask(lab, "GET", `load_balancers/${number}`))
    .load_balancer;
}

const loadBalancer = handler(
  z.object({
    name: z.string(),
    loadBalancerType: z.string(),
    location: z.string(),
    algorithm: z.object({ type: z.string() }).optional(),
  }),
  async ({ name, loadBalancerType, location, algorithm }, { lab }) => {
    const body = { name, load_balancer_type: loadBalancerType, location, ...(algorithm && { algorithm }) };
    const { found, made } = await ensure(lab, "load_balancers", "load_balancer", body);
    return {
      id: String(found.id),
      outputs: { ipv4: balancer.parse(found).public_net.ipv4.ip },
      changed: made,
    };
  },
);

const balancerNetwork = handler(
  z.object({ loadBalancerId: id, networkId: id, ip: z.string() }),
  async ({ loadBalancerId, networkId, ip }, { lab }) => {
    const { private_net } = await readBalancer(lab, loadBalancerId);
    const made = !private_net.some(({ network }) => network === networkId);
    const path = `load_balancers/${loadBalancerId}/actions/attach_to_network`;
    if (made) await change(lab, "POST", path, { network: networkId, ip });
    return { id: `${loadBalancerId}-${networkId}`, changed: made };
  },
);

const checkInputs = z.object({
  protocol: z.string(),
  port: z.number(),
  interval: z.number(),
  timeout: z.number(),
  retries: z.number().optional(),
  http: z.object({ path: z.string(), statusCodes: z.array(z.string()).optional() }).optional(),
});
const balancerService = handler(
  z.object({
    loadBalancerId: id,
    protocol: z.string(),
    listenPort: z.number(),
    destinationPort: z.number(),
    // Strict, so that nothing declared is silently left at Hetzner's default.
    http: z
      .strictObject({
        certificates: z.array(id).default([]),
        redirectHttp: z.boolean().default(false),
        timeoutIdle: z.number().optional(),
      })
      .optional(),
    healthCheck: checkInputs,
  }),
  async ({ loadBalancerId, protocol, listenPort, destinationPort, http, healthCheck: check }, { lab }) => {
    const { services } = await readBalancer(lab, loadBalancerId);
    const old = services.find(({ listen_port }) => listen_port === listenPort);
    const body = {
      protocol,
      listen_port: listenPort,
      destination_port: destinationPort,
      ...(http && {
        http: {
          certificates: http.certificates,
          redirect_http: http.redirectHttp,
          ...(http.timeoutIdle !== undefined && { timeout_idle: http.timeoutIdle }),
        },
      }),
      health_check: {
        ...check,
        ...(check.http && {
          http: {
            path: check.http.path,
            ...(check.http.statusCodes && { status_codes: check.http.statusCodes }),
          },
        }),
      },
    };
    const path = `load_balancers/${loadBalancerId}/actions`;
    const changed = !old || !contains(old, body);
    if (changed) await change(lab, "POST", `${path}/${old ? "update_service" : "add_service"}`, body);
    return { id: `${loadBalancerId}__${listenPort}`, changed };
  },
);

/** Whether every value of `part` is in `whole`. */
function contains(whole: unknown, part: unknown): boolean {
  if (typeof part !== "object" || part === null) return whole === part;
  if (typeof whole !== "object" || whole === null) return false;
  const values = new Map(Object.entries(whole));
  return Object.entries(part).every(([key, value]) => contains(values.get(key), value));
}

const balancerTarget = handler(
  z.object({ loadBalancerId: id, serverId: id, usePrivateIp: z.boolean().default(false) }),
  async ({ loadBalancerId, serverId, usePrivateIp }, { lab }) => {
    const { targets } = await readBalancer(lab, loadBalancerId);
    const made = !targets.some((target) => target.server?.id === serverId);
    const body = { type: "server", server: { id: serverId }, use_private_ip: usePrivateIp };
    if (made) await change(lab, "POST", `load_balancers/${loadBalancerId}/actions/add_target`, body);
    return { id: `lb-srv-tgt-${serverId}-${loadBalancerId}`, changed: made };
  },
);

const rrset = handler(
  z.object({
    zone: z.string(),
    name: z.string(),
    type: z.string(),
    ttl: z.number().optional(),
    records: z.array(z.object({ value: z.string() })),
  }),
  async ({ zone, name, type, ttl, records }, { lab }) => {
    const answer = await ask(lab, "GET", `zones/${zone}/rrsets`);
    const known = z.object({
      rrsets: z.array(z.looseObject({ name: z.string(), type: z.string(), records: z.unknown() })),
    });
    const old = known.parse(answer).rrsets.find((one) => one.name === name && one.type === type);
    const path = `zones/${zone}/rrsets`;
    if (!old) await change(lab, "POST", path, { name, type, records, ...(ttl !== undefined && { ttl }) });
    else if (!contains(old.records, records))
      await change(lab, "POST", `${path}/${encodeURIComponent(name)}/${type}/actions/set_records`, {
        records,
      });
    return { id: `${zone}/${name}/${type}`, changed: !old || !contains(old.records, records) };
  },
);

const network = z
  .object({ name: z.string(), ipRange: z.string() })
  .transform(({ name, ipRange }) => ({ name, ip_range: ipRange }));
const sshKey = z
  .object({ name: z.string(), publicKey: z.string() })
  .transform(({ name, publicKey }) => ({ name, public_key: publicKey }));
const certificate = z
  .object({ name: z.string(), domainNames: z.array(z.string()) })
  .transform(({ name, domainNames }) => ({ name, type: "managed", domain_names: domainNames }));
const zone = z.object({ name: z.string(), mode: z.string(), ttl: z.number().optional() });
const placementGroup = z.object({ name: z.string(), type: z.string() });

export const CLOUD: Readonly<Record<string, Handler>> = {
  "hcloud:index/network:Network": simple("networks", "network", network),
  "hcloud:index/networkSubnet:NetworkSubnet": subnet,
  "hcloud:index/sshKey:SshKey": simple("ssh_keys", "ssh_key", sshKey),
  "hcloud:index/firewall:Firewall": firewall,
  "hcloud:index/placementGroup:PlacementGroup": simple("placement_groups", "placement_group", placementGroup),
  "hcloud:index/server:Server": server,
  "hcloud:index/zone:Zone": simple("zones", "zone", zone),
  "hcloud:index/zoneRrset:ZoneRrset": rrset,
  "hcloud:index/managedCertificate:ManagedCertificate": simple("certificates", "certificate", certificate),
  "hcloud:index/loadBalancer:LoadBalancer": loadBalancer,
  "hcloud:index/loadBalancerNetwork:LoadBalancerNetwork": balancerNetwork,
  "hcloud:index/loadBalancerService:LoadBalancerService": balancerService,
  "hcloud:index/loadBalancerTarget:LoadBalancerTarget": balancerTarget,
};

/** Deletes servers that a platform no longer declares, as after a lower count. */
export async function removeUndeclared(
  lab: Lab,
  stack: string,
  declared: readonly Resource[],
): Promise<number> {
  if (!stack.endsWith("-platform")) return 0;
  const wanted = new Set(
    declared.filter(({ type }) => type === "hcloud:index/server:Server").map(({ inputs }) => inputs.name),
  );
  const gone = (await list(lab, "servers")).filter(({ name }) => !wanted.has(name));
  for (const { id: number } of gone) await change(lab, "DELETE", `servers/${number}`);
  return gone.length;
}
