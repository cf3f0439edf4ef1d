// What the hcloud-compatible endpoint knows: one document, in one file. Where Hetzner's answer repeats data of the
// document, the document has its own shape, and each kind's `view` turns it into Hetzner's.
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";

export interface Entity {
  id: number;
  name: string;
  labels: Record<string, string>;
  created: string;
  /** Protected from deletion by `change_protection`. */
  protected: boolean;
}

export interface SshKey extends Entity {
  public_key: string;
}

export interface FirewallRule {
  direction: "in" | "out";
  protocol: string;
  port?: string | null | undefined;
  source_ips: string[];
  destination_ips: string[];
  description?: string | null | undefined;
}

export interface Firewall extends Entity {
  rules: FirewallRule[];
}

export interface PlacementGroup extends Entity {
  type: string;
}

export interface Network extends Entity {
  ip_range: string;
  subnets: { type: string; ip_range: string; network_zone: string; vswitch_id?: number | undefined }[];
  routes: { destination: string; gateway: string }[];
}

export interface Server extends Entity {
  status: "initializing" | "running" | "off";
  server_type: string;
  image: string;
  location: string;
  /** Public address; null if the server has none. */
  ipv4: string | null;
  private_net: { network: number; ip: string; alias_ips: string[] }[];
  firewalls: number[];
  placement_group: number | null;
  public_keys: string[];
  user_data: string;
}

export interface HealthCheck {
  protocol: "http" | "tcp" | "https";
  port: number;
  interval: number;
  timeout: number;
  retries: number;
  http: { domain: string; path: string; response: string; status_codes: string[]; tls: boolean } | null;
}

export interface Service {
  protocol: "http" | "https" | "tcp";
  listen_port: number;
  destination_port: number;
  proxyprotocol: boolean;
  http: {
    cookie_name: string;
    cookie_lifetime: number;
    certificates: number[];
    redirect_http: boolean;
    sticky_sessions: boolean;
    timeout_idle: number;
  };
  health_check: HealthCheck;
}

export interface Target {
  type: string;
  server?: { id: number } | undefined;
  ip?: { ip: string } | undefined;
  label_selector?: { selector: string } | undefined;
  use_private_ip: boolean;
}

export interface LoadBalancer extends Entity {
  load_balancer_type: string;
  location: string;
  algorithm: { type: string };
  ipv4: string;
  public_interface: boolean;
  private_net: { network: number; ip: string }[];
  services: Service[];
  targets: Target[];
}

export interface Certificate extends Entity {
  type: string;
  domain_names: string[];
  /** PEM, the chain. */
  certificate: string;
  /** PEM; never shown. */
  private_key: string;
  not_valid_before: string;
  not_valid_after: string;
  fingerprint: string;
}

export interface RrSet {
  name: string;
  type: string;
  ttl: number | null;
  labels: Record<string, string>;
  records: { value: string; comment?: string | undefined }[];
  protected: boolean;
}

export interface Zone extends Entity {
  mode: string;
  ttl: number;
  rrsets: RrSet[];
}

export interface Action {
  id: number;
  command: string;
  status: "running" | "success" | "error";
  progress: number;
  started: string;
  finished: string | null;
  error: { code: string; message: string } | null;
  resources: { id: number; type: string }[];
}

export interface Collections {
  ssh_keys: SshKey[];
  firewalls: Firewall[];
  placement_groups: PlacementGroup[];
  networks: Network[];
  servers: Server[];
  load_balancers: LoadBalancer[];
  certificates: Certificate[];
  zones: Zone[];
}

export interface State extends Collections {
  lastId: number;
  /** The latest actions, for clients that wait for them. */
  actions: Action[];
}

export const EMPTY: State = {
  lastId: 0,
  actions: [],
  ssh_keys: [],
  firewalls: [],
  placement_groups: [],
  networks: [],
  servers: [],
  load_balancers: [],
  certificates: [],
  zones: [],
};

/** Reads the document; empty if there is none yet. */
export function readState(file: string): State {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return structuredClone(EMPTY);
  }
  // No validation: only writeState writes this file.
  const state: State = JSON.parse(text);
  return { ...structuredClone(EMPTY), ...state };
}

/** Writes the whole document or nothing. It holds keys, so only root can read it. */
export async function writeState(file: string, state: State): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The next id. All kinds share one sequence, so that no id is mistaken for another kind's. */
export function nextId(state: State): number {
  return ++state.lastId;
}
