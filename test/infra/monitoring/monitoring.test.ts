// What ops-1 hears of every machine: the programs run here with fakes for df, systemctl and ssh.
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

  test("tells its clock, full disks but for MinIO's drives, and what failed", async () => {
    const before = Date.now() / 1000;
    const [time, ...problems] = await look();
    expect(Number(time)).toBeGreaterThanOrEqual(before - 0.01);
    expect(Number(time)).toBeLessThanOrEqual(Date.now() / 1000);
    expect(problems).toEqual([
      "disk /var: 80% full",
      "unit nginx.service: failed; systemctl status nginx.service",
    ]);
  });

  test("says so where disks cannot be looked at, and tells the rest", async () => {
    fake(`${bin}/df`, "exit 1");
    expect((await look()).slice(1)).toEqual([
      "disks: df cannot say how full they are",
      "unit nginx.service: failed; systemctl status nginx.service",
    ]);
  });
});

describe("what platform-health makes of a machine's word", () => {
  const program = sourceOf("platform-health");
  const functions = [/^CLOCK_SECONDS=.*$/m, /^machines\(\) \{.*?^\}$/ms, /^machine\(\) \{.*?^\}$/ms]
    .map((one) => one.exec(program)?.[0] ?? "")
    .join("\n");
  const ask = async (...names: string[]) =>
    (await run(["-euo", "pipefail", "-c", `${functions}\nMACHINES=(${names.join(" ")}); machines`])).sort();
  /** Every machine says the same, its name aside. */
  const say = (script: string) => fake(`${bin}/ssh`, `name=\${!#}\n${script}`);

  test("nothing, where all is well", async () => {
    say("date +%s.%N");
    expect(await ask("web-1", "web-2")).toEqual([]);
  });

  test("the problems of each with its name before them", async () => {
    say('date +%s.%N; [ "$name" = web-1 ] || echo "disk /var: 80% full"');
    expect(await ask("web-1", "web-2")).toEqual(["web-2 disk /var: 80% full"]);
  });

  test.each([
    ["3600", "3600 seconds ahead of that of ops-1"],
    ["-3600", "3600 seconds behind that of ops-1"],
  ])("a clock that is off by %s seconds", async (offset, text) => {
    say(`date -d "${offset} seconds" +%s.%N`);
    const [line, ...more] = await ask("web-1");
    expect(more).toEqual([]);
    // A second may pass between the two clocks.
    expect(line?.replace("3599", "3600")).toBe(`web-1 clock: ${text}; timedatectl timesync-status on both`);
  });

  test("no clock that only seems off, because the answer took its time", async () => {
    say("date +%s.%N; sleep 6");
    expect(await ask("web-1")).toEqual([]);
  }, 20_000);

  test("one that is not reached, and the others all the same", async () => {
    say('[ "$name" = web-2 ] || exit 255; date +%s.%N');
    expect(await ask("web-1", "web-2")).toEqual(["web-1 unreachable: ops-1 does not reach it"]);
  });
});

describe("what of spaces is not done yet", () => {
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

  test("nothing before there is any space, nor while it is being made", async () => {
    expect(await told()).toEqual([]);
    mkdirSync(join(folder, "unfinished"));
    left("lotus", "begun, and cut off", 2);
    expect(await told()).toEqual([]);
  });

  test("each with its reason, as soon as there is one, and what was begun long ago", async () => {
    left("iris", "the invitation to a@iris.example could not be sent (relay: mail:25)");
    left("lotus", "begun, and cut off", 20);
    expect(await told()).toEqual([
      "space iris: the invitation to a@iris.example could not be sent (relay: mail:25)",
      "space lotus: begun, and cut off",
    ]);
  });

  test("one line for many, and that nothing can be kept", async () => {
    for (let number = 10; number < 35; number++) left(`group-${number}`, "database: …");
    writeFileSync(join(folder, "wanted-problems"), "spaces kept: what is wanted of them cannot be kept\n");
    expect(await told()).toEqual([
      "spaces kept: what is wanted of them cannot be kept",
      "spaces unfinished: 27 of them, such as group-10 group-11 group-12 group-13 group-14; npm run space -- list says why",
    ]);
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

  test("is let in by every machine", async () => {
    const graph = await prodPlatform();
    for (const { name } of allMachines(environment))
      expect(commandOf(graph, `${name}-base`).script, name).toContain("authorized_keys/root-health");
  });

  test("is used for every machine, but those of a site that is declared unreachable", () => {
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
