// The table of machines with their names and private addresses. Addresses are computed here, not assigned by the cloud,
// so that every stack can be evaluated alone and no stack reads another's outputs.
import {
  CLOUD_ROLES,
  SITE_LETTERS,
  type CloudRole,
  type Environment,
  type SiteRole,
  type StorageServer,
} from "./environment.ts";
import { OPS_RECORD } from "./names.ts";

export type Role = CloudRole | "storage";

/** The private network and its two parts: hcloud servers, and the dedicated servers on the vSwitch. */
export const NETWORK = { range: "10.0.0.0/16", cloud: "10.0.0.0/17", vswitch: "10.0.128.0/24" } as const;

/** Private address of the load balancer. */
export const LOAD_BALANCER_ADDRESS = "10.0.5.1";

/** One /24 for each role: a firewall rule names the subnet, so adding a machine changes no other machine's rules. */
export const SUBNETS: Record<Role, string> = {
  ops: "10.0.1.0/24",
  logs: "10.0.2.0/24",
  gateway: "10.0.10.0/24",
  web: "10.0.20.0/24",
  worker: "10.0.21.0/24",
  postgres: "10.0.30.0/24",
  redis: "10.0.31.0/24",
  imaginary: "10.0.40.0/24",
  office: "10.0.41.0/24",
  storage: NETWORK.vswitch,
};

/** Offset of a site's first server in the vSwitch subnet. */
const SITE_OFFSETS: Record<SiteRole, number> = { primary: 10, replica: 20 };

/**
 * Host name of a storage site. It resolves to the addresses of all its nodes, so that every client (MinIO itself, mc,
 * curl, an SSH tunnel) skips nodes that are down.
 */
export const siteName = (site: SiteRole): string => `storage-${SITE_LETTERS[site]}`;

export interface MachineSpec {
  /** Host name, resource name and log name: `web-1`. */
  readonly name: string;
  readonly role: Role;
  readonly privateAddress: string;
}

export interface StorageSpec extends MachineSpec {
  readonly site: SiteRole;
  readonly server: StorageServer;
}

function addressIn(subnet: string, host: number): string {
  return subnet.replace(/\d+\/\d+$/, String(host));
}

/** The cloud machines of one role, in order. */
export function cloudMachines(environment: Environment, role: CloudRole): MachineSpec[] {
  return Array.from({ length: environment.machines[role].count }, (_, index) => ({
    name: `${role}-${index + 1}`,
    role,
    privateAddress: addressIn(SUBNETS[role], index + 1),
  }));
}

/** The PostgreSQL node that takes the writes. */
export function primaryPostgres(environment: Environment): MachineSpec {
  const nodes = cloudMachines(environment, "postgres");
  const primary = nodes.find(({ name }) => name === (environment.postgresPrimary ?? nodes[0]?.name));
  if (!primary) throw new Error("environment without postgres-1 passed its checks");
  return primary;
}

/** The dedicated servers of one site, in order; empty where the environment has no such site. */
export function storageMachines(environment: Environment, site: SiteRole): StorageSpec[] {
  return (environment.storage?.sites[site]?.servers ?? []).map((server, index) => ({
    name: server.name,
    role: "storage",
    privateAddress: addressIn(SUBNETS.storage, SITE_OFFSETS[site] + index + 1),
    site,
    server,
  }));
}

/** The storage nodes that spaces use: those of the serving site. */
export function servingMachines(environment: Environment): StorageSpec[] {
  return environment.storage ? storageMachines(environment, environment.storage.serving) : [];
}

/** All host names of a machine. */
export function namesOf(spec: MachineSpec): string[] {
  return isStorage(spec) ? [spec.name, siteName(spec.site)] : [spec.name];
}

export function isStorage(spec: MachineSpec): spec is StorageSpec {
  return spec.role === "storage";
}

/** Every machine of an environment. */
export function allMachines(environment: Environment): MachineSpec[] {
  return [
    ...CLOUD_ROLES.flatMap((role) => cloudMachines(environment, role)),
    ...storageMachines(environment, "primary"),
    ...storageMachines(environment, "replica"),
  ];
}

/** All machines except the storage servers of a site that is declared unreachable. */
export function reachableMachines(environment: Environment): MachineSpec[] {
  return allMachines(environment).filter(
    (spec) => !isStorage(spec) || environment.storage?.sites[spec.site]?.declaredUnreachable === undefined,
  );
}

/** /etc/hosts of every machine: the private network has no name server. */
export function renderHosts(environment: Environment): string {
  return [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost ip6-loopback",
    ...allMachines(environment).map((spec) => `${spec.privateAddress} ${namesOf(spec).join(" ")}`),
    "",
  ].join("\n");
}

/** Public address or host name of ops-1. */
export function opsHost({ opsAddress, domain }: Pick<Environment, "opsAddress" | "domain">): string {
  return opsAddress ?? `${OPS_RECORD}.${domain}`;
}
