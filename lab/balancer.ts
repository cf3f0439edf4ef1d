// The load balancer's process, in its own namespace: `node lab/balancer.ts NAME`. Does what the endpoint's document
// declares: services, targets, health checks, certificates. Also listens on a socket file, where the host's port ends.
// Leaves out sticky sessions and the PROXY protocol, and says so in its log where they are declared.
import { createProxyServer } from "httpxy";
import { statSync } from "node:fs";
import { rm } from "node:fs/promises";
import {
  createServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import { connect, createServer as createTcpServer, type Server as TcpServer, type Socket } from "node:net";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { balancerSocket } from "./forwarder.ts";
import { addressesOf, HealthChecks } from "./target-health.ts";
import { readState, type Service, type State } from "./hcloud/document.ts";
import { openLab } from "./lab.ts";

const lab = openLab(process.argv[2] ?? "");
const file = join(lab.directory, "hcloud.json");
const POLL_MILLISECONDS = 300;
/** Who a visitor from the host's loopback is taken for: one from outside (TEST-NET-2). */
const VISITOR = "198.51.100.1";

let state: State = readState(file);
let seen = 0;
const health = new HealthChecks();
const proxy = createProxyServer();
proxy.on("error", (error, _request, response) => {
  console.error(error.message);
  if (response && "writeHead" in response)
    response.headersSent ? response.destroy() : response.writeHead(502).end();
  else response?.destroy();
});

/** Listeners by what they listen on. */
const listeners = new Map<string, { protocol: string; servers: TcpServer[] }>();
let turn = 0;

/** The next healthy target of a service. */
function pick(service: Service): { host: string; port: number } | undefined {
  const healthy = addressesOf(state, state.load_balancers[0]).filter((address) =>
    health.isHealthy(service, address),
  );
  const host = healthy[turn++ % healthy.length];
  return host === undefined ? undefined : { host, port: service.destination_port };
}

function serviceAt(port: number): Service | undefined {
  return state.load_balancers[0]?.services.find((service) => service.listen_port === port);
}

/** Headers that Hetzner's load balancers add. */
function forwardedHeaders(request: IncomingMessage, service: Service): Record<string, string> {
  const client = request.socket.remoteAddress?.replace(/^::ffff:/, "") ?? VISITOR;
  const before = request.headers["x-forwarded-for"];
  return {
    "x-forwarded-for": [before ?? [], client].flat().join(", "),
    "x-forwarded-proto": service.protocol === "https" ? "https" : "http",
    "x-forwarded-port": String(service.listen_port),
  };
}

function proxyOptions(request: IncomingMessage, service: Service, target: { host: string; port: number }) {
  // The socket's real peer is told above; a target that is silent for the idle time is given up, as at Hetzner.
  const proxyTimeout = service.http.timeout_idle * 1000;
  return {
    target: `http://${target.host}:${target.port}`,
    headers: forwardedHeaders(request, service),
    proxyTimeout,
  };
}

function answer(port: number, request: IncomingMessage, response: ServerResponse): void {
  const service = serviceAt(port);
  const target = service && pick(service);
  if (!service || !target)
    return void response.writeHead(503, { "content-type": "text/plain" }).end("no healthy target\n");
  void proxy.web(request, response, proxyOptions(request, service, target));
}

function upgrade(port: number, request: IncomingMessage, socket: Socket, head: Buffer): void {
  const service = serviceAt(port);
  const target = service && pick(service);
  if (!service || !target) return void socket.destroy();
  void proxy.ws(request, socket, proxyOptions(request, service, target), head);
}

/** No limit on a whole request: uploads take long. */
const LIMITS = { requestTimeout: 0, headersTimeout: 60_000 };

function httpServer(port: number): HttpServer {
  const server = createServer(LIMITS, (request, response) => answer(port, request, response));
  return server.on("upgrade", (request, socket: Socket, head) => upgrade(port, request, socket, head));
}

function tlsServer(port: number): Http2SecureServer {
  const server = createSecureServer({
    allowHTTP1: true,
    ...LIMITS,
    SNICallback: (name, callback) => {
      const pair = certificateFor(port, name);
      if (pair) callback(null, createSecureContext({ cert: pair.certificate, key: pair.private_key }));
      else callback(new Error(`no certificate for ${name}`));
    },
  });
  // The compatibility layer of http2 gives what the proxy takes.
  server.on("request", (request, response) => answer(port, request as never, response as never));
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) =>
    upgrade(port, request, socket, head),
  );
  return server;
}

function certificateFor(port: number, name: string) {
  const ids = serviceAt(port)?.http.certificates ?? [];
  const own = state.certificates.filter(({ id }) => ids.includes(id));
  const wildcard = name.replace(/^[^.]+/, "*");
  return (
    own.find(({ domain_names }) => domain_names.includes(name) || domain_names.includes(wildcard)) ?? own[0]
  );
}

function tcpServer(port: number): TcpServer {
  return createTcpServer((socket) => {
    const service = serviceAt(port);
    const target = service && pick(service);
    if (!target) return void socket.destroy();
    const upstream = connect(target);
    for (const [one, other] of [[socket, upstream] as const, [upstream, socket] as const])
      one.on("error", () => other.destroy()).pipe(other);
  });
}

function redirectServer(port: number): HttpServer {
  return createServer((request, response) => {
    const host = (request.headers.host ?? "").replace(/:\d+$/, "");
    const location = `https://${host}${port === 443 ? "" : `:${port}`}${request.url}`;
    response.writeHead(301, { location }).end();
  });
}

/** Opens what is declared and closes what is not. */
function listen(): void {
  const wanted = new Map<string, { protocol: string; create: () => TcpServer; where: string | number }>();
  for (const { protocol, listen_port: port, http, proxyprotocol } of state.load_balancers[0]?.services ??
    []) {
    if (http.sticky_sessions || proxyprotocol)
      console.error(`service ${port}: sticky sessions and the PROXY protocol are not emulated`);
    const create = { http: () => httpServer(port), https: () => tlsServer(port), tcp: () => tcpServer(port) }[
      protocol
    ];
    wanted.set(String(port), { protocol, create, where: port });
    if (protocol !== "https") continue;
    if (port === 443) wanted.set("socket", { protocol, create, where: balancerSocket(lab) });
    if (http.redirect_http)
      wanted.set("80", { protocol: "redirect", create: () => redirectServer(port), where: 80 });
  }
  for (const [key, { protocol, servers }] of listeners)
    if (wanted.get(key)?.protocol !== protocol) {
      for (const server of servers) server.close();
      listeners.delete(key);
    }
  for (const [key, { protocol, create, where }] of wanted)
    if (!listeners.has(key)) {
      const server = create().on("error", (error) => console.error(key, error.message));
      typeof where === "number" ? server.listen(where, "0.0.0.0") : server.listen(where);
      listeners.set(key, { protocol, servers: [server] });
    }
}

await rm(balancerSocket(lab), { force: true });
setInterval(() => {
  const { mtimeMs } = statSync(file);
  if (mtimeMs === seen) return;
  seen = mtimeMs;
  state = readState(file);
  listen();
  health.watch(state, state.load_balancers[0]);
}, POLL_MILLISECONDS);
