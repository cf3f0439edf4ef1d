// The program with the Pulumi CLI: every stack is previewed, and the CLI brings the lab up and takes it down. With the
// MinIO server (FRAMASPACE_MINIO) and its client (FRAMASPACE_MC), the spaces have buckets.
import { execa } from "execa";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { openLab } from "../../lab/lab.ts";
import { ADMIN, ROUTER } from "../../lab/namespaces.ts";
import { configurationFile } from "../../lab/pulumi-engine.ts";
import { renderEntry } from "../../spaces/fleet/edit.ts";
import { pulumiEnvironment, hasPlugin, hasPulumi, WHY_SKIPPED } from "../support/pulumi-cli.ts";
import { DOMAIN, storageWords, TestLab } from "../support/suite-lab.ts";
import { sqlOf } from "../support/database-ledger.ts";
import { typeAtHome } from "../support/runbook.ts";
import { generator } from "../support/object-ledger.ts";

const serverList = z.object({ servers: z.array(z.object({ id: z.number(), name: z.string() })) });

/** How often an `up` is killed, and the seed of the moments. */
const kills = Number(process.env.FRAMASPACE_ROUNDS ?? 6);
const seed = Number(process.env.FRAMASPACE_SEED ?? Math.floor(Math.random() * 1e6));

const cli = new TestLab("cli", 18444, ["--engine", "pulumi", ...storageWords()]);

