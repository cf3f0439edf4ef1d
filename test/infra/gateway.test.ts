// What a gateway lets through, read from nginx's configuration as it lands there.
import { describe, expect, it } from "vitest";
import { cloudMachines } from "../../infra/addresses.ts";
import { PORTS } from "../../infra/firewall.ts";
import { renderGatewayNginx, renderSpaceMap } from "../../infra/gateway.ts";
import { exampleEnvironment } from "./example-environment.ts";

const prod = exampleEnvironment("prod");
const nginx = renderGatewayNginx(prod, "10.0.10.1");

/** nginx's regular expressions that are used mean the same in JavaScript. */
function spaceOf(host: string): string {
  const [, pattern = ""] = /"~(.*)" \$1;/.exec(renderSpaceMap("example.org")) ?? [];
  return new RegExp(pattern).exec(host)?.[1] ?? "";
}

describe("the space of a host", () => {
  it.each([
    ["lotus.example.org", "lotus"],
    ["lotus-2.example.org", "lotus-2"],
  ])("%s is %s", (host, id) => expect(spaceOf(host)).toBe(id));

  it.each([
    "example.org",
    "a.lotus.example.org",
    "lotus.example.org.evil.test",
    "lotusxexample.org",
    "lotus.examplexorg",
    "..example.org",
    "a/b.example.org",
    "-x.example.org",
    "lotus_x.example.org",
    'a"b.example.org',
    "10.0.10.1",
  ])("%s has none", (host) => expect(spaceOf(host)).toBe(""));
});

it("sends a space to one of all web servers by its host", () => {
  expect(nginx).toContain("hash $host consistent;");
  for (const { privateAddress } of cloudMachines(prod, "web"))
    expect(nginx).toContain(`server ${privateAddress}:80 max_fails=3 fail_timeout=10s;`);
});

it("keeps no connection to a web server, which would swallow a request once that is gone", () => {
  expect(nginx).not.toMatch(/^ *keepalive \d/m);
  expect(nginx).toMatch(/"" close;/);
});

it("counts no answer against a web server, and repeats nothing that may have been done", () => {
  expect(nginx).toContain("proxy_next_upstream error timeout;");
});

it("believes the load balancer alone about who the client is", () => {
  expect(nginx.match(/set_real_ip_from .*/g)).toEqual(["set_real_ip_from 10.0.5.1;"]);
});

it.each([
  "X-Forwarded-For",
  "X-Forwarded-Proto",
  "X-Forwarded-Host",
  "X-Real-IP",
  "Forwarded",
  "X-Forwarded-Port",
  "Proxy",
])("overwrites %s, whatever the client says", (header) => {
  expect(nginx.match(new RegExp(`proxy_set_header ${header} (?!\\$http_).*;`, "g"))).toHaveLength(1);
});

it("sets headers in one place, since a second one would drop the first's", () => {
  const servers = nginx.slice(nginx.indexOf("default_server"));
  expect(servers).not.toContain("proxy_set_header");
});

it("answers the health check for no host of ours", () => {
  const [defaultServer = ""] = /listen 10\.0\.10\.1:80 default_server[^]*?\n {2}}/.exec(nginx) ?? [];
  expect(defaultServer).toContain("location = /healthz");
  expect(nginx.match(/healthz/g)).toHaveLength(1);
});

it("logs so that no client can forge a line or a field", () => {
  expect(nginx).toContain(`log_format access escape=json '{"space":"$space",`);
  expect(nginx.match(/access_log [^;]*/g)).toEqual([
    "access_log syslog:server=unix:/dev/log,nohostname,tag=nginx,severity=info access",
    "access_log off",
  ]);
});

it("routes the office suites where there are any", () => {
  expect(nginx).toContain("server_name collabora.example.org;");
  expect(nginx).toContain("server_name onlyoffice.example.org;");
  expect(nginx).toContain(`proxy_pass http://10.0.41.1:${PORTS.collabora};`);
  expect(nginx).toContain(`proxy_pass http://10.0.41.1:${PORTS.onlyoffice};`);
  const lab = renderGatewayNginx(exampleEnvironment("lab"), "10.0.10.1");
  expect(lab).not.toContain("collabora");
});
