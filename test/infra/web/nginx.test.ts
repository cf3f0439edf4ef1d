// What a visitor gets from a gateway and a web server, through the real nginx of both. Needs nginx.
import { readFileSync } from "node:fs";
import type { Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderGatewayNginx } from "../../../infra/gateway/gateway.ts";
import { cloudMachines } from "../../../infra/inventory/addresses.ts";
import { renderWebNginx } from "../../../infra/web/web.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { startFastCgi } from "../../support/fastcgi.ts";
import { hasNginx, startNginx, type NginxServer } from "../../support/nginx-server.ts";

const prod = exampleEnvironment("prod");
const HOST = `lotus.${prod.domain}`;
const spaceConf = readFileSync(
  join(import.meta.dirname, "../../../infra/web/rootfs/etc/nginx/space.conf"),
  "utf8",
);

/** Headers of Nextcloud's redirects: cookies, Content-Security-Policy and others, 2 kB in all. */
const OTHERS = `Status: 303\r\nSet-Cookie: a=${"x".repeat(1000)}\r\nContent-Security-Policy: ${"y".repeat(950)}\r\n`;

describe.skipIf(!hasNginx)(`requests${hasNginx ? "" : " (skipped: no nginx)"}`, () => {
  let web: NginxServer;
  let gateway: NginxServer;
  let php: Server;
  beforeAll(async () => {
    web = await startNginx(renderWebNginx(prod.domain, "10.0.20.1"), {
      "/etc/nginx/space.conf": spaceConf,
      "/etc/nginx/php-limits.conf": "",
      "/etc/nginx/mime.types": "types { text/html html; text/css css; }\n",
      "/srv/spaces/lotus/release/index.php": "",
      "/run/php/ready": "",
    });
    const upstreams = cloudMachines(prod, "web").map(({ privateAddress }) => [
      `${privateAddress}:80`,
      web.port,
    ]);
    gateway = await startNginx(renderGatewayNginx(prod, "10.0.10.1"), {}, Object.fromEntries(upstreams));
    // Nextcloud sends a visitor without a session to its login page, which sends them back.
    php = await startFastCgi(web.path("/run/php/spaces.sock"), (parameters) => {
      const back = encodeURIComponent(parameters.get("REQUEST_URI") ?? "");
      return `${OTHERS}Location: /login?redirect_url=${back}\r\n\r\n`;
    });
  });
  afterAll(async () => {
    php.close();
    await gateway.stop();
    await web.stop();
  });

  describe("of a visitor without a session are sent to the login page", () => {
    const folder = (bytes: number) => `/apps/files/files?dir=/${encodeURIComponent("é").repeat(bytes / 6)}`;

    test.each([
      ["a name of 250 letters, as long as Nextcloud allows", folder(1500)],
      // `GET … HTTP/1.1` and its line end are 16 bytes besides.
      ["the longest request line that nginx takes", folder(16_300)],
    ])("with %s", async (_, path) => {
      const { status, headers } = await gateway.ask(HOST, path);
      expect(status).toBe(303);
      expect(headers.location).toBe(`/login?redirect_url=${encodeURIComponent(path)}`);
    });
  });
});
