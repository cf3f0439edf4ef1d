// What ops-1 learns about every machine. The programs run here with fakes for df, systemctl and ssh.
import { execa } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { allMachines } from "../../../infra/inventory/addresses.ts";
import { healthCommand, healthWatch } from "../../../infra/monitoring/monitoring.ts";
import { postgresProblems } from "../../../infra/monitoring/programs/database-health.ts";
import type { HealthSettings } from "../../../infra/monitoring/programs/health-settings.ts";
import type { LookedAt } from "../../../infra/monitoring/programs/looked-at.ts";
import { machineProblems } from "../../../infra/monitoring/programs/machine-problems.ts";
import { platformHealth } from "../../../infra/monitoring/programs/platform-health.ts";
import { redisProblems } from "../../../infra/monitoring/programs/redis-health.ts";
import { jobProblems, spaceProblems } from "../../../infra/monitoring/programs/spaces-health.ts";
import { Access } from "../../../infra/machine/remote.ts";
import { Authority } from "../../../infra/pki/certificates.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";
import { sourceOf, fake } from "../../support/fakes.ts";
import { runHere } from "../../support/run-here.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { commandOf, commandsBefore, prodPlatform } from "../../support/platform-graph.ts";

const bin = mkdtempSync(join(tmpdir(), "framaspace-health-"));
afterAll(() => rmSync(bin, { recursive: true }));

const SETTINGS: HealthSettings = { mail: "admin@example.org", redis: "redis-1", machines: [] };
const lookAt = (root: string): LookedAt => ({
  root,
  settings: SETTINGS,
  clockSeconds: 5,
  certificateDays: 30,
});

const run = async (words: readonly string[]) => {
  const { stdout } = await execa("bash", words, { stdin: "ignore", env: { PATH: `${bin}:/usr/bin:/bin` } });
  return stdout.split("\n").filter(Boolean);
};

describe("machine-health", () => {
  beforeEach(() => {
    fake(
      `${bin}/df`,
      "printf '%s\\n' 'Use% Mounted on' ' 79% /' ' 80% /var' '  -  /odd' ' 99% /srv/minio/drive-1'",
    );
    fake(`${bin}/systemctl`, "echo 'nginx.service loaded failed failed A web server'");
  });
  const look = () => run(["-c", sourceOf("machine-health")]);

  test("reports the clock, full disks except MinIO's drives, and failed units", async () => {
    const before = Date.now() / 1000;
    const [time, ...problems] = await look();
    expect(Number(time)).toBeGreaterThanOrEqual(before - 0.01);
    expect(Number(time)).toBeLessThanOrEqual(Date.now() / 1000);
    expect(problems).toEqual([
      "disk /var: 80% full",
      "unit nginx.service: failed; systemctl status nginx.service",
    ]);
  });

  test("says if it cannot check the disks, and reports the rest", async () => {
    fake(`${bin}/df`, "exit 1");
    expect((await look()).slice(1)).toEqual([
      "disks: df cannot say how full they are",
      "unit nginx.service: failed; systemctl status nginx.service",
    ]);
  });
});

describe("platform-health reports from the answers of machines", () => {
  const ask = async (...names: string[]) => {
    vi.stubEnv("PATH", `${bin}:/usr/bin:/bin`);
    onTestFinished(() => void vi.unstubAllEnvs());
    // Shorter, so that an answer that comes later takes less time.
    return (
      await machineProblems({ ...lookAt(bin), settings: { ...SETTINGS, machines: names }, clockSeconds: 1 })
    ).sort();
  };
  /** Every machine gives the same answer, apart from its name. */
  const say = (script: string) => fake(`${bin}/ssh`, `name=\${!#}\n${script}`);

  test("nothing if everything is healthy", async () => {
    say("date +%s.%N");
    expect(await ask("web-1", "web-2")).toEqual([]);
  });

  test("the problems of each machine after its name", async () => {
    say('date +%s.%N; [ "$name" = web-1 ] || echo "disk /var: 80% full"');
    expect(await ask("web-1", "web-2")).toEqual(["web-2 disk /var: 80% full"]);
  });

  test.each([
    ["3600", "3600 seconds ahead of that of ops-1"],
    ["-3600", "3600 seconds behind that of ops-1"],
  ])("a clock that is wrong by %s seconds", async (offset, text) => {
    say(`date -d "${offset} seconds" +%s.%N`);
    const [line, ...more] = await ask("web-1");
    expect(more).toEqual([]);
    // A second may pass between the two clocks.
    expect(line?.replace("3599", "3600")).toBe(`web-1 clock: ${text}; timedatectl timesync-status on both`);
  });

  test("no wrong clock if only the answer was slow", async () => {
    say("date +%s.%N; sleep 2");
    expect(await ask("web-1")).toEqual([]);
  });

  test("an unreachable machine, and still the others", async () => {
    say('[ "$name" = web-2 ] || exit 255; date +%s.%N');
    expect(await ask("web-1", "web-2")).toEqual(["web-1 unreachable: ops-1 does not reach it"]);
  });
});

