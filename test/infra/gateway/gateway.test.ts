// What a gateway lets through, read from the nginx configuration that it gets.
import { describe, expect, it } from "vitest";
import { cloudMachines } from "../../../infra/inventory/addresses.ts";
import { PORTS } from "../../../infra/machine/firewall.ts";
import { renderGatewayNginx } from "../../../infra/gateway/gateway.ts";
import { renderSpaceMap } from "../../../infra/machine/nginx/nginx.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { nginxMap } from "../../support/nginx-map.ts";

const prod = exampleEnvironment("prod");
const nginx = renderGatewayNginx(prod, "10.0.10.1", "203.0.113.41");

/** The regular expressions in this configuration mean the same in nginx and in JavaScript. */
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

it("chooses one of all web servers for a space by its host", () => {
  expect(nginx).toContain("hash $host consistent;");
  for (const { privateAddress } of cloudMachines(prod, "web"))
    expect(nginx).toContain(`server ${privateAddress}:80 max_fails=3 fail_timeout=10s;`);
});

it("keeps no connection to a web server: a request on it would be lost if the server is gone", () => {
  expect(nginx).not.toMatch(/^ *keepalive \d/m);
  expect(nginx).toMatch(/"" close;/);
});

it("counts no answer as a failure of a web server, and repeats no request that may have been handled", () => {
  expect(nginx).toContain("proxy_next_upstream error timeout;");
});

it("accepts the client's address only from the load balancer", () => {
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
])("overwrites %s of the client", (header) => {
  expect(nginx.match(new RegExp(`proxy_set_header ${header} (?!\\$http_).*;`, "g"))).toHaveLength(1);
});

it("sets headers in one place, because a second place would drop those of the first", () => {
  const servers = nginx.slice(nginx.indexOf("default_server"));
  expect(servers).not.toContain("proxy_set_header");
});

it("answers the health check under no host of a space", () => {
  const [defaultServer = ""] = /listen 10\.0\.10\.1:80 default_server[^]*?\n {2}}/.exec(nginx) ?? [];
  expect(defaultServer).toContain("location = /healthz");
  expect(nginx.match(/healthz/g)).toHaveLength(1);
});

it("logs in a form in which no client can forge a line or a field", () => {
  expect(nginx).toContain(`log_format access escape=json '{"space":"$space",`);
  const [format = ""] = /log_format access [^;]*;/.exec(nginx) ?? [];
  // What a client may choose is masked and bounded (test/infra/web/nginx.test.ts).
  expect(format).not.toMatch(
    /\$(?:request\b|request_uri|uri|args|query_string|http_|arg_|cookie_|host|request_method)/,
  );
  expect(nginx.match(/access_log [^;]*/g)).toEqual([
    "access_log syslog:server=unix:/dev/log,nohostname,tag=nginx,severity=info access if=$logged",
    // For the health check, and for hosts outside the domain.
    "access_log off",
  ]);
});

it("routes the office suites if there are any", () => {
  expect(nginx).toContain("server_name collabora.example.org;");
  expect(nginx).not.toContain("onlyoffice");
  expect(nginx).toContain(`proxy_pass http://10.0.41.1:${PORTS.collabora};`);
  const lab = renderGatewayNginx(exampleEnvironment("lab"), "10.0.10.1");
  expect(lab).not.toContain("collabora");
});

it("tells web servers the private address of office-1, and of every other client the one it has", () => {
  const client = nginxMap(nginx, "client");
  expect(client("203.0.113.41")).toBe("10.0.41.1");
  expect(client("203.0.113.42")).toBe("$remote_addr");
  for (const header of ["X-Forwarded-For", "X-Real-IP"])
    expect(nginx).toContain(`proxy_set_header ${header} $client;`);
  const without = nginxMap(renderGatewayNginx(exampleEnvironment("lab"), "10.0.10.1"), "client");
  expect(without("203.0.113.41")).toBe("$remote_addr");
});

