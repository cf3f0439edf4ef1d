// The whole platform on this machine: brought up, used, changed and taken down with the commands that a person uses.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DOMAIN, TENANTS, TestLab } from "../support/suite-lab.ts";

const platform = new TestLab("e2e", 18443);
const on = platform.on.bind(platform);
const probe = platform.probe.bind(platform);

let output: string;

// The first up is killed at some moment. The next command continues.
const moment = 10 + Math.random() * 50;

beforeAll(async () => {
  await platform.prepare();
  console.log(`the first up is killed after ${moment.toFixed(1)} s`);
  await platform.kill("up", moment);
  output = await platform.up();
});

afterAll(() => platform.remove());

const starts = (machine: string) =>
  on(
    machine,
    "systemctl show nginx -p ExecMainStartTimestamp -p NRestarts; pgrep -o -x nginx; pgrep -c nginx",
  );

test("up ends with a table of what runs and where to find it", () => {
  expect(output).toContain(`https://iris.${DOMAIN}:${platform.port}/`);
  expect(output).toContain(`https://lotus.${DOMAIN}:${platform.port}/`);
  expect(output).toContain("office: no release with Collabora's connector");
});

test.each(["iris", "lotus"])("%s answers from its own database, over TLS", async (id) => {
  const { status, body } = await probe(`${id}.${DOMAIN}`);
  expect(status).toBe(200);
  expect(body).toContain(`<th>database</th><td>${id}</td>`);
  expect(body).toContain(`<th>role</th><td>${id}</td>`);
  expect(body).toMatch(/<th>encrypted<\/th><td>TLSv1\.3/);
});

test.each(["web-1", "web-2"])("%s serves both spaces", async (web) => {
  for (const id of ["iris", "lotus"]) expect(await platform.statusFrom(web, id)).toBe("200");
});

test("a second run changes nothing", async () => {
  const again = await platform.up();
  expect(again).toMatch(/lab-platform: \d+ resources, nothing changed/);
  expect(again).toMatch(/lab-spaces-001: \d+ resources, nothing changed/);
});

test("a host without a space gets a 404", async () => {
  expect((await probe(`nobody.${DOMAIN}`)).status).toBe(404);
});

test("requests are logged on logs-1 under the name of the space", async () => {
  await probe(`iris.${DOMAIN}`);
  await expect
    .poll(() => platform.logged("iris", `iris.${DOMAIN}`), { timeout: 30_000, interval: 1000 })
    .not.toHaveLength(0);
  expect(await platform.logged("lotus", `iris.${DOMAIN}`)).toEqual([]);
});

test("the standby streams", async () => {
  const state = await on(
    "postgres-1",
    "runuser -u postgres -- psql -Atc 'select state from pg_stat_replication'",
  );
  expect(state).toBe("streaming");
  expect(await on("postgres-2", "runuser -u postgres -- psql -Atc 'select pg_is_in_recovery()'")).toBe("t");
});

test("a role opens only its own database", async () => {
  const connect = (database: string) =>
    on(
      "ops-1",
      `PGPASSWORD=$(jq -r .database.password /srv/spaces/iris/config/space.json) psql -At "host=postgres-1 dbname=${database} user=iris sslmode=require channel_binding=disable" -c 'select current_user' 2>&1 || true`,
    );
  expect(await connect("iris")).toBe("iris");
  expect(await connect("lotus")).toContain("no pg_hba.conf entry");
  expect(await connect("postgres")).toContain("no pg_hba.conf entry");
});

test("from outside, only SSH on ops-1 is open", async () => {
  const { servers } = (await platform.cloud("GET", "servers")) as {
    servers: { name: string; public_net: { ipv4: { ip: string } } }[];
  };
  expect(servers.length).toBeGreaterThanOrEqual(9);
  const attempts = servers.flatMap(({ name, public_net }) =>
    [22, 80, 443, 5432, 6379, 6514, 8080, 9000, 9980].map(async (port) => {
      const probe = `timeout 2 bash -c '</dev/tcp/${public_net.ipv4.ip}/${port}'`;
      const { exitCode } = await execa(
        "nsenter",
        [`--net=/run/netns/fs-${platform.name}-admin`, "sh", "-c", probe],
        {
          reject: false,
        },
      );
      return exitCode === 0 ? [`${name}:${port}`] : [];
    }),
  );
  expect((await Promise.all(attempts)).flat()).toEqual(["ops-1:22"]);
});

test("inside, only ops-1 reaches SSH", async () => {
  expect(
    await on("web-1", "timeout 2 bash -c '</dev/tcp/web-2/22' 2>/dev/null && echo open || echo shut"),
  ).toBe("shut");
  expect(
    await on("ops-1", "timeout 2 bash -c '</dev/tcp/web-2/22' 2>/dev/null && echo open || echo shut"),
  ).toBe("open");
});

test("a new space answers without a reload of nginx; a suspended one answers 503", async () => {
  const machines = ["gateway-1", "gateway-2", "web-1", "web-2"];
  const before = await Promise.all(machines.map(starts));
  await platform.space("add", "--id", "jonquille", "--name", "Jonquille");
  await platform.space("suspend", "iris", "--reason", "asked by its board");
  const changed = await platform.up();
  expect(changed).toMatch(/lab-platform: \d+ resources, nothing changed/);
  expect((await probe(`jonquille.${DOMAIN}`)).body).toContain("<th>database</th><td>jonquille</td>");
  for (const method of ["GET", "PROPFIND"]) {
    const page = await probe(`iris.${DOMAIN}`, { method });
    expect(page.status).toBe(503);
    expect(page.retryAfter).toMatch(/^\d+$/);
    expect(page.body).toContain("suspended");
  }
  expect(await Promise.all(machines.map(starts))).toEqual(before);

  await platform.space("resume", "iris");
  expect(await readFile(join(platform.tree, TENANTS), "utf8")).not.toContain("suspended");
  await platform.up();
  expect((await probe(`iris.${DOMAIN}`)).status).toBe(200);
});

test("a changed number adds a third web server, which serves all spaces", async () => {
  await platform.edit(
    "Pulumi.lab.yaml",
    /web: \{\s*type: cpx22, count: 2\s*\}/,
    "web: {type: cpx22, count: 3}",
  );
  await platform.up();
  await expect
    .poll(() => platform.statusFrom("web-3", "lotus"), { timeout: 60_000, interval: 1000 })
    .toBe("200");
  expect(await on("gateway-1", "grep -c 'server 10.0.20' /etc/nginx/nginx.conf")).toBe("3");
});

test("down leaves nothing, even if it was killed and run again", async () => {
  const { name } = platform;
  await platform.kill("down", Math.random() * 4);
  await platform.lab("down");
  expect(existsSync(`/var/lib/framaspace-lab/${name}`)).toBe(false);
  expect((await execa("ip", ["netns", "list"])).stdout).not.toContain(`fs-${name}-`);
  expect(await readFile("/proc/mounts", "utf8")).not.toContain(`framaspace-lab/${name}`);
  expect((await execa("ps", ["-eo", "args"])).stdout).not.toContain(`fs-${name}-`);
  expect((await execa("losetup", ["--list", "--output", "BACK-FILE"])).stdout).not.toContain(
    `framaspace-lab/${name}`,
  );
});