describe("platform-health reports of spaces", () => {
  const machine = mkdtempSync(join(tmpdir(), "framaspace-unfinished-"));
  const folder = join(machine, "var/lib/framaspace");
  mkdirSync(folder, { recursive: true });
  afterAll(() => rmSync(machine, { recursive: true }));
  const told = () => spaceProblems(lookAt(machine));
  const left = (id: string, why: string, minutesAgo = 0) => {
    const file = join(folder, "unfinished", id);
    writeFileSync(file, `${why}\n`);
    const then = Date.now() / 1000 - minutesAgo * 60;
    utimesSync(file, then, then);
  };

  test("nothing before there are spaces, nor while a space is being made", async () => {
    expect(await told()).toEqual([]);
    mkdirSync(join(folder, "unfinished"));
    left("lotus", "begun, and cut off", 2);
    expect(await told()).toEqual([]);
  });

  test("each unfinished space with its reason, and spaces that began long ago", async () => {
    left("iris", "the invitation to a@iris.example could not be sent (relay: mail:25)");
    left("lotus", "begun, and cut off", 20);
    expect(await told()).toEqual([
      "space iris: the invitation to a@iris.example could not be sent (relay: mail:25)",
      "space lotus: begun, and cut off",
    ]);
  });

  test("many unfinished spaces on one line, and that nothing can be kept", async () => {
    for (let number = 10; number < 35; number++) left(`group-${number}`, "database: …");
    writeFileSync(join(folder, "wanted-problems"), "spaces kept: what is wanted of them cannot be kept\n");
    expect(await told()).toEqual([
      "spaces kept: what is wanted of them cannot be kept",
      "spaces unfinished: 27 of them, such as group-10 group-11 group-12 group-13 group-14; npm run space -- list says why",
    ]);
  });
});

describe("platform-health reports of background jobs", () => {
  const machine = mkdtempSync(join(tmpdir(), "framaspace-jobs-"));
  afterAll(() => rmSync(machine, { recursive: true }));
  const told = () => jobProblems(lookAt(machine));
  const touch = (path: string, minutesAgo: number) => {
    const then = Date.now() / 1000 - minutesAgo * 60;
    utimesSync(join(machine, path), then, then);
  };
  /** A space that was last changed a week ago, and whose last job began then. */
  const space = (id: string, { ran, mark }: { ran?: number; mark?: string }) => {
    mkdirSync(join(machine, "srv/spaces", id), { recursive: true });
    if (mark !== undefined) writeFileSync(join(machine, "srv/spaces", id, mark), "");
    if (ran !== undefined) {
      writeFileSync(join(machine, "var/lib/framaspace/cron", id), "");
      touch(`var/lib/framaspace/cron/${id}`, ran);
    }
    touch(`srv/spaces/${id}`, 7 * 24 * 60 + 0.5);
  };

  test("nothing on a machine without spaces, nor while each waits for its time", async () => {
    expect(await told()).toEqual([]);
    for (const folder of ["etc/framaspace", "srv/spaces/.new.rose", "var/lib/framaspace/cron"])
      mkdirSync(join(machine, folder), { recursive: true });
    writeFileSync(join(machine, "etc/framaspace/catalog.json"), '{"cron":{"idleMinutes":60}}');
    space("iris", { ran: 85 });
    // Runs no job.
    for (const mark of ["suspended", "archived", "maintenance"]) space(`is-${mark}`, { ran: 600, mark });
    // Has rested since a long job, until in an hour.
    space("lotus", { ran: -60 });
    // Served again since five minutes.
    space("viola", { ran: 600 });
    touch("srv/spaces/viola", 5);
    expect(await told()).toEqual([]);
  });

  test("how many wait, and which one for the longest time", async () => {
    space("lotus", { ran: 182.5 });
    space("narcisse", { ran: 100 });
    expect(await told()).toEqual([
      "background jobs: 2 spaces wait for theirs for more than 30 minutes, lotus for 122; systemctl status run-cron; if it works, add a worker",
    ]);
    space("rose", {});
    expect((await told())[0]).toMatch(/^background jobs: 3 spaces .*, rose for 10020;/);
  });
});