describe("a body", () => {
  const [isUpload, wayOf, isTooLarge, counts] = ["upload", "body", "too_large", "counts"].map((name) =>
    nginxMap(nginx, name),
  ) as [Map, Map, Map, Map];
  type Map = (key: string) => string;
  const way = (method: string, uri: string, encoding = "", type = "") =>
    wayOf(`${isUpload(`${method} ${uri}`)} ${encoding} ${type}`);

  it.each([
    ["PUT", "/remote.php/dav/files/admin/a b.bin", "application/octet-stream"],
    ["PUT", "/remote.php/dav/uploads/admin/1/1", ""],
    ["PUT", "/remote.php/webdav/a.txt", "text/plain; charset=utf-8"],
    ["PUT", "/public.php/dav/files/token/a.bin", ""],
    ["PUT", "/remote.php/dav/calendars/admin/a/b.ics", "text/calendar"],
  ])("of %s %s (%s) is streamed", (method, uri, type) => expect(way(method, uri, "", type)).toBe("streamed"));

  it.each([
    ["POST", "/index.php/login", "application/x-www-form-urlencoded"],
    ["POST", "/remote.php/dav/bulk", "multipart/related; boundary=x"],
    ["PUT", "/ocs/v2.php/cloud/users/admin", "application/json"],
    ["PUT", "/index.php/remote.php/dav/files/admin/a", ""],
    ["PUT", "/remote.php/dav/files/admin/a.json", "application/json"],
    ["PUT", "/remote.php/dav/files/admin/a.json", "Application/LD+JSON; charset=utf-8"],
    ["PUT", "/remote.php/dav/files/admin/a", "text/x; application/x-www-form-urlencoded"],
    ["PROPFIND", "/remote.php/dav/files/admin/", "text/xml"],
    ["GET", "/remote.php/dav/files/admin/a.bin", ""],
    ["PUT", "/remote.phpx/dav/a", ""],
  ])("of %s %s (%s) is kept until it is complete", (method, uri, type) =>
    expect(way(method, uri, "", type)).toBe("kept"),
  );

  it("of an upload without a length is counted", () => {
    expect(way("PUT", "/remote.php/dav/files/admin/a.bin", "chunked", "video/mp4")).toBe("counted");
    expect(way("POST", "/remote.php/dav/bulk", "chunked")).toBe("kept");
  });

  it.each([
    ["kept 262143999", ""],
    ["kept 263000000", "yes"],
    ["kept 300000000", "yes"],
    ["kept 9999999999", "yes"],
    ["kept 26300000", ""],
    ["kept ", ""],
    ["streamed 9999999999", ""],
    ["streamed 10000000000", "yes"],
    ["streamed 123456789012", "yes"],
  ])("%s: too large %s", (key, expected) => expect(isTooLarge(key)).toBe(expected));

  it.each([
    ["kept 999999 ", ""],
    ["kept 1000000 ", "kept"],
    ["kept  chunked", "kept"],
    ["kept  ", ""],
    ["counted  chunked", "counted"],
    ["streamed 9999999999 ", ""],
  ])("%s counts as %s", (key, expected) => expect(counts(key)).toBe(expected));

  it("of each kind has a limit for one client and for all", () => {
    const location = (name: string) => new RegExp(`location ${name} \\{([^]*?)\\n    \\}`).exec(nginx)?.[1];
    expect(location("@kept")?.match(/limit_conn \w+/g)).toEqual([
      "limit_conn requests",
      "limit_conn kept_of_client",
      "limit_conn bodies",
    ]);
    expect(location("@kept")).toContain("client_max_body_size 250m;");
    expect(location("@counted")?.match(/limit_conn \w+/g)).toEqual([
      "limit_conn requests",
      "limit_conn counted_of_client",
      "limit_conn bodies",
    ]);
    expect(location("@counted")).toContain("client_max_body_size 1g;");
    expect(location("@streamed")).toContain("limit_conn requests");
    expect(nginx.match(/proxy_request_buffering off;/g)).toHaveLength(1);
  });

  it("of a request to an office suite has the same limits", () => {
    const [office = ""] = /server_name collabora[^]*?\n {2}\}/.exec(nginx) ?? [];
    expect(office).toContain("limit_conn kept_of_client");
    expect(office).toContain("client_max_body_size 250m;");
  });
});
