// What visitors notice while web servers restart PHP-FPM. The nginx of a gateway and of two web servers are real, and
// install.sh restarts them; its systemctl and PHP-FPM are fakes. Needs nginx.
import { execa } from "execa";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { REFUSED_SECONDS, renderGatewayNginx } from "../../../infra/gateway/gateway.ts";
import { cloudMachines } from "../../../infra/inventory/addresses.ts";
import { renderWebNginx } from "../../../infra/web/web.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { fake, libIn } from "../../support/fakes.ts";
import { startFastCgi } from "../../support/fastcgi.ts";
import { hasNginx, NGINX, startNginx, type NginxServer } from "../../support/nginx-server.ts";
import { commandOf, commandsBefore, prodPlatform } from "../../support/platform-graph.ts";

const prod = exampleEnvironment("prod");
const folder = join(import.meta.dirname, "../../../infra/web");
const script = readFileSync(join(folder, "install.sh"), "utf8");
const spaceConf = readFileSync(join(folder, "rootfs/etc/nginx/space.conf"), "utf8");
/** The parts that restart something. */
const [leaving = "", restarting = ""] = [/^has_left=$[^]*?^come_back[^]*?^\}$/m, /^restarted=$[^]*/m].map(
  (part) => part.exec(script)?.[0],
);
/** So that a test need not wait as long as a gateway. */
const REFUSED = 1;

it("is one web server after the other, once all have what takes minutes", async () => {
  const graph = await prodPlatform();
  expect(commandsBefore(commandOf(graph, "web-2-role").resource)).toEqual(["web-1-role"]);
  expect(commandsBefore(commandOf(graph, "web-1-role").resource)).toEqual(
    expect.arrayContaining(["web-1-software", "web-2-software"]),
  );
  expect(commandsBefore(commandOf(graph, "web-2-software").resource)).not.toContain("web-1-software");
});

describe.skipIf(!hasNginx)(`while PHP-FPM restarts${hasNginx ? "" : " (skipped: no nginx)"}`, () => {
  const spaces = Array.from({ length: 8 }, (_, index) => `space-${index}`);
  const webServers: NginxServer[] = [];
  let gateway: NginxServer;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    for (const name of ["web-1", "web-2"]) {
      const web = await startNginx(renderWebNginx(prod.domain, "10.0.20.1"), {
        "/etc/nginx/space.conf": spaceConf,
        "/etc/nginx/php-limits.conf": "",
        "/etc/nginx/mime.types": "",
        "/run/php-spaces/ready": "",
        ...Object.fromEntries(spaces.map((id) => [`/srv/spaces/${id}/release/index.php`, ""])),
      });
      webServers.push(web);
      const php = await startFastCgi(web.path("/run/php-spaces/spaces.sock"), async (parameters) => {
        if (parameters.get("REQUEST_URI")?.endsWith("slow")) await sleep(1500);
        return `\r\n${name}`;
      });
      closing.push(() => php.close());
      fakeMachine(web);
    }
    gateway = await startNginx(
      renderGatewayNginx(prod, "10.0.10.1").replaceAll(
        `fail_timeout=${REFUSED_SECONDS}s`,
        `fail_timeout=${REFUSED}s`,
      ),
      {},
      Object.fromEntries(
        cloudMachines(prod, "web").map(({ privateAddress }, index) => [
          `${privateAddress}:80`,
          webServers[index]?.port ?? 0,
        ]),
      ),
    );
  });
  afterAll(async () => {
    for (const close of closing) close();
    for (const server of [gateway, ...webServers]) await server.stop();
  });

  /** PHP-FPM's socket is away for half a second while it restarts. */
  function fakeMachine(web: NginxServer): void {
    const bin = web.path("/bin");
    mkdirSync(bin);
    const started = `${NGINX} -p ${web.path("")} -c ${web.path("/etc/nginx/nginx.conf")} -e ${web.path("/error.log")}`;
    const pid = web.path("/run/nginx.pid");
    fake(join(bin, "nginx"), `case "$*" in *quit) exec ${started} -s quit ;; esac`);
    fake(join(bin, "ss"), "");
    fake(join(bin, "php-fpm8.4"), "");
    fake(
      join(bin, "systemctl"),
      `cd ${web.path("/run/php-spaces")}
case "$*" in
  *is-active*nginx) [ -e ${pid} ] ;;
  "stop nginx") [ ! -e ${pid} ] || kill "$(<${pid})" ;;
  "start nginx") [ -e ${pid} ] || ${started} ;;
  "re"*"php8.4-fpm") mv spaces.sock away; sleep 0.5; mv away spaces.sock ;;
esac`,
    );
  }

  /** Runs install.sh, whose pools have changed. */
  const install = (web: NginxServer, servers: number) => {
    const input = `${libIn(web.path(""))}
PACKAGES=() WEB_SERVERS=${servers} GATEWAYS_FORGET_SECONDS=${REFUSED}
mark /etc/php/8.4/fpm/pools.conf
${leaving}
${restarting}`;
    writeFileSync(web.path("/input"), input);
    return execa("bash", [web.path("/input"), "install.sh"], {
      env: { PATH: `${web.path("/bin")}${delimiter}${process.env["PATH"] ?? ""}` },
    });
  };

  /** What visitors get until the work is done: how many answers of each kind. */
  async function visitorsDuring(work: () => Promise<unknown>): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    const done = new AbortController();
    const visits = spaces.map(async (id) => {
      while (!done.signal.aborted) {
        const { status, text } = await gateway.ask(`${id}.${prod.domain}`, "/index.php/login");
        const kind = status === 200 ? text : String(status);
        counts[kind] = (counts[kind] ?? 0) + 1;
        await sleep(20);
      }
    });
    await sleep(100);
    await work();
    done.abort();
    await Promise.all(visits);
    return counts;
  }

  test("one web server after the other, all visitors are answered, and requests under way end", async () => {
    const slow = spaces.map((id) => gateway.ask(`${id}.${prod.domain}`, "/index.php/slow"));
    const counts = await visitorsDuring(async () => {
      for (const web of webServers) await install(web, 2);
    });
    expect(Object.keys(counts).sort()).toEqual(["web-1", "web-2"]);
    expect((await Promise.all(slow)).map(({ status }) => status)).toEqual(spaces.map(() => 200));
  });

  test("a web server that is the only one goes on taking requests", async () => {
    const counts = await visitorsDuring(() => Promise.all(webServers.map((web) => install(web, 1))));
    expect(counts["502"]).toBeGreaterThan(0);
    expect(counts["web-1"]).toBeGreaterThan(0);
  });
});
