// DNS zones and their record sets. The endpoint only stores them: nothing in the lab resolves these names.
import * as z from "zod";
import { ApiError, common, read, startAction, type Kind } from "./kind.ts";
import type { RrSet, State, Zone } from "./document.ts";

const record = z.object({ value: z.string(), comment: z.string().optional() });
const labels = z.record(z.string(), z.string()).optional();
const rrsetBody = z.object({
  name: z.string(),
  type: z.string(),
  ttl: z.number().nullish(),
  labels,
  records: z.array(record).default([]),
});

export const zones: Kind<"zones"> = {
  singular: "zone",
  async create(entity, body) {
    const { mode, ttl } = read(z.object({ mode: z.string(), ttl: z.number().default(3600) }), body);
    return { ...entity, mode, ttl, rrsets: [] };
  },
  view(zone) {
    const nameservers = { assigned: ["hydrogen.ns.hetzner.com."], delegated: [] };
    return {
      ...common(zone),
      mode: zone.mode,
      ttl: zone.ttl,
      primary_nameservers: [],
      authoritative_nameservers: {
        ...nameservers,
        delegation_last_check: zone.created,
        delegation_status: "unregistered",
      },
      registrar: "unknown",
      status: "ok",
      record_count: zone.rrsets.length,
    };
  },
  actions: {
    change_ttl(zone, body) {
      zone.ttl = read(z.object({ ttl: z.number() }), body).ttl;
    },
  },
};

/** Answers `/zones/ID/rrsets/…`. `path` is the part after `rrsets`. Undefined if there is no such route. */
export function answerRrset(
  method: string,
  path: string[],
  zone: Zone,
  body: unknown,
  state: State,
): unknown {
  const [name, type, actions, action] = path;
  const done = (command: string) => startAction(state, command, [{ id: zone.id, type: "zone" }]);
  if (name === undefined && method === "GET")
    return { rrsets: zone.rrsets.map((rrset) => view(zone, rrset)) };
  if (name === undefined && method === "POST") {
    const { ttl, ...asked } = read(rrsetBody, body);
    if (zone.rrsets.some((other) => other.name === asked.name && other.type === asked.type))
      throw new ApiError(409, "uniqueness_error", `${asked.name}/${asked.type} already exists`);
    const rrset: RrSet = { ...asked, ttl: ttl ?? null, labels: asked.labels ?? {}, protected: false };
    zone.rrsets.push(rrset);
    return { rrset: view(zone, rrset), action: done("create_rrset") };
  }
  const rrset = zone.rrsets.find((one) => one.name === name && one.type === type);
  if (!rrset) throw new ApiError(404, "not_found", `RRSet '${name}/${type}' not found`);
  if (actions === undefined)
    switch (method) {
      case "GET":
        return { rrset: view(zone, rrset) };
      case "PUT":
        rrset.labels = read(z.object({ labels }), body).labels ?? rrset.labels;
        return { rrset: view(zone, rrset) };
      case "DELETE":
        zone.rrsets = zone.rrsets.filter((other) => other !== rrset);
        return { action: done("delete_rrset") };
    }
  switch (action) {
    case "set_records":
      rrset.records = read(z.object({ records: z.array(record) }), body).records;
      return { action: done(action) };
    case "change_ttl":
      rrset.ttl = read(z.object({ ttl: z.number().nullable() }), body).ttl;
      return { action: done(action) };
    case "change_protection":
      rrset.protected = read(z.object({ change: z.boolean() }), body).change;
      return { action: done(action) };
    default:
      return undefined;
  }
}

function view(zone: Zone, rrset: RrSet) {
  const { name, type, ttl, records, protected: change } = rrset;
  return {
    id: `${name}/${type}`,
    name,
    type,
    ttl,
    labels: rrset.labels,
    records,
    protection: { change },
    zone: zone.id,
  };
}
