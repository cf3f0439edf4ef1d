// Who may open which port: one table, rendered twice. The cloud firewall filters traffic from outside. nftables on the
// machines also filters the private network, which the cloud firewall does not see.
import { LOAD_BALANCER_ADDRESS, SUBNETS, type Role } from "../inventory/addresses.ts";

/**
 * Where traffic comes from: a role's machines, the load balancer, the administrators' addresses, or any machine of
 * ours.
 */
type Source = Role | "loadBalancer" | "administrators" | "machines";

interface Flow {
  to: Role;
  from: readonly Source[];
  port: number;
}

/** Ports of the services. */
export const PORTS = {
  ssh: 22,
  gateway: 80,
  web: 80,
  postgres: 5432,
  redis: 6379,
  imaginary: 9000,
  collabora: 9980,
  /** MinIO itself: S3, administration and the traffic between its nodes, all on one port. */
  minio: 9000,
  /** The part of S3 that spaces and backups need (infra/storage/s3-proxy.ts). */
  s3: 9443,
  syslog: 6514,
} as const;

/** Where code of spaces runs. Both reach the same. */
const SPACES_CODE = ["web", "worker"] as const;

/** SSH is not in the table: ops accepts it from the administrators, all other machines only from ops. */
const FLOWS: readonly Flow[] = [
  { to: "gateway", from: ["loadBalancer"], port: PORTS.gateway },
  { to: "web", from: ["gateway", "ops"], port: PORTS.web },
  { to: "postgres", from: [...SPACES_CODE, "ops", "postgres"], port: PORTS.postgres },
  { to: "redis", from: [...SPACES_CODE, "ops"], port: PORTS.redis },
  { to: "imaginary", from: SPACES_CODE, port: PORTS.imaginary },
  { to: "office", from: ["gateway", ...SPACES_CODE], port: PORTS.collabora },
  { to: "storage", from: ["storage", "ops"], port: PORTS.minio },
  { to: "storage", from: [...SPACES_CODE, "ops", "postgres"], port: PORTS.s3 },
  { to: "logs", from: ["machines"], port: PORTS.syslog },
];

/** A rule of the cloud firewall: what may come from outside. */
export interface PublicRule {
  port: number;
  sources: readonly string[];
}

/** Rules of a role's cloud firewall. With none, nothing gets in: web traffic arrives through the private network. */
export function publicRules(role: Role, administrators: readonly string[]): PublicRule[] {
  return role === "ops" ? [{ port: PORTS.ssh, sources: administrators }] : [];
}

function addressesOf(source: Source, administrators: readonly string[]): readonly string[] {
  switch (source) {
    case "loadBalancer":
      return [LOAD_BALANCER_ADDRESS];
    case "administrators":
      return administrators;
    case "machines":
      return Object.values(SUBNETS);
    default:
      return [SUBNETS[source]];
  }
}

/** /etc/nftables.conf of a machine of this role. */
export function renderNftables(role: Role, administrators: readonly string[]): string {
  const ssh: Flow = { to: role, from: role === "ops" ? ["administrators"] : ["ops"], port: PORTS.ssh };
  const accepts = [ssh, ...FLOWS.filter((flow) => flow.to === role)].map(({ from, port }) => {
    const sources = from.flatMap((source) => addressesOf(source, administrators));
    return `    ip saddr { ${sources.join(", ")} } tcp dport ${port} accept`;
  });
  return `#!/usr/sbin/nft -f
# Rendered by infra/machine/firewall.ts; changes made here are overwritten.
table inet framaspace
delete table inet framaspace
table inet framaspace {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iif lo accept
    meta l4proto { icmp, ipv6-icmp } accept
${accepts.join("\n")}
  }
  chain output {
    type filter hook output priority filter; policy accept;
    # The cloud's metadata service holds this machine's host key. Only root may ask it: PHP can be tricked into
    # requests. Clouds put it at link-local addresses, IPv4 or IPv6, or at fd00:ec2::254. Only TCP: DHCP renews leases
    # over UDP.
    ip daddr 169.254.0.0/16 meta l4proto tcp meta skuid != 0 reject
    ip6 daddr { fe80::/10, fd00:ec2::254 } meta l4proto tcp meta skuid != 0 reject
  }
}
`;
}
