// The ids that the cloud has given to what the platform declares, found by name. For a state that was lost.
import * as z from "zod";
import { reveal, type Resource } from "../evaluate/graph.ts";
import type { ResourceState } from "../evaluate/recorder.ts";
import { UserError } from "../validation/user-error.ts";

/** Type → the collection of Hetzner's API (docs.hetzner.cloud) that lists it by name. */
const COLLECTIONS: Readonly<Record<string, string>> = {
  "hcloud:index/firewall:Firewall": "firewalls",
  "hcloud:index/loadBalancer:LoadBalancer": "load_balancers",
  "hcloud:index/managedCertificate:ManagedCertificate": "certificates",
  "hcloud:index/network:Network": "networks",
  "hcloud:index/placementGroup:PlacementGroup": "placement_groups",
  "hcloud:index/server:Server": "servers",
  "hcloud:index/sshKey:SshKey": "ssh_keys",
  "hcloud:index/zone:Zone": "zones",
};

type Inputs = Readonly<Record<string, unknown>>;

/** Ids that the provider makes of others' (SetId in terraform-provider-hcloud/internal). */
const MADE: Readonly<Record<string, (inputs: Inputs) => string>> = {
  "hcloud:index/loadBalancerNetwork:LoadBalancerNetwork": ({ loadBalancerId, networkId }) =>
    `${String(loadBalancerId)}-${String(networkId)}`,
  "hcloud:index/loadBalancerService:LoadBalancerService": ({ loadBalancerId, listenPort }) =>
    `${String(loadBalancerId)}__${String(listenPort)}`,
  "hcloud:index/loadBalancerTarget:LoadBalancerTarget": ({ serverId, loadBalancerId }) =>
    `lb-srv-tgt-${String(serverId)}-${String(loadBalancerId)}`,
  "hcloud:index/networkSubnet:NetworkSubnet": ({ networkId, ipRange }) =>
    `${String(networkId)}-${String(ipRange)}`,
  "hcloud:index/zoneRrset:ZoneRrset": ({ name, type }) => `${String(name)}/${String(type)}`,
};

const entity = z.looseObject({
  id: z.number(),
  name: z.string(),
  public_net: z.looseObject({ ipv4: z.looseObject({ ip: z.string() }).nullish() }).nullish(),
});
const providerInputs = z.object({
  token: z.string(),
  endpoint: z.string().default("https://api.hetzner.cloud/v1"),
});

/** Looks resources up in the cloud. */
export class CloudIds {
  /** URN → id, of all that were found. */
  readonly found = new Map<string, string>();
  /** Names of what the program declares and the cloud does not have. */
  readonly missing: string[] = [];
  #login: z.infer<typeof providerInputs> | undefined;

  /** For the recorder: a resource's id and address, as the cloud has them. Rejects with a UserError. */
  async look(resource: Resource): Promise<ResourceState> {
    const { type, urn, name } = resource;
    const inputs = z.record(z.string(), z.unknown()).parse(reveal(resource.inputs));
    if (type === "pulumi:providers:hcloud") this.#login = providerInputs.parse(inputs);
    if (type === "command:remote:Command") return { id: "none", outputs: { stdout: "", stderr: "" } };
    const make = MADE[type];
    // What it is made of has been looked up before: the program needs its id for these inputs.
    if (make) return this.#take(urn, make(inputs));
    const collection = COLLECTIONS[type];
    if (collection === undefined) return { id: name };
    const there = await this.#ask(collection, String(inputs["name"]));
    if (!there) {
      this.missing.push(name);
      return { id: "0", outputs: { ipv4Address: "192.0.2.1", ipv4: "192.0.2.1" } };
    }
    const address = there.public_net?.ipv4?.ip;
    const state = this.#take(urn, String(there.id));
    return address === undefined ? state : { ...state, outputs: { ipv4Address: address, ipv4: address } };
  }

  #take(urn: string, id: string): ResourceState {
    this.found.set(urn, id);
    return { id };
  }

  async #ask(collection: string, name: string): Promise<z.infer<typeof entity> | undefined> {
    if (!this.#login) throw new Error("the program declares no hcloud provider before its resources");
    const { endpoint, token } = this.#login;
    const url = `${endpoint}/${collection}?name=${encodeURIComponent(name)}`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } }).catch(
      (error: unknown) => {
        throw new UserError(`${endpoint} does not answer (${String(error)}); nothing was changed.`);
      },
    );
    if (!answer.ok)
      throw new UserError(
        `${url} answers ${answer.status}; nothing was changed. Is framaspace:hcloudToken right?`,
      );
    const all = z.record(z.string(), z.unknown()).parse(await answer.json())[collection];
    return z.array(entity).parse(all)[0];
  }
}
