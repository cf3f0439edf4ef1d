// Renders the load balancer of the endpoint's document as HAProxy's configuration. Only text; balancer.ts runs it.
//
// HAProxy may differ from Hetzner's load balancers in this:
// - A new target receives requests until its first check fails. This check starts at once. HAProxy 3.1 can wait for the
//   first success (`init-state`); Debian has older versions.
// - Hetzner does not say how long it waits for a connection to a target, whether it then asks another target, or if it
//   keeps connections to targets open. Here HAProxy waits for the idle time, asks no other target, and opens a new
//   connection for each request: the worst that can be.
// - HAProxy itself answers 400 to invalid HTTP, such as a path with bytes that should be encoded.
import { join } from "node:path";
import type { LoadBalancer, Service, State } from "./hcloud/document.ts";

/** The files that HAProxy reads. */
export interface Rendered {
  configuration: string;
  /** Path → certificates and key, as one PEM. Secret. */
  certificates: ReadonlyMap<string, string>;
}

/** Where HAProxy's files are. */
export interface Places {
  /** Socket on which it also listens for https, for clients on the host. */
  socket: string;
  /** Folder of the certificates. */
  certificates: string;
}

/** The address that HAProxy gives to clients from the host's loopback: one from outside (TEST-NET-2). */
const VISITOR = "198.51.100.1";
/** Number of the socket among the addresses of a service. */
const SOCKET_ID = 1000;
/** Two for each of the 10,000 connections of Hetzner's smallest load balancer (https://docs.hetzner.com, LB11). */
const FILE_DESCRIPTORS = 20_000;

/** Undefined if there is nothing to listen on. */
export function renderBalancer(state: State, places: Places): Rendered | undefined {
  const balancer = state.load_balancers[0];
  if (!balancer || balancer.services.length === 0) return undefined;
  const certificates = new Map(
    state.certificates.map(({ id, certificate, private_key }) => [
      join(places.certificates, `${id}.pem`),
      `${certificate}${private_key}`,
    ]),
  );
  const targets = targetsOf(state, balancer);
  const taken = new Set(balancer.services.map(({ listen_port }) => listen_port));
  const sections = balancer.services.flatMap((service) => [
    renderFrontend(service, places),
    ...(service.protocol === "https" && service.http.redirect_http && !taken.has(80)
      ? [renderRedirect(service)]
      : []),
    renderHealth(service, targets),
    renderBackend(service, balancer.algorithm.type, targets),
  ]);
  const configuration = `# Rendered by lab/haproxy.ts; changes made here are overwritten.
global
  log stdout format iso local0 notice
  fd-hard-limit ${FILE_DESCRIPTORS}
  # All first checks at once, after a millisecond.
  max-spread-checks 1

defaults
  log global
  # Requests that fail are logged as errors, and no others.
  option log-separate-errors
  option dontlognull
  retries 0

${sections.join("\n")}`;
  return { configuration, certificates };
}

interface Target {
  name: string;
  address: string;
}

/** The targets, with the addresses that the load balancer uses. */
function targetsOf(state: State, balancer: LoadBalancer): Target[] {
  return balancer.targets.flatMap(({ server, ip, use_private_ip }): Target[] => {
    if (ip) return [{ name: ip.ip, address: ip.ip }];
    const found = state.servers.find(({ id }) => id === server?.id);
    const address = use_private_ip ? found?.private_net[0]?.ip : found?.ipv4;
    return found && address ? [{ name: found.name, address }] : [];
  });
}

/**
 * Seconds of silence after which HAProxy closes a connection, to the client or to the target. Hetzner documents this
 * only for HTTP, on both sides (hcloud-cloud-controller-manager, load_balancer_annotations.md). For TCP it says
 * nothing, so here TCP is the same.
 */
const idleOf = ({ http }: Service) => http.timeout_idle;

const modeOf = ({ protocol }: Service) => (protocol === "tcp" ? "tcp" : "http");