describe.skipIf(!hasPulumi)(`the Pulumi CLI${WHY_SKIPPED}`, () => {
  beforeAll(() => cli.prepare());
  afterAll(() => cli.remove());

  describe("previews without any credentials of a cloud", () => {
    let state: string;
    const run = (...words: string[]) =>
      execa("pulumi", words, { cwd: cli.tree, env: pulumiEnvironment(state, "example"), all: true });

    beforeAll(async () => {
      state = await mkdtemp(join(tmpdir(), "framaspace-previews-"));
    });
    afterAll(() => rm(state, { recursive: true }));

    test.for([
      ["prod-platform", "Pulumi.prod.yaml", "hcloud"],
      ["prod-spaces-001", "Pulumi.prod.yaml", "minio"],
      ["lab-platform", "Pulumi.lab.yaml", "hcloud"],
      ["lab-spaces-001", "Pulumi.lab.yaml", "postgresql"],
    ] as const)("%s, with and without the policies", async ([stack, file, plugin], { skip }) => {
      if (!hasPlugin(plugin)) skip(`pulumi has no plug-in for ${plugin}`);
      await run("stack", "init", stack, "--no-select");
      const words = ["preview", "--non-interactive", "--stack", stack, "--config-file", file];
      for (const pack of [[], ["--policy-pack", "policies"]]) {
        const { all } = await run(...words, ...pack);
        expect(all).toMatch(/\+ \d+ to create/);
        expect(all).not.toMatch(/\d+ to (delete|replace|update)/);
        expect(all.includes("Policies:")).toBe(pack.length > 0);
      }
    });
  });

  /** The CLI with the lab's state and configuration. */
  const pulumi = (command: string, stack: string, ...words: string[]) =>
    cli.lab("pulumi", command, "--stack", stack, "--non-interactive", ...words);

  async function resourcesOf(stack: string) {
    const exported: unknown = JSON.parse(await cli.lab("pulumi", "stack", "export", "--stack", stack));
    // The other fields are the engine's own records, and secrets, which it encrypts again each time.
    const resource = z.object({
      urn: z.string(),
      id: z.string().optional(),
      protect: z.boolean().optional(),
    });
    return z.object({ deployment: z.object({ resources: resource.array() }) }).parse(exported).deployment
      .resources;
  }

  /** URN → id, without scripts and providers, whose ids mean nothing. */
  const idsOf = async (stack: string) =>
    Object.fromEntries(
      (await resourcesOf(stack)).flatMap(({ urn, id }) =>
        id === undefined || /command:remote|pulumi:providers/.test(urn) ? [] : [[urn, id]],
      ),
    );

  test("brings the lab up", async () => {
    const output = await cli.up();
    expect(output).toContain("engine: pulumi");
    for (const id of ["iris", "lotus"]) expect((await cli.probe(`${id}.${DOMAIN}`)).status).toBe(200);
  });

  test.each(["lab-platform", "lab-spaces-001"])("a second up of %s changes nothing", async (stack) => {
    const output = await pulumi("up", stack, "--yes", "--skip-preview", "--expect-no-changes");
    expect(output).toMatch(/\d+ unchanged/);
  });

  test.each(["lab-platform", "lab-spaces-001"])("refresh of %s finds no drift", async (stack) => {
    const output = await pulumi("refresh", stack, "--yes", "--skip-preview", "--expect-no-changes");
    expect(output).toMatch(/\d+ unchanged/);
  });

  /** Does what `hcloud server delete` does. */
  async function destroy(...names: string[]): Promise<void> {
    const { servers } = serverList.parse(await cli.cloud("GET", "servers"));
    for (const name of names) {
      const lost = servers.find((server) => server.name === name);
      if (!lost) throw new Error(`the lab has no ${name}`);
      await cli.cloud("DELETE", `servers/${lost.id}`);
    }
    const there = async () =>
      serverList.parse(await cli.cloud("GET", "servers")).servers.map(({ name }) => name);
    await expect.poll(there, { timeout: 60_000 }).not.toEqual(expect.arrayContaining([names[0]]));
  }

  const servesFrom = (web: string, id: string) =>
    expect
      .poll(() => cli.statusFrom(web, id, "/status.php"), { timeout: 90_000, interval: 1000 })
      .toBe("200");

  test("the commands of the runbook build a machine again that was deleted at the cloud", async () => {
    await destroy("web-2");
    const said = await typeAtHome(cli, "rebuild-a-machine", "Make it again");
    expect(said).toMatch(/\+ \d+ created/);
    await servesFrom("web-2", "iris");
  });

  test("the same commands build ops-1 and all web servers again, and spaces are back with their data", async () => {
    const spaces = ["iris", "lotus"];
    for (const space of spaces)
      await sqlOf(cli, space, "CREATE TABLE IF NOT EXISTS kept AS SELECT generate_series(1, 500) AS n");
    const before = await cli.on("ops-1", "sha256sum /srv/spaces/*/config/space.json");
    await destroy("ops-1", "web-1", "web-2");
    const began = Date.now();
    await typeAtHome(cli, "rebuild-a-machine", "Make it again");
    console.log(`ops-1 and two web servers: ${Math.round((Date.now() - began) / 1000)} s`);
    for (const space of spaces) {
      for (const web of ["web-1", "web-2"]) await servesFrom(web, space);
      expect((await cli.probe(`${space}.${DOMAIN}`)).status).toBe(200);
      expect(await sqlOf(cli, space, "SELECT count(*), max(n) FROM kept")).toBe("500|500");
      // The user of the space in Redis accepts its password, so there are sessions.
      const key = await cli.on(
        "ops-1",
        `jq -r '.redis | "\\(.user) \\(.password) \\(.database)"' /srv/spaces/${space}/config/space.json | { read -r user password number; REDISCLI_AUTH=$password redis-cli -h redis-1 --no-auth-warning --user $user SELECT $number; }`,
      );
      expect(key).toBe("OK");
    }
    expect(await cli.on("ops-1", "sha256sum /srv/spaces/*/config/space.json")).toBe(before);
    for (const stack of ["lab-platform", "lab-spaces-001"])
      await pulumi("up", stack, "--yes", "--skip-preview", "--expect-no-changes");
  });

  test("an invitation that the relay refused is sent when the relay accepts it, and causes an alarm until then", async () => {
    const alarms = () => cli.on("ops-1", "platform-health | grep '^space' || true");
    const mails = async () =>
      (await cli.lab("mail")).split("\n").filter((line) => line === "To: bureau@jonquille.example");
    await cli.inNetworkOf(
      ADMIN,
      "nft",
      "table inet relay { chain f { type filter hook input priority -300; tcp dport 25 reject; }; }",
    );
    const contact = ["--contact", "bureau@jonquille.example"];
    await cli.space("add", "--id", "jonquille", "--name", "Jonquille", ...contact);
    await pulumi("up", "lab-spaces-001", "--yes", "--skip-preview");
    expect(await alarms()).toMatch(
      /^space jonquille: the invitation to bureau@jonquille.example could not be sent/,
    );
    expect((await cli.probe(`jonquille.${DOMAIN}`)).status).toBe(200);
    expect(await mails()).toEqual([]);
    // No command that people type would send it: for the engine it is done.
    await pulumi("up", "lab-spaces-001", "--yes", "--skip-preview", "--expect-no-changes");
    await cli.inNetworkOf(ADMIN, "nft", "delete table inet relay");
    await expect.poll(mails, { timeout: 300_000, interval: 3000 }).toHaveLength(1);
    await expect.poll(alarms, { timeout: 30_000, interval: 1000 }).toBe("");
  });

  const exitStatus = (act: Promise<unknown>) =>
    act.then(
      () => 0,
      (error: unknown) => z.object({ exitCode: z.number() }).parse(error).exitCode,
    );

  test("a rollout applies the one stack that was changed, looks at canary spaces, and then has nothing to do", async () => {
    expect(await cli.lab("rollout")).toContain("2 stacks done");
    await cli.space("add", "--id", "glycine", "--name", "Glycine");
    expect(await cli.lab("rollout", "--dry-run")).toMatch(/lab-spaces-001 {2}changed\n1 stack unchanged/);
    const said = await cli.lab("rollout");
    expect(said).toMatch(/\[1\/1\] lab-spaces-001: \d+ changed/);
    expect((await cli.probe(`glycine.${DOMAIN}`)).status).toBe(200);
    expect(await cli.lab("rollout")).toBe("Nothing to apply in lab: 2 stacks unchanged.");
  });

  test("a rollout takes over what an earlier up made without the state knowing it", async () => {
    const sql = ["CREATE ROLE pivoine LOGIN", "CREATE DATABASE pivoine OWNER pivoine"];
    for (const statement of sql) await cli.on("ops-1", `psql service=framaspace -qc '${statement}'`);
    await cli.space("add", "--id", "pivoine", "--name", "Pivoine");
    const said = await cli.lab("rollout");
    expect(said).toContain("it has now: pivoine-role (pivoine)");
    expect(said).toContain("it has now: pivoine-database (pivoine)");
    expect((await cli.probe(`pivoine.${DOMAIN}`)).status).toBe(200);
    await pulumi("up", "lab-spaces-001", "--yes", "--skip-preview", "--expect-no-changes");
  });

  test("the look at spaces finds what members would", async () => {
    await cli.on("ops-1", "try-space iris lotus");
    // A web server that takes no upload.
    await cli.on("web-1", "chmod 000 /srv/spaces/iris && systemctl restart php8.4-fpm");
    try {
      const said = await cli.on("ops-1", "try-space iris lotus || true");
      expect(said).toMatch(/^space iris: web-1 answers the login page with [45]\d\d/m);
      // Files have the names of the web servers that took them.
      expect(said).not.toMatch(/lotus|: web-2/);
    } finally {
      await cli.on("ops-1", "distribute-spaces iris");
      await cli.on("web-1", "chmod 750 /srv/spaces/iris");
    }
    await cli.on("ops-1", "try-space iris lotus");
    expect(await cli.inside("iris", "occ user:list")).not.toContain("framaspace-try");
  });

  test("drift is found, and its advice ends it", async () => {
    expect(await cli.lab("drift")).toBe("2 stacks: 0 differ, 0 could not be looked at.");
    await cli.on("ops-1", "psql service=framaspace -qc 'ALTER ROLE lotus CONNECTION LIMIT 7'");
    const found = cli.lab("drift");
    await expect(found).rejects.toThrow(
      /lotus-role \(postgresql:index\/role:Role\) is changed: connectionLimit/,
    );
    expect(await exitStatus(found)).toBe(2);
    await pulumi("refresh", "lab-spaces-001", "--yes", "--skip-preview");
    await cli.lab("rollout");
    expect(await cli.lab("drift")).toBe("2 stacks: 0 differ, 0 could not be looked at.");
    const limit =
      "psql service=framaspace -XAtc \"SELECT rolconnlimit FROM pg_roles WHERE rolname = 'lotus'\"";
    expect(await cli.on("ops-1", limit)).toBe("150");
  });

  test("lost states are made again by the words of the runbook, and nothing is replaced", async () => {
    const before = { ...(await idsOf("lab-platform")), ...(await idsOf("lab-spaces-001")) };
    await rm(join(openLab(cli.name).directory, "state/.pulumi/stacks"), { recursive: true });
    const said = await typeAtHome(cli, "lost-state", "Make it again");
    expect(said).not.toMatch(/\d+ to (delete|replace)|(delete|replace)(d|ing)? /);
    expect({ ...(await idsOf("lab-platform")), ...(await idsOf("lab-spaces-001")) }).toEqual(before);
    for (const id of ["iris", "lotus"]) expect((await cli.probe(`${id}.${DOMAIN}`)).status).toBe(200);
  });

  test("a hundred spaces are created with 64 steps at once, then nothing is left to do", async () => {
    const entries = Array.from({ length: 100 }, (_, index) => {
      const id = `group-${String(index).padStart(3, "0")}`;
      const rest = { kind: "association", plan: "small", office: "collabora", wave: "main" };
      return renderEntry({ id, name: `Groupe ${index}`, contact: `bureau@${id}.example`, ...rest });
    });
    await writeFile(join(cli.tree, "spaces/tenants/lab/002.yaml"), entries.join(""));
    const stack = "lab-spaces-002";
    await cli.lab("pulumi", "stack", "init", stack, "--no-select");
    const started = performance.now();
    await pulumi("up", stack, "--yes", "--skip-preview", "--parallel", "64");
    console.log(`100 spaces created in ${Math.round((performance.now() - started) / 1000)} s`);
    await pulumi("up", stack, "--yes", "--skip-preview", "--parallel", "64", "--expect-no-changes");
    expect((await cli.probe(`group-099.${DOMAIN}`)).status).toBe(200);
  });

  test(
    "an up that is killed anywhere is finished by the next one: nothing twice, nothing left over",
    async () => {
      const random = generator(seed);
      const ids = Array.from({ length: kills }, (_, index) => `killed-${index}`).sort();
      for (const id of ids) {
        await cli.space("add", "--id", id, "--name", id);
        // The steps of spaces come last in `up`. How long they take is unknown, so the test tries the whole time.
        await cli.kill("up", 2 + random() * 20);
        await cli.up();
        expect((await cli.probe(`${id}.${DOMAIN}`)).status).toBe(200);
      }
      const names = async (command: string) =>
        (await cli.on("ops-1", command))
          .split("\n")
          .filter((name) => name.includes("killed-"))
          .sort();
      const query = (column: string, table: string) =>
        `psql service=framaspace -XAtc 'SELECT ${column} FROM ${table}'`;
      expect(await names(query("datname", "pg_database"))).toEqual(ids);
      expect(await names(query("rolname", "pg_roles"))).toEqual(ids);
      const stored = storageWords().length > 0 ? ids : [];
      const asked = (command: string) => (stored.length > 0 ? names(command) : []);
      expect(await asked("mc ls --json serving | jq -r .key")).toEqual(stored.map((id) => `space-${id}/`));
      expect(await asked("mc admin user list --json serving | jq -r .accessKey")).toEqual(stored);
      await pulumi("up", "lab-spaces-001", "--yes", "--skip-preview", "--expect-no-changes");
      console.log(`killed ${kills} times, seed ${seed}`);
    },
    kills * 200_000,
  );

  test.each([
    ["PostgreSQL", "postgres-1", "postgresql@17-main"],
    ...(storageWords().length > 0 ? [["MinIO", "storage-a1", "minio"]] : []),
  ])(
    "with %s unreachable every command stops, and the state keeps everything",
    async (service, machine, unit) => {
      const stack = "lab-spaces-002";
      const before = await resourcesOf(stack);
      expect(before.length).toBeGreaterThan(400);
      // Masked, because the platform would start it again.
      await cli.on(machine, `systemctl mask --runtime ${unit} && systemctl stop ${unit}`);
      try {
        const asked = new RegExp(
          `What holds the spaces' data is out of reach; nothing was changed.\\n +${service} at`,
        );
        for (const command of ["refresh", "destroy", "up"])
          await expect(pulumi(command, stack, "--yes", "--skip-preview")).rejects.toThrow(asked);
        await expect(pulumi("up", stack, "--yes", "--skip-preview", "--refresh")).rejects.toThrow(
          /--refresh is a step of its own for spaces/,
        );
        // The CLI alone asks the providers before the program. The MinIO provider cannot open its certificate, which
        // exists only during `npm run pulumi`, so the CLI forgets nothing.
        const file = configurationFile(openLab(cli.name));
        const plain = ["--non-interactive", "up", "--stack", stack, "--config-file", file];
        await expect(cli.lab("pulumi", ...plain, "--yes", "--skip-preview", "--refresh")).rejects.toThrow(
          storageWords().length > 0
            ? /only-there-during--npm-run-pulumi/
            : /error connecting to PostgreSQL server/,
        );
        expect(await resourcesOf(stack)).toEqual(before);
      } finally {
        await cli.on(machine, `systemctl unmask --runtime ${unit} && systemctl start ${unit}`);
      }
      await pulumi("refresh", stack, "--yes", "--skip-preview", "--expect-no-changes");
    },
  );

  test("a refresh over a bad line, 1 Mbit/s with every fifth packet lost, forgets nothing", async () => {
    const stack = "lab-spaces-001";
    const before = await resourcesOf(stack);
    const router = (...words: string[]) => cli.inNetworkOf(ROUTER, ...words);
    const drop = "numgen random mod 5 == 0 drop";
    await router(
      "nft",
      `table inet line { chain f { type filter hook forward priority -300; iifname ${ADMIN} ${drop}; oifname ${ADMIN} ${drop}; }; }`,
    );
    const shape = ["root", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "400ms"];
    await router("tc", "qdisc", "add", "dev", ADMIN, ...shape);
    const started = performance.now();
    try {
      const outcome = await pulumi("refresh", stack, "--yes", "--skip-preview").then(
        () => "ended well",
        (error: unknown) => `stopped: ${String(error).trim().split("\n").at(-1)}`,
      );
      console.log(
        `a refresh over a bad line ${outcome}, ${Math.round((performance.now() - started) / 1000)} s`,
      );
    } finally {
      await router("nft", "delete table inet line");
      await router("tc", "qdisc", "del", "dev", ADMIN, "root");
    }
    expect(await resourcesOf(stack)).toEqual(before);
    await pulumi("refresh", stack, "--yes", "--skip-preview", "--expect-no-changes");
  });

  test("destroy refuses resources that hold data, and leaves nothing after they are unprotected", async () => {
    const spaces = ["lab-spaces-002", "lab-spaces-001"];
    await expect(pulumi("destroy", "lab-spaces-001", "--yes", "--skip-preview")).rejects.toThrow("protect");
    for (const stack of [...spaces, "lab-platform"]) {
      await cli.lab("pulumi", "state", "unprotect", "--all", "--yes", "--stack", stack);
      await pulumi("destroy", stack, "--yes", "--skip-preview");
    }
    for (const collection of ["servers", "networks", "firewalls", "ssh_keys", "zones", "load_balancers"])
      expect(await cli.cloud("GET", collection)).toMatchObject({ [collection]: [] });
  });
});
