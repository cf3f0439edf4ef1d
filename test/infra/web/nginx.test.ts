// What a visitor gets from a gateway and a web server, through the real nginx of both. Needs nginx.
import { readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import * as z from "zod";
import { renderGatewayNginx } from "../../../infra/gateway/gateway.ts";
import { cloudMachines } from "../../../infra/inventory/addresses.ts";
import { pageFiles } from "../../../infra/machine/nginx/pages.ts";
import { renderWebNginx } from "../../../infra/web/web.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { startFastCgi } from "../../support/fastcgi.ts";
import { freePort, hasNginx, startNginx, type NginxServer } from "../../support/nginx-server.ts";

const prod = exampleEnvironment("prod");
const HOST = `lotus.${prod.domain}`;
const spaceConf = readFileSync(
  join(import.meta.dirname, "../../../infra/web/rootfs/etc/nginx/space.conf"),
  "utf8",
);

const WEB = cloudMachines(prod, "web").map(({ privateAddress }) => privateAddress);
const pagesByPath = Object.fromEntries(
  pageFiles({ name: "Hôte & Cie", url: "https://host.example" }).map(({ path, content }) => [path, content]),
);

/** Headers of Nextcloud's redirects: cookies, Content-Security-Policy and others, 2 kB in all. */
const OTHERS = `Status: 303\r\nSet-Cookie: a=${"x".repeat(1000)}\r\nContent-Security-Policy: ${"y".repeat(950)}\r\n`;

describe.skipIf(!hasNginx)(`requests${hasNginx ? "" : " (skipped: no nginx)"}`, () => {
  let web: NginxServer;
  let gateway: NginxServer;
  let php: Server;
  let formerPool: Server;
  beforeAll(async () => {
    web = await startNginx(renderWebNginx(prod.domain, "10.0.20.1"), {
      "/etc/nginx/space.conf": spaceConf,
      "/etc/nginx/php-limits.conf": "",
      "/etc/nginx/mime.types": "types { text/html html; text/css css; }\n",
      "/srv/spaces/lotus/release/index.php": "",
      "/srv/spaces/before/release/index.php": "",
      "/srv/spaces/closed/archived": "",
      "/srv/spaces/paused/suspended": "",
      "/srv/spaces/upgrading/maintenance": "",
      "/srv/spaces/coming/space.json": "",
      "/run/php-spaces/ready": "",
      "/srv/spaces/lotus/own-user": "",
      ...pagesByPath,
    });
    const upstreams = cloudMachines(prod, "web").map(({ privateAddress }) => [
      `${privateAddress}:80`,
      web.port,
    ]);
    gateway = await startNginx(
      renderGatewayNginx(prod, "10.0.10.1"),
      pagesByPath,
      Object.fromEntries(upstreams),
    );
    // Nextcloud sends a visitor without a session to its login page, which sends them back.
    php = await startFastCgi(web.path("/srv/spaces/lotus/php.sock"), (parameters) => {
      const back = encodeURIComponent(parameters.get("REQUEST_URI") ?? "");
      return `${OTHERS}Location: /login?redirect_url=${back}\r\n\r\n`;
    });
    formerPool = await startFastCgi(web.path("/run/php-spaces/spaces.sock"), () => "\r\nthe pool of before");
  });
  afterAll(async () => {
    php.close();
    formerPool.close();
    await gateway.stop();
    await web.stop();
  });

  test("run in the pool of their space, and in the former one while the space has no user of its own", async () => {
    expect((await gateway.ask(HOST, "/login")).status).toBe(303);
    const before = await gateway.ask(`before.${prod.domain}`, "/login");
    expect(before.text).toBe("the pool of before");
  });

  test("of the load balancer learn that a gateway is about to leave", async () => {
    const status = async () => (await gateway.ask("10.0.10.1", "/healthz")).status;
    expect(await status()).toBe(200);
    gateway.put("/run/framaspace-leaving", "");
    expect(await status()).toBe(503);
    rmSync(gateway.path("/run/framaspace-leaving"));
    expect(await status()).toBe(200);
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

  /** As browsers ask for a page. */
  const browser = { accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" };

  describe("that no space answers", () => {
    const NGINX = (status: string) => new RegExp(`^<html>\\r\\n<head><title>${status}</title>`);
    const states: [string, string, number, RegExp, string, string?][] = [
      ["of no space", "nobody", 404, /^No space lives at this address\.\n$/, "Aucun espace à cette adresse"],
      [
        "of another domain",
        "a.b",
        404,
        /^No space lives at this address\.\n$/,
        "Aucun espace à cette adresse",
      ],
      ["archived", "closed", 410, /^This space has been closed\.\n$/, "Cet espace est fermé"],
      [
        "suspended",
        "paused",
        503,
        /^This space is suspended\. Its files are kept\.\n$/,
        "Cet espace est suspendu",
        "3600",
      ],
      [
        "in maintenance",
        "upgrading",
        503,
        /^This space is under maintenance\. Try again in a minute\.\n$/,
        "Cet espace est en maintenance",
        "60",
      ],
      [
        "without its release",
        "coming",
        503,
        NGINX("503 Service Temporarily Unavailable"),
        "Cet espace ne répond pas",
      ],
    ];

    test.each(states)("%s: people see a page", async (_, space, status, __, title, retry) => {
      const answer = await gateway.ask(`${space}.${prod.domain}`, "/s/a?b=c", { headers: browser });
      expect(answer).toMatchObject({
        status,
        headers: { "content-type": "text/html", "cache-control": "no-store" },
      });
      expect(answer.headers["retry-after"]).toBe(retry);
      expect(answer.text).toContain(`<h1>${title}</h1>`);
      expect(answer.text).toContain('<a href="https://host.example">Hôte &#38; Cie</a>');
    });

    test.each(states)("%s: programs get status and sentence", async (_, space, status, text, __, retry) => {
      const asks: [string, string, string | undefined][] = [
        ["GET", "/status.php", "*/*"],
        ["GET", "/", undefined],
        ["PROPFIND", "/remote.php/dav/files/admin/", "text/html"],
        ["PUT", "/remote.php/dav/files/admin/a", "text/html"],
        ["POST", "/login", browser.accept],
        // Java asks so, if nobody tells it otherwise.
        ["GET", "/remote.php/dav/files/admin/a", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"],
        ["GET", "/index.php/ocs/v2.php/cloud/user?format=json", browser.accept],
      ];
      for (const [method, path, accept] of asks) {
        const headers = accept === undefined ? {} : { accept };
        const answer = await gateway.ask(`${space}.${prod.domain}`, path, { method, headers });
        expect([method, path, answer.status]).toEqual([method, path, status]);
        expect(answer.headers["retry-after"]).toBe(retry);
        expect(answer.text).toMatch(text);
      }
    });

    test("because PHP or a web server is gone: people see a page, programs nginx's own answer", async () => {
      const lonely = await startNginx(renderGatewayNginx(prod, "10.0.10.1"), pagesByPath, {
        [`${WEB[0]}:80`]: await freePort(),
        [`${WEB[1]}:80`]: await freePort(),
      });
      onTestFinished(() => lonely.stop());
      await new Promise((resolve) => php.close(resolve));
      for (const server of [lonely, gateway]) {
        const page = await server.ask(HOST, "/login", { headers: browser });
        expect(page).toMatchObject({ status: 502, headers: { "content-type": "text/html" } });
        expect(page.headers["strict-transport-security"]).toBe("max-age=31536000; includeSubDomains");
        expect(page.text).toContain("<h1>Cet espace ne répond pas</h1>");
        const text = await server.ask(HOST, "/login", { headers: { accept: "*/*" } });
        expect(text.status).toBe(502);
        expect(text.text).toMatch(NGINX("502 Bad Gateway"));
      }
    });
  });

  describe("that are too many", () => {
    /** What a person's browser and a program get, each as status, header and words. */
    const refusals = async (server: NginxServer) => {
      const page = await server.ask(HOST, "/login", { headers: browser });
      const text = await server.ask(HOST, "/remote.php/dav/files/admin/", {
        method: "PROPFIND",
        headers: browser,
      });
      const words = [/<h1>(.*)<\/h1>/.exec(page.text)?.[1], text.text];
      return [page, text].map(({ status, headers }, index) => [
        status,
        headers["retry-after"],
        headers["content-type"],
        headers["cache-control"],
        words[index],
      ]);
    };
    const refusedWith = (sentence: string) => [
      [429, "10", "text/html", "no-store", "Trop de demandes à la fois"],
      [429, "10", "text/plain", "no-store", `${sentence} Try again in a few seconds.\n`],
    ];

    test("of one client are refused at once, in a page or a sentence", async () => {
      const silent = createServer();
      const port = await freePort();
      await new Promise<void>((resolve) => silent.listen(port, "127.0.0.1", resolve));
      const narrow = await startNginx(
        renderGatewayNginx(prod, "10.0.10.1").replaceAll(
          "limit_conn requests 400;",
          "limit_conn requests 1;",
        ),
        pagesByPath,
        Object.fromEntries(WEB.map((address) => [`${address}:80`, port])),
      );
      onTestFinished(() => narrow.stop());
      const arrived = new Promise<Socket>((resolve) => silent.once("connection", resolve));
      const first = narrow.ask(HOST, "/").catch(() => undefined);
      const connection = await arrived;
      // nginx asks a second web server.
      silent.on("connection", (next) => next.destroy());
      onTestFinished(async () => {
        connection.destroy();
        await first;
        silent.close();
      });
      expect(await refusals(narrow)).toEqual(refusedWith("Too many requests at once from your address."));
    });

    test("of one client in a second are refused at once, and no line of them fills the logs", async () => {
      const narrow = await startNginx(
        renderGatewayNginx(prod, "10.0.10.1")
          .replace(/rate=\d+r\/s/, "rate=1r/m")
          .replace(/burst=\d+/, "burst=1"),
        pagesByPath,
        Object.fromEntries(WEB.map((address) => [`${address}:80`, web.port])),
      );
      onTestFinished(() => narrow.stop());
      for (const path of ["/first", "/second"]) await narrow.ask(HOST, path);
      expect(await refusals(narrow)).toEqual(refusedWith("Too many requests at once from your address."));
      const lines = await vi.waitFor(() => {
        const found = narrow.read("access.log").trim().split("\n");
        expect(found.length).toBeGreaterThanOrEqual(2);
        return found;
      });
      expect(lines.map((line) => z.object({ uri: z.string() }).parse(JSON.parse(line)).uri)).toEqual([
        "/first",
        "/second",
      ]);
      expect(narrow.read("error.log")).not.toContain("limiting requests");
    });

    test("of one space are refused at once, in a page or a sentence", async () => {
      const narrow = await startNginx(
        renderWebNginx(prod.domain, "10.0.20.1").replace("rate=100r/s", "rate=1r/m"),
        {
          "/etc/nginx/space.conf": spaceConf.replace(" burst=1000;", ";"),
          "/etc/nginx/php-limits.conf": "",
          "/etc/nginx/mime.types": "",
          "/srv/spaces/lotus/release/index.php": "",
          ...pagesByPath,
        },
      );
      onTestFinished(() => narrow.stop());
      // There is no PHP behind it.
      expect((await narrow.ask(HOST, "/login")).status).toBe(502);
      expect(await refusals(narrow)).toEqual(refusedWith("Too many requests at once."));
      // The gateway's line says it.
      expect(narrow.read("error.log")).not.toContain("limiting requests");
    });

    test("of all spaces together are refused before PHP has more of them than memory for workers", async () => {
      const narrow = await startNginx(renderWebNginx(prod.domain, "10.0.20.1"), {
        "/etc/nginx/space.conf": spaceConf,
        "/etc/nginx/php-limits.conf": "limit_conn php_of_server 1;\n",
        "/etc/nginx/mime.types": "",
        "/srv/spaces/lotus/release/index.php": "",
        "/srv/spaces/iris/release/index.php": "",
        "/srv/spaces/iris/own-user": "",
        ...pagesByPath,
      });
      onTestFinished(() => narrow.stop());
      const silent = createServer();
      await new Promise<void>((resolve) => silent.listen(narrow.path("/srv/spaces/iris/php.sock"), resolve));
      const arrived = new Promise<Socket>((resolve) => silent.once("connection", resolve));
      const first = narrow.ask(`iris.${prod.domain}`, "/login").catch(() => undefined);
      const connection = await arrived;
      onTestFinished(async () => {
        connection.destroy();
        await first;
        silent.close();
      });
      expect(await refusals(narrow)).toEqual(refusedWith("Too many requests at once."));
    });
  });

  test("with 20 GB in one piece are refused before any of it is read", async () => {
    const headers = { "content-length": "20000000000" };
    for (const [method, path] of [
      ["PUT", "/remote.php/dav/files/admin/a.bin"],
      ["PUT", "/public.php/dav/files/token/a.bin"],
      ["POST", "/login"],
    ] as const) {
      const { status, text } = await gateway.ask(HOST, path, { method, headers });
      expect([path, status]).toEqual([path, 413]);
      expect(text).toMatch(/^This is too large to be sent in one piece\./);
    }
  });

  test("of one space that upload much in one piece are few at once, so that they do not fill the disk", async () => {
    const install = readFileSync("infra/web/install.sh", "utf8");
    expect(install).toMatch(/^limit_conn large_uploads_of_space \d+;$/m);
    const narrow = await startNginx(renderWebNginx(prod.domain, "10.0.20.1"), {
      "/etc/nginx/space.conf": spaceConf,
      "/etc/nginx/php-limits.conf": "limit_conn large_uploads_of_space 1;\n",
      "/etc/nginx/mime.types": "",
      "/srv/spaces/lotus/release/remote.php": "",
      "/srv/spaces/lotus/release/index.php": "",
      "/srv/spaces/iris/release/remote.php": "",
      "/srv/spaces/iris/release/index.php": "",
      "/run/php-spaces/ready": "",
    });
    onTestFinished(() => narrow.stop());
    const arrived: Socket[] = [];
    const silent = createServer((connection) => void arrived.push(connection));
    onTestFinished(() => {
      for (const connection of arrived) connection.destroy();
      silent.close();
    });
    await new Promise<void>((resolve) => silent.listen(narrow.path("/run/php-spaces/spaces.sock"), resolve));
    const upload = (space: string, bytes: number) =>
      narrow.ask(`${space}.${prod.domain}`, "/remote.php/dav/files/admin/a.bin", {
        method: "PUT",
        headers: { "content-length": String(bytes) },
      });
    const pending: Promise<unknown>[] = [];
    /** PHP has the request, and nothing was refused. */
    const runs = async (space: string, bytes: number) => {
      const before = arrived.length;
      pending.push(upload(space, bytes).catch(() => undefined));
      await vi.waitFor(() => expect(arrived.length).toBe(before + 1));
    };
    await runs("lotus", 1_000_000_000);
    expect(await upload("lotus", 2_000_000_000)).toMatchObject({
      status: 429,
      headers: { "retry-after": "10" },
    });
    await runs("lotus", 999_999_999);
    await runs("iris", 2_000_000_000);
  });

  describe("are logged", () => {
    const logged = async (path: string, headers: Record<string, string> = {}) => {
      const before = gateway.read("access.log").length;
      await gateway.ask(HOST, path, { headers });
      const [line = ""] = await vi.waitFor(() => {
        const lines = gateway.read("access.log").slice(before).split("\n");
        expect(lines.length).toBe(2);
        return lines;
      });
      return line;
    };
    const TOKEN = "gT4kWq9ZbRs2LmX";

    test.each([
      "/s/TOKEN",
      "/s/summer-TOKEN",
      "//s//TOKEN",
      "/index.php/s/TOKEN/download?path=/",
      "/%73/TOKEN",
      "/x/../s/TOKEN",
      "/s/TOKEN.css",
      "/index.php//s/TOKEN",
      "/public.php/dav/files/TOKEN/a.pdf",
      "/public.php/dav/files/TOKEN",
      "//public.php/dav/files/TOKEN/a.pdf",
      "/public.php/dav/files/x/../TOKEN/a.pdf",
      "/index.php/public.php/dav/files/TOKEN/a.pdf",
      "/public.php/webdav/?token=TOKEN",
      "/remote.php/dav/public-calendars/TOKEN?export",
      "/remote.php/dav/photospublic/TOKEN",
      "/remote.php/direct/TOKEN",
      "/remote.php/dav/files/../../../s/TOKEN",
      "/lostpassword/reset/form/TOKEN/admin",
      "/index.php/lostpassword/reset/form/TOKEN/admin",
      "/lostpassword/set/TOKEN/admin",
      "/apps/richdocuments/wopi/files/12_oc?access_token=TOKEN&access_token_ttl=0",
      "/index.php/apps/richdocuments/wopi/files/12_oc/contents?acce%73s_token=TOKEN",
      "/apps/richdocuments/direct/TOKEN",
      "/apps/files/directEditing/TOKEN",
      "/apps/forms/s/TOKEN",
      "/apps/calendar/p/TOKEN-TOKEN/dayGridMonth/now",
      "/apps/calendar/appointment/TOKEN/confirm",
      "/apps/dav/invitation/accept/TOKEN",
      "/apps/registration/verify/TOKEN",
      "/apps/tables/s/TOKEN",
      "/apps/collectives/p/TOKEN/notes",
      "/apps/files_sharing/publicpreview/TOKEN?x=1",
      "/call/TOKEN",
      "/ocs/v2.php/apps/spreed/api/v4/room/TOKEN/participants/active",
      "/ocs/v2.php/apps/spreed/api/v1/chat/TOKEN?lookIntoFuture=1",
      "/login/v2/flow/TOKEN",
      "/ocs/v2.php/apps/files/api/v1/openlocaleditor/TOKEN",
      "/ocs/v2.php/apps/files_downloadlimit/api/v1/TOKEN/limit",
      "/ocs/v2.php/apps/activity/api/v2/remote/TOKEN",
      "/apps/circles/async/TOKEN/",
      "/apps/provisioning_api/mailVerification/TOKEN/TOKEN/admin",
      "/apps/photos/public/TOKEN",
      "/remote.php/webdav/../../s/TOKEN",
      "/login/flow/grant?stateToken=TOKEN",
      "/login?redirect_url=/s/TOKEN",
      "/apps/files/?requesttoken=TOKEN",
      "/core/preview?fileId=1&token=TOKEN",
    ])("without what opens something: %s", async (path) => {
      for (const token of [TOKEN, "abcdefgh", "summer"]) {
        const line = await logged(path.replaceAll("TOKEN", token));
        expect(line).not.toContain(token);
        expect(JSON.parse(line)).toMatchObject({ space: "lotus", host: HOST, method: "GET" });
      }
    });

    test.each([
      ["/", "/"],
      ["/login?redirect_url=/a", "/login"],
      ["/apps/files/files/12?dir=/a", "/apps/files/files/12"],
      [
        "/ocs/v2.php/apps/notifications/api/v2/notifications",
        "/ocs/v2.php/apps/notifications/api/v2/notifications",
      ],
      ["/remote.php/dav/files/admin/Photos%20A/b.jpg?x=1", "/remote.php/dav/files/admin/Photos%20A/b.jpg"],
      ["/s/abc/download", "/s/***"],
      ["/lostpassword/reset/form/a1b2C3/admin", "/lostpassword/***"],
      ["/public.php/dav/files/a1b2C3/Photos/b.jpg", "/public.php/dav/files/***/Photos/b.jpg"],
      ["/avatar/Camille/64", "/avatar/***"],
    ])("with the words of their address: %s", async (path, uri) => {
      expect(JSON.parse(await logged(path))).toMatchObject({ uri });
    });

    test("in a short line, whatever they hold", async () => {
      const lines = [
        await logged(`/${"a/".repeat(7000)}`, { "user-agent": "b".repeat(15_000) }),
        await logged(`/remote.php/dav/files/${"%01".repeat(4000)}`, { "user-agent": '"'.repeat(15_000) }),
      ];
      for (const line of lines) expect(line.length).toBeLessThan(2048);
    });
  });
});