function renderFrontend(service: Service, places: Places): string {
  const { protocol, listen_port: port } = service;
  const pems = service.http.certificates.map((id) => `crt ${join(places.certificates, `${id}.pem`)}`);
  // HAProxy takes the certificate for the requested name, or the first one if none matches.
  const tls = protocol === "https" ? ` ssl ${pems.join(" ")} alpn h2,http/1.1` : "";
  const isVisited = protocol === "https" && port === 443;
  const lines = [
    `mode ${modeOf(service)}`,
    `bind 0.0.0.0:${port}${tls}`,
    ...(isVisited ? [`bind unix@${places.socket} id ${SOCKET_ID} mode 600${tls}`] : []),
    ...(isVisited ? [`tcp-request connection set-src str(${VISITOR}) if { so_id ${SOCKET_ID} }`] : []),
    `timeout client ${idleOf(service)}s`,
    ...(protocol === "tcp"
      ? ["option tcplog"]
      : [
          "option httplog",
          `timeout http-request ${idleOf(service)}s`,
          "option forwardfor",
          `http-request set-header X-Forwarded-Proto ${protocol}`,
          `http-request set-header X-Forwarded-Port ${port}`,
        ]),
    `default_backend ${port}`,
  ];
  return section(`frontend ${port}`, lines);
}

function renderRedirect(service: Service): string {
  const { listen_port } = service;
  const port = listen_port === 443 ? "" : `:${listen_port}`;
  return section(`frontend ${listen_port}-redirect`, [
    "mode http",
    "bind 0.0.0.0:80",
    `timeout client ${idleOf(service)}s`,
    `http-request redirect prefix https://%[req.hdr(host),field(1,:)]${port} code 301`,
  ]);
}

/**
 * The health checks. They have a backend of their own: in the one that serves, its long wait for a connection would
 * also apply to the checks. A target becomes unhealthy after `retries` failures, and healthy again after as many
 * successes, as Hetzner's API says of LoadBalancerServiceHealthCheck.
 */
function renderHealth({ listen_port, health_check: check }: Service, targets: readonly Target[]): string {
  const { protocol, port, interval, timeout, retries, http } = check;
  const host = http?.domain ? ` ver HTTP/1.1 hdr Host ${http.domain}` : "";
  const statuses = http?.status_codes.map((pattern) => pattern.replaceAll("?", "."));
  const tls = protocol === "https" || http?.tls ? " check-ssl verify none" : "";
  const times = `inter ${interval}s rise ${retries} fall ${retries}`;
  return section(`backend ${listen_port}-health`, [
    `mode ${http ? "http" : "tcp"}`,
    `timeout connect ${timeout}s`,
    `timeout server ${timeout}s`,
    `timeout check ${timeout}s`,
    ...(http
      ? [
          "option httpchk",
          `http-check send meth GET uri ${http.path}${host}`,
          `http-check expect rstatus ^(${statuses?.join("|")})$`,
          ...(http.response === "" ? [] : [`http-check expect string ${quote(http.response)}`]),
        ]
      : []),
    ...targets.map(({ name, address }) => `server ${name} ${address} check port ${port} ${times}${tls}`),
  ]);
}

function renderBackend(service: Service, algorithm: string, targets: readonly Target[]): string {
  const { listen_port, destination_port } = service;
  return section(`backend ${listen_port}`, [
    `mode ${modeOf(service)}`,
    `balance ${algorithm === "least_connections" ? "leastconn" : "roundrobin"}`,
    ...(service.protocol === "tcp" ? [] : ["option http-server-close", "http-reuse never"]),
    `timeout connect ${idleOf(service)}s`,
    `timeout server ${idleOf(service)}s`,
    ...targets.map(
      ({ name, address }) =>
        `server ${name} ${address}:${destination_port} track ${listen_port}-health/${name}`,
    ),
  ]);
}

function section(head: string, lines: readonly string[]): string {
  return `${head}\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

/** Quotes a text as one word of a configuration line. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
