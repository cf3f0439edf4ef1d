// The lab's load balancer: the configuration for HAProxy; and, if HAProxy is on PATH, HAProxy itself with our targets.
import { execa } from "execa";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderBalancer } from "../../lab/haproxy.ts";
import { EMPTY, type Service, type State } from "../../lab/hcloud/document.ts";
import { createAuthority, issue } from "../../lab/lets-encrypt.ts";
import { onPath } from "../support/fakes.ts";

const HTTP = {
  cookie_name: "",
  cookie_lifetime: 0,
  certificates: [],
  redirect_http: false,
  sticky_sessions: false,
  timeout_idle: 50,
};

function service(port: number, more: Partial<Service> = {}): Service {
  return {
    protocol: "http",
    listen_port: port,
    destination_port: 80,
    proxyprotocol: false,
    http: HTTP,
    health_check: {
      protocol: "http",
      port: 80,
      interval: 5,
      timeout: 3,
      retries: 2,
      http: { domain: "", path: "/healthz", response: "", status_codes: ["200"], tls: false },
    },
    ...more,
  };
}

const entity = { labels: {}, created: "", protected: false };

/** A document with one load balancer, whose targets have these addresses. */
function documentOf(services: Service[], addresses: string[], algorithm = "round_robin"): State {
  const balancer = {
    ...entity,
    id: 1,
    name: "entrance",
    load_balancer_type: "lb11",
    location: "fsn1",
    algorithm: { type: algorithm },
    ipv4: "203.0.113.20",
    public_interface: true,
    private_net: [],
    services,
    targets: addresses.map((_, index) => ({
      type: "server",
      server: { id: 10 + index },
      use_private_ip: true,
    })),
  };
  const servers = addresses.map((ip, index) => ({
    ...entity,
    id: 10 + index,
    name: `gateway-${index + 1}`,
    status: "running" as const,
    user_data: "",
    server_type: "cpx22",
    image: "debian-13",
    location: "fsn1",
    ipv4: `203.0.113.${30 + index}`,
    private_net: [{ network: 1, ip, alias_ips: [] }],
    firewalls: [],
    placement_group: null,
    public_keys: [],
  }));
  return { ...structuredClone(EMPTY), load_balancers: [balancer], servers };
}

const PLACES = { socket: "/lab/balancer.sock", certificates: "/lab/haproxy" };
const ADDRESSES = ["10.0.10.1", "10.0.10.2"];
const platform = documentOf(
  [
    service(443, {
      protocol: "https",
      http: { ...HTTP, certificates: [7], redirect_http: true },
    }),
  ],
  ADDRESSES,
);
const render = (state: State) => renderBalancer(state, PLACES)?.configuration ?? "";

/** The lines of a section, found by its first line. */
function section(configuration: string, head: string): string[] {
  const [, body = ""] = configuration.split(`\n${head}\n`);
  return (/^(?: .*\n)*/.exec(body)?.[0] ?? "").split("\n").map((line) => line.trim());
}

