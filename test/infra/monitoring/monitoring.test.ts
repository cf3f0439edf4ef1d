// What ops-1 learns about every machine. The programs run here with fakes for df, systemctl and ssh.
import { execa } from "execa";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { allMachines } from "../../../infra/inventory/addresses.ts";
import { healthCommand, healthWatch } from "../../../infra/monitoring/monitoring.ts";
import { Access } from "../../../infra/machine/remote.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";
import { sourceOf, fake } from "../../support/fakes.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { commandOf, prodPlatform } from "../../support/platform-graph.ts";

const bin = mkdtempSync(join(tmpdir(), "framaspace-health-"));
afterAll(() => rmSync(bin, { recursive: true }));

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
  const program = sourceOf("platform-health");
  const functions = [/^CLOCK_SECONDS=.*$/m, /^machines\(\) \{.*?^\}$/ms, /^machine\(\) \{.*?^\}$/ms]
    .map((one) => one.exec(program)?.[0] ?? "")
    .join("\n")
    // Shorter, so that an answer that comes later takes less time.
    .replace(/^CLOCK_SECONDS=5$/m, "CLOCK_SECONDS=1");
  const ask = async (...names: string[]) =>
    (await run(["-euo", "pipefail", "-c", `${functions}\nMACHINES=(${names.join(" ")}); machines`])).sort();
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
    expect(functions).toContain("CLOCK_SECONDS=1");
    say("date +%s.%N; sleep 2");
    expect(await ask("web-1")).toEqual([]);
  });

  test("an unreachable machine, and still the others", async () => {
    say('[ "$name" = web-2 ] || exit 255; date +%s.%N');
    expect(await ask("web-1", "web-2")).toEqual(["web-1 unreachable: ops-1 does not reach it"]);
  });
});

describe("platform-health reports of spaces", () => {
  const program = sourceOf("platform-health");
  const folder = mkdtempSync(join(tmpdir(), "framaspace-unfinished-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const told = () =>
    run([
      "-euo",
      "pipefail",
      "-c",
      `${(/^spaces\(\) \{.*?^\}$/ms.exec(program)?.[0] ?? "").replaceAll("/var/lib/framaspace", folder)}\nspaces`,
    ]);
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
  const program = sourceOf("platform-health");
  const machine = mkdtempSync(join(tmpdir(), "framaspace-jobs-"));
  afterAll(() => rmSync(machine, { recursive: true }));
  const functions = [/^LAG_MINUTES=.*$/m, /^background_jobs\(\) \{.*?^\}$/ms]
    .map((one) => one.exec(program)?.[0] ?? "")
    .join("\n")
    .replaceAll(/(?<=[ =])\/(?=(?:etc|srv|var)\/)/g, `${machine}/`);
  const told = () => run(["-euo", "pipefail", "-c", `${functions}\nbackground_jobs`]);
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
      "background jobs: 2 spaces wait for theirs for more than 30 minutes, lotus for 122; systemctl status run-cron; if it works, raise cron.workers in spaces/catalog.yaml",
    ]);
    space("rose", {});
    expect((await told())[0]).toMatch(/^background jobs: 3 spaces .*, rose for 10020;/);
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