describe("platform-health on a whole machine", () => {
  let root = "";
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const command = (name: string, script: string) => fake(join(root, "bin", name), `cd ${root}\n${script}`);
  const textOf = (path: string) =>
    existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : "";
  const RECORD = "var/lib/framaspace/postgres.json";
  const INFO = [
    "used_memory:10",
    "maxmemory:100",
    "evicted_keys:0",
    "aof_enabled:1",
    "aof_last_write_status:ok",
    "aof_last_bgrewrite_status:ok",
  ];
  const status = (record: object, ...nodes: object[]) =>
    command("postgres-cluster", `cat <<'END'\n${JSON.stringify({ record, nodes })}\nEND`);
  const NODE = { node: "postgres-1", reachable: true, running: true, connections: 5, maxConnections: 1000 };
  const STANDBY = {
    node: "postgres-2",
    reachable: true,
    running: true,
    connections: 0,
    maxConnections: 1000,
  };
  const look = (...words: string[]) => runHere(root, () => platformHealth(root, words));

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), "framaspace-whole-"));
    onTestFinished(() => rmSync(root, { recursive: true }));
    mkdirSync(join(root, "bin"));
    write("etc/framaspace/health/settings", JSON.stringify(SETTINGS));
    write("etc/framaspace/redis/admin", "secret\n");
    write(
      "etc/framaspace/platform.json",
      JSON.stringify({
        mail: { host: "mail", port: 25, from: "cloud@example.org", user: 'us"er', password: "pass" },
      }),
    );
    write("etc/framaspace/postgres/nodes", "postgres-1\npostgres-2\n");
    write(RECORD, "{}");
    const ca = await new Authority(new Secrets("master", "test", {}), {
      notBefore: "2026-01-01",
      years: 30,
    }).root();
    for (const file of ["usr/local/share/ca-certificates/framaspace.crt", "etc/framaspace/tls/cert.pem"])
      write(file, ca);
    write("etc/pgbackrest/pgbackrest.conf", "");
    write(
      "var/lib/framaspace/backup-check.json",
      JSON.stringify({ ok: true, text: "", at: Date.now() / 1000 }),
    );
    command("postgres-backups", "date +%s");
    command("redis-cli", `printf '%s\\r\\n' ${INFO.join(" ")}`);
    status(
      { primary: "postgres-1", mode: "synchronous" },
      { ...NODE, slot: { status: "reserved" }, archiving: true, archiveFailing: false, archiveWaiting: 0 },
      STANDBY,
    );
    command("logger", 'echo "$*" >>logged');
    command("curl", 'cat >login; cp "${@: -1}" sent; echo "$*" >>curled');
  });

  test("says nothing while all is well", async () => {
    expect(await look()).toEqual({ output: "", exitCode: 0, stderr: "" });
  });

  test("tells what is wrong with PostgreSQL", async () => {
    status(
      { primary: "postgres-1", mode: "asynchronous", since: "2026-11-24T14:00:00Z", failover: "postgres-2" },
      {
        ...NODE,
        connections: 800,
        slot: { status: "lost" },
        archiving: true,
        archiveFailing: true,
        archiveWaiting: 11,
        diskPercent: 70,
      },
      { ...STANDBY, running: false, fenced: true },
    );
    vi.stubEnv("PATH", `${join(root, "bin")}:${process.env["PATH"]}`);
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await postgresProblems(lookAt(root))).toEqual([
      "postgres-1 connections: 800 of 1000",
      "postgres-2 down: PostgreSQL does not run there, fenced: postgres-cluster rebuild postgres-2",
      "postgres standby: since 2026-11-24T14:00:00Z no standby confirms what is written",
      "postgres slot: lost: the standby has lost, or will soon lose, the WAL that it needs; postgres-cluster rebuild",
      "postgres archive: the last segment was refused; /var/log/pgbackrest on postgres-1 says why",
      "postgres archive queue: 11 segments wait, on a disk that is 70 % full",
      "postgres failover: was interrupted; run postgres-cluster failover again",
    ]);
    command("postgres-cluster", "exit 1");
    expect(await postgresProblems(lookAt(root))).toEqual([
      "postgres status: postgres-cluster status does not work",
    ]);
  });

  test("misses the record of PostgreSQL's primary, but not before PostgreSQL was made", async () => {
    rmSync(join(root, RECORD));
    expect(await look()).toMatchObject({
      output: "postgres record: ops-1 knows no primary; run up\n",
      exitCode: 1,
    });
    rmSync(join(root, "etc/framaspace/postgres/nodes"));
    expect(await look()).toMatchObject({ output: "", exitCode: 0 });
  });

  test("begins to report when all that it looks at has been made once", async () => {
    const graph = await prodPlatform();
    const begins = /^enable .*platform-health\.timer/m;
    expect(commandOf(graph, "ops-1-role").script).not.toMatch(begins);
    expect(commandOf(graph, "ops-1-spaces").script).toMatch(begins);
    // Its script waits for the component that it belongs to.
    const host = graph.resources.find(({ name }) => name === "space-host");
    expect(host && commandsBefore(host)).toEqual(
      expect.arrayContaining(["postgres-settle", "storage-settle", "web-2-role"]),
    );
  });

  test("tells what is wrong with Redis", async () => {
    vi.stubEnv("PATH", `${join(root, "bin")}:${process.env["PATH"]}`);
    onTestFinished(() => void vi.unstubAllEnvs());
    command(
      "redis-cli",
      "printf '%s\\n' used_memory:85 maxmemory:100 evicted_keys:2 aof_enabled:0 aof_last_write_status:err",
    );
    expect((await redisProblems(lookAt(root))).map((line) => line.split(":")[0])).toEqual([
      "redis memory",
      "redis evicted",
      "redis not kept",
      "redis not kept",
      "redis rewrite",
    ]);
    command("redis-cli", "echo no route >&2; exit 1");
    expect(await redisProblems(lookAt(root))).toEqual(["redis unreachable: it does not answer"]);
  });

  test("a look that fails hides no other one", async () => {
    rmSync(join(root, "etc/framaspace/redis/admin"));
    command("postgres-backups", "echo 0");
    const { output, exitCode } = await look();
    expect(exitCode).toBe(1);
    expect(output.split("\n").map((line) => line.split(":")[0])).toEqual([
      "backups missing",
      "health redis",
      "",
    ]);
  });

  test("reports what is new and what is over, once, and mails it without a secret on a command line", async () => {
    command("postgres-backups", "echo 0");
    expect(await look("--report")).toEqual({ output: "", exitCode: 0, stderr: "" });
    const problem = "backups missing: there is none yet; systemctl start postgres-backup on the primary";
    expect(textOf("logged")).toBe(`-p user.err -t platform-health -- ${problem}\n`);
    expect(textOf("sent")).toMatch(
      /^From: cloud@example.org\nTo: admin@example.org\nSubject: \[framaspace\] 1 alarms\nDate: .* \+0000\n\nNew:\nbackups missing: /,
    );
    expect(textOf("login")).toBe('user = "us\\"er:pass"\n');
    expect(textOf("curled")).not.toContain("pass");
    rmSync(join(root, "sent"));
    await look("--report");
    expect(textOf("sent")).toBe("");
    expect(textOf("logged").split("\n")).toHaveLength(2);
    command("postgres-backups", "date +%s");
    command("curl", "echo 'no route' >&2; exit 7");
    await look("--report");
    expect(textOf("logged")).toContain("-p user.notice -t platform-health -- over: backups missing\n");
    expect(textOf("logged")).toContain(
      "-p user.err -t platform-health -- the mail to the administrators could not be sent: no route\n",
    );
    expect(textOf("var/lib/framaspace/health/problems")).toBe("");
  });
});

