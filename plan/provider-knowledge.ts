// What the providers do with a change, and what their resources hold. Only a provider knows which properties it cannot
// change in place. A plan asks no provider, so the properties that this program uses are listed here.
import type { Resource } from "../evaluate/graph.ts";

/**
 * Properties whose change replaces the resource: `willReplaceOnChanges` in each provider's schema.json, and
 * RequiresReplace in terraform-provider-hcloud for what schema.json leaves out (ssh key, zone, record set, load
 * balancer network).
 */
const REPLACING: Readonly<Record<string, readonly string[]>> = {
  "command:remote:Command": ["triggers"],
  "hcloud:index/loadBalancer:LoadBalancer": ["location", "networkZone"],
  "hcloud:index/loadBalancerNetwork:LoadBalancerNetwork": ["ip", "loadBalancerId", "networkId", "subnetId"],
  "hcloud:index/loadBalancerService:LoadBalancerService": ["listenPort", "loadBalancerId", "protocol"],
  "hcloud:index/loadBalancerTarget:LoadBalancerTarget": ["ip", "labelSelector", "loadBalancerId", "serverId"],
  "hcloud:index/managedCertificate:ManagedCertificate": ["domainNames"],
  "hcloud:index/network:Network": ["ipRange"],
  "hcloud:index/networkSubnet:NetworkSubnet": ["ipRange", "networkId", "networkZone", "type", "vswitchId"],
  "hcloud:index/placementGroup:PlacementGroup": ["type"],
  "hcloud:index/server:Server": ["datacenter", "image", "location", "sshKeys", "userData"],
  "hcloud:index/sshKey:SshKey": ["publicKey"],
  "hcloud:index/zone:Zone": ["mode", "name"],
  "hcloud:index/zoneRrset:ZoneRrset": ["name", "type", "zone"],
  "minio:index/iamPolicy:IamPolicy": ["name", "namePrefix"],
  "minio:index/iamUser:IamUser": ["name"],
  "minio:index/iamUserPolicyAttachment:IamUserPolicyAttachment": ["policyName", "userName"],
  "minio:index/ilmPolicy:IlmPolicy": ["bucket"],
  "minio:index/s3Bucket:S3Bucket": ["bucket", "bucketPrefix"],
  "postgresql:index/database:Database": ["encoding", "lcCollate", "lcCtype", "template"],
};

/** Properties of this resource whose change replaces it. */
export function replacingProperties({ type, options }: Resource): string[] {
  // "triggers[*]" names the same property as "triggers".
  const asked = options.replaceOnChanges?.map((path) => path.replace(/[.[].*$/s, "")) ?? [];
  return [...new Set([...(REPLACING[type] ?? []), ...asked])];
}

const HOLDS_DATA = new Set([
  "framaspace:infra:DedicatedServer",
  "hcloud:index/network:Network",
  "hcloud:index/zone:Zone",
  "minio:index/iamUser:IamUser",
  "minio:index/s3Bucket:S3Bucket",
  "postgresql:index/database:Database",
  "postgresql:index/role:Role",
]);
const ROLES_WITH_DATA: readonly unknown[] = ["postgres", "logs", "ops"];

/** Whether people would miss something if the resource were destroyed. Does not rely on `protect` alone. */
export function holdsData({ type, inputs, protect }: Resource): boolean {
  if (protect || HOLDS_DATA.has(type)) return true;
  const labels = inputs["labels"];
  return (
    type === "hcloud:index/server:Server" &&
    typeof labels === "object" &&
    labels !== null &&
    "role" in labels &&
    ROLES_WITH_DATA.includes(labels.role)
  );
}
