// Every kind of resource that the endpoint keeps. Most have their own file.
import { createHash, X509Certificate } from "node:crypto";
import * as z from "zod";
import { ApiError, common, read, type Kind } from "./kind.ts";
import { loadBalancers } from "./load-balancer-kind.ts";
import type { Collections } from "./document.ts";
import { firewalls, networks } from "./network-kind.ts";
import { placementGroups } from "./placement-group-kind.ts";
import { servers } from "./server-kind.ts";
import { zones } from "./zone-kind.ts";

const sshKeys: Kind<"ssh_keys"> = {
  singular: "ssh_key",
  async create(entity, body, state) {
    const { public_key } = read(z.looseObject({ public_key: z.string() }), body);
    if (state.ssh_keys.some((key) => key.public_key === public_key))
      throw new ApiError(409, "uniqueness_error", "SSH key with the same fingerprint already exists");
    return { ...entity, public_key };
  },
  view(key) {
    const digest = createHash("md5")
      .update(Buffer.from(key.public_key.split(" ")[1] ?? "", "base64"))
      .digest("hex");
    return { ...common(key), public_key: key.public_key, fingerprint: digest.match(/../g)?.join(":") };
  },
};

const certificates: Kind<"certificates"> = {
  singular: "certificate",
  async create(entity, body, _state, world) {
    const schema = z.looseObject({ type: z.literal("managed"), domain_names: z.array(z.string()).min(1) });
    const { type, domain_names } = read(schema, body);
    const { certificate, privateKey } = await world.issue(domain_names);
    const parsed = new X509Certificate(certificate);
    return {
      ...entity,
      type,
      domain_names,
      certificate,
      private_key: privateKey,
      not_valid_before: new Date(parsed.validFrom).toISOString(),
      not_valid_after: new Date(parsed.validTo).toISOString(),
      fingerprint: parsed.fingerprint256,
    };
  },
  view(entity) {
    const { private_key: _hidden, protected: _protection, ...shown } = entity;
    return { ...shown, status: { issuance: "completed", renewal: "scheduled" }, used_by: [] };
  },
  deleting({ id }, state) {
    if (
      state.load_balancers.some(({ services }) => services.some(({ http }) => http.certificates.includes(id)))
    )
      throw new ApiError(409, "resource_in_use", `certificate ${id} is still used by a load balancer`);
  },
};

export const KINDS: { [K in keyof Collections]: Kind<K> } = {
  ssh_keys: sshKeys,
  firewalls,
  placement_groups: placementGroups,
  networks,
  servers,
  load_balancers: loadBalancers,
  certificates,
  zones,
};