describe("what HAProxy is told", () => {
  test("https, as the platform declares it", async () => {
    await expect(render(platform)).toMatchFileSnapshot("../golden/lab-haproxy.cfg");
  });

  test("nothing, where no load balancer has a service", () => {
    expect(renderBalancer(structuredClone(EMPTY), PLACES)).toBeUndefined();
    expect(renderBalancer(documentOf([], ADDRESSES), PLACES)).toBeUndefined();
  });

  test("each certificate with its key, in a file by its number", () => {
    const certificate = {
      ...entity,
      id: 7,
      name: "a",
      type: "managed",
      domain_names: ["a.example"],
      fingerprint: "",
      certificate: "CERTIFICATE\n",
      private_key: "KEY\n",
      not_valid_before: "",
      not_valid_after: "",
    };
    const rendered = renderBalancer({ ...platform, certificates: [certificate] }, PLACES);
    expect([...(rendered?.certificates ?? [])]).toEqual([["/lab/haproxy/7.pem", "CERTIFICATE\nKEY\n"]]);
  });

  test("the idle time that is declared, on both sides", () => {
    const text = render(documentOf([service(80, { http: { ...HTTP, timeout_idle: 120 } })], ADDRESSES));
    expect(section(text, "frontend 80")).toContain("timeout client 120s");
    expect(section(text, "backend 80")).toContain("timeout server 120s");
  });

  test("the checks' times, statuses, host and answer", () => {
    const http = {
      domain: "a.example",
      path: "/up",
      response: "it's up",
      status_codes: ["2??", "301"],
      tls: false,
    };
    const health_check = { protocol: "http" as const, port: 8080, interval: 7, timeout: 4, retries: 3, http };
    const health = section(
      render(documentOf([service(80, { health_check })], ADDRESSES)),
      "backend 80-health",
    );
    expect(health).toContain("timeout check 4s");
    expect(health).toContain("http-check send meth GET uri /up ver HTTP/1.1 hdr Host a.example");
    expect(health).toContain("http-check expect rstatus ^(2..|301)$");
    expect(health).toContain(String.raw`http-check expect string 'it'\''s up'`);
    expect(health).toContain("server gateway-2 10.0.10.2 check port 8080 inter 7s rise 3 fall 3");
  });

  test("a TCP service, checked by a connection; least connections", () => {
    const health_check = {
      protocol: "tcp" as const,
      port: 22,
      interval: 15,
      timeout: 10,
      retries: 3,
      http: null,
    };
    const services = [service(2222, { protocol: "tcp", destination_port: 22, health_check })];
    const text = render(documentOf(services, ADDRESSES, "least_connections"));
    expect(section(text, "frontend 2222")).toContain("mode tcp");
    expect(section(text, "backend 2222-health").join()).not.toContain("http");
    expect(section(text, "backend 2222")).toContain("balance leastconn");
  });

  test("a service on port 80 is there instead of a redirect", () => {
    const [https] = platform.load_balancers[0]?.services ?? [];
    const text = render(documentOf([...(https ? [https] : []), service(80)], ADDRESSES));
    expect(text).not.toContain("redirect");
  });
});

