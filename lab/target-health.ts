// The load balancer's health checks: which targets take traffic.
import { request } from "node:http";
import { connect } from "node:net";
import type { HealthCheck, LoadBalancer, Service, State } from "./hcloud/document.ts";

/** Addresses of a load balancer's targets, as it reaches them. */
export function addressesOf(state: State, balancer: LoadBalancer | undefined): string[] {
  return (balancer?.targets ?? []).flatMap(({ server, ip, use_private_ip }) => {
    if (ip) return [ip.ip];
    const found = state.servers.find(({ id }) => id === server?.id);
    return (use_private_ip ? found?.private_net[0]?.ip : found?.ipv4) ?? [];
  });
}

interface Watch {
  timer: NodeJS.Timeout;
  declared: string;
  failures: number;
  healthy: boolean;
}

/** Checks each target of each service; a target takes traffic from its first success to its last allowed failure. */
export class HealthChecks {
  readonly #watches = new Map<string, Watch>();

  isHealthy(service: Service, address: string): boolean {
    return this.#watches.get(keyOf(service, address))?.healthy ?? false;
  }

  /** Checks what is declared, and nothing else. */
  watch(state: State, balancer: LoadBalancer | undefined): void {
    const wanted = new Map<string, { check: HealthCheck; address: string }>();
    for (const service of balancer?.services ?? [])
      for (const address of addressesOf(state, balancer))
        wanted.set(keyOf(service, address), { check: service.health_check, address });
    for (const [key, { timer, declared }] of this.#watches)
      if (JSON.stringify(wanted.get(key)?.check) !== declared) {
        clearInterval(timer);
        this.#watches.delete(key);
      }
    for (const [key, { check, address }] of wanted) {
      if (this.#watches.has(key)) continue;
      const round = () => void probe(check, address).then((ok) => this.#note(key, ok, check.retries));
      const timer = setInterval(round, check.interval * 1000);
      this.#watches.set(key, { timer, declared: JSON.stringify(check), failures: 0, healthy: false });
      round();
    }
  }

  #note(key: string, ok: boolean, retries: number): void {
    const watch = this.#watches.get(key);
    if (!watch) return;
    watch.failures = ok ? 0 : watch.failures + 1;
    const healthy = ok || (watch.healthy && watch.failures < retries);
    if (healthy !== watch.healthy)
      console.log(`${new Date().toISOString()} ${key} is ${healthy ? "healthy" : "unhealthy"}`);
    watch.healthy = healthy;
  }
}

function keyOf(service: Service, address: string): string {
  return `${service.listen_port} ${address}:${service.health_check.port}`;
}

function probe({ port, timeout, http }: HealthCheck, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const within = { timeout: timeout * 1000 };
    if (!http) {
      const socket = connect({ host, port, ...within }, () => end(true));
      const end = (ok: boolean) => {
        socket.destroy();
        resolve(ok);
      };
      socket.on("error", () => end(false)).on("timeout", () => end(false));
      return;
    }
    const headers = http.domain === "" ? {} : { host: http.domain };
    // A connection of its own each time: a target that only lets old ones live is not healthy.
    const asked = request({ host, port, path: http.path, headers, agent: false, ...within }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      const status = String(response.statusCode);
      response.on("end", () =>
        resolve(http.status_codes.some((code) => matches(code, status)) && text.includes(http.response)),
      );
      response.on("error", () => resolve(false));
    });
    asked.on("error", () => resolve(false)).on("timeout", () => asked.destroy(new Error("timeout")));
    asked.end();
  });
}

/** `2??` matches 200. */
function matches(pattern: string, status: string): boolean {
  return (
    pattern.length === status.length &&
    [...pattern].every((character, at) => character === "?" || character === status[at])
  );
}