describe("the key of ops-1", () => {
  const environment = exampleEnvironment("prod");
  const secrets = new Secrets("master", "prod", {});

  test("opens machine-health, from ops-1, and nothing else", () => {
    const allowed = healthCommand(environment, secrets).find(({ path }) => path.endsWith("root-health"));
    expect(allowed?.content).toMatch(
      /^from="10\.0\.1\.1",restrict,command="\/usr\/local\/sbin\/machine-health" ssh-ed25519 \S+\n$/,
    );
  });

  test("is accepted by every machine", async () => {
    const graph = await prodPlatform();
    for (const { name } of allMachines(environment))
      expect(commandOf(graph, `${name}-base`).script, name).toContain("authorized_keys/root-health");
  });

  test("is used for every machine except those of a site that is declared unreachable", () => {
    const settings = (one: typeof environment) =>
      healthWatch(one, secrets, new Access(secrets)).find(({ path }) => path.endsWith("/settings"))?.content;
    expect(settings(environment)).toContain("storage-b1");
    const { storage } = environment;
    if (!storage?.sites.replica) throw new Error("prod has a replica site");
    const sites = { ...storage.sites, replica: { ...storage.sites.replica, declaredUnreachable: "flooded" } };
    const without = settings({ ...environment, storage: { ...storage, sites } });
    expect(without).toContain("storage-a1");
    expect(without).not.toContain("storage-b1");
  });
});