const haproxy = onPath("haproxy");
describe.skipIf(!haproxy)(`by HAProxy itself${haproxy ? "" : " (skipped: haproxy is not on PATH)"}`, () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "framaspace-haproxy-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  /** Writes the files for a document. Returns the path of the configuration. */
  async function write(state: State): Promise<string> {
    const rendered = renderBalancer(state, { socket: join(directory, "b.sock"), certificates: directory });
    for (const [path, pem] of rendered?.certificates ?? []) writeFileSync(path, pem, { mode: 0o600 });
    const file = join(directory, "haproxy.cfg");
    writeFileSync(file, rendered?.configuration ?? "");
    return file;
  }

  async function withCertificate(state: State): Promise<State> {
    const lab = { name: "a", directory };
    await createAuthority(lab);
    const { certificate, privateKey } = await issue(lab, ["a.example", "*.a.example"]);
    const one = {
      ...entity,
      id: 7,
      name: "a",
      type: "managed",
      domain_names: ["a.example"],
      fingerprint: "",
      certificate,
      private_key: privateKey,
      not_valid_before: "",
      not_valid_after: "",
    };
    return { ...state, certificates: [one] };
  }

  test("it takes what the platform comes to, without a warning", async () => {
    const file = await write(await withCertificate(platform));
    const { all } = await execa("haproxy", ["-c", "-f", file], { all: true });
    expect(all).not.toMatch(/warning|alert/i);
  });

  describe("in front of two targets and one that is not there", () => {
    const IDLE_SECONDS = 1;
    /** What a target received of a request. */
    interface Told {
      host: string;
      headers: NodeJS.Dict<string[]>;
    }
    const targets: Server[] = [];
    const told: Told[] = [];
    let port: number;
    const stop = new AbortController();

    beforeAll(async () => {
      const destination_port = await freePort();
      for (const host of ["127.0.0.1", "127.0.0.2"])
        targets.push(
          createServer((request, response) => {
            if (request.url !== "/healthz") told.push({ host, headers: request.headersDistinct });
            if (request.url !== "/silent") request.resume().on("end", () => response.end());
          }).listen(destination_port, host),
        );
      await Promise.all(targets.map((target) => once(target, "listening")));
      port = await freePort();
      const { health_check } = service(port);
      const ours = service(port, {
        destination_port,
        http: { ...HTTP, timeout_idle: IDLE_SECONDS },
        health_check: { ...health_check, port: destination_port, interval: 1, timeout: 1 },
      });
      const file = await write(documentOf([ours], ["127.0.0.1", "127.0.0.2", "127.0.0.3"]));
      void execa("haproxy", ["-f", file], { cancelSignal: stop.signal, reject: false });
      // Ready: it listens, and the missing target has failed its first check.
      const isReady = async () => {
        for (let n = 0; n < 3; n++) await ask("GET");
        return true;
      };
      while (!(await isReady().catch(() => false))) await sleep(50);
    });
    afterAll(() => {
      stop.abort();
      for (const target of targets) target.close();
    });

    /** Sends the lines as they are. Returns what arrives until the other side closes. */
    async function send(...lines: string[]): Promise<string> {
      const socket = connect(port, "127.0.0.1").setEncoding("utf8");
      socket.write(lines.join("\r\n"));
      return (await socket.toArray()).join("");
    }

    /** Sends one request. Returns what the target received. */
    async function ask(method: string, headers: string[] = [], body = "", version = "1.1"): Promise<Told> {
      const head = [`${method} /a HTTP/${version}`, "Host: a.example", "Connection: close", ...headers];
      const answer = await send(...head, "", body);
      const last = told.pop();
      if (!last || !answer.startsWith("HTTP/1.1 200 ")) throw new Error(answer);
      return last;
    }

    test("requests go to those that are healthy, in turn", async () => {
      const hosts = [];
      for (let n = 0; n < 6; n++) hosts.push((await ask("GET")).host);
      expect(hosts.filter((host) => host === "127.0.0.1")).toHaveLength(3);
      expect(hosts.filter((host) => host === "127.0.0.2")).toHaveLength(3);
    });

    test("targets are told who asks, whatever a client says of itself", async () => {
      const forged = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1"];
      const { headers } = await ask("GET", forged);
      // nginx uses the last one (real_ip_recursive off).
      expect(headers["x-forwarded-for"]?.join(", ")).toBe("1.2.3.4, 127.0.0.1");
      expect(headers["x-forwarded-proto"]).toEqual(["http"]);
      expect(headers["x-forwarded-port"]).toEqual([String(port)]);
    });

    test.each(["GET", "HEAD", "OPTIONS", "MOVE", "COPY", "DELETE", "MKCOL", "PROPFIND", "POST", "PUT"])(
      "%s without a body stays without a length",
      async (method) => {
        for (const version of ["1.0", "1.1"]) {
          const { headers } = await ask(method, [], "", version);
          expect(headers["content-length"] ?? headers["transfer-encoding"]).toBeUndefined();
        }
      },
    );

    test("who is silent for the idle time is given up, the target as the client", async () => {
      const closing = ["Host: a.example", "Connection: close"];
      const [target, client] = await Promise.all([
        send("GET /silent HTTP/1.1", ...closing, "", ""),
        send("PUT /a HTTP/1.1", ...closing, "Content-Length: 9", "", "abc"),
      ]);
      expect(target).toMatch(/^HTTP\/1\.1 504 /);
      // HAProxy 2.6 answers 408 or 504, 3.0 answers 400.
      expect(client).toMatch(/^HTTP\/1\.1 (400|408|504) /);
    });

    test("a body may take longer than the idle time, as long as some of it comes", async () => {
      const socket = connect(port, "127.0.0.1").setEncoding("utf8");
      socket.write(
        ["PUT /a HTTP/1.1", "Host: a.example", "Connection: close", "Content-Length: 4", "", ""].join("\r\n"),
      );
      for (const byte of "abcd") {
        await sleep(IDLE_SECONDS * 800);
        socket.write(byte);
      }
      expect((await socket.toArray()).join("")).toMatch(/^HTTP\/1\.1 200 /);
    });

    test("a body goes on as it came: with its length, or in chunks", async () => {
      expect((await ask("PUT", ["Content-Length: 2"], "ab")).headers["content-length"]).toEqual(["2"]);
      const chunked = await ask("PUT", ["Transfer-Encoding: chunked"], "2\r\nab\r\n0\r\n\r\n");
      expect(chunked.headers["transfer-encoding"]).toEqual(["chunked"]);
    });
  });
});

/** A port on which nobody listens now. */
async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
