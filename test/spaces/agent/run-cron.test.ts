// run-cron: what it does for one space, besides Nextcloud's own background job.
import { execa, execaSync } from "execa";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import { placesIn } from "../../../spaces/agent/programs/places.ts";
import { dueSpaces, runJob, settingsOf } from "../../../spaces/agent/programs/run-cron.ts";
import { fakeWorker } from "../../support/fake-worker.ts";
import { fakeCommands, onPath, startOf } from "../../support/fakes.ts";
import { runHere } from "../../support/run-here.ts";

let root: string;
const at = (...path: string[]) => join(root, ...path);
const asked = () => readFileSync(at("asked"), "utf8");

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "run-cron-"));
  for (const folder of [
    "bin",
    "etc/framaspace",
    "run/framaspace",
    "srv/spaces/lotus/config",
    "srv/releases/34.0.4",
  ])
    mkdirSync(at(folder), { recursive: true });
  mkdirSync(at("var/lib/framaspace/cron"), { recursive: true });
  mkdirSync(at("var/lib/framaspace/undistributed"), { recursive: true });
  const space = {
    id: "lotus",
    state: "active",
    release: "34.0.4",
    limits: { storageBytes: 100 },
    redis: { database: 1 },
  };
  writeFileSync(at("srv/spaces/lotus/config/space.json"), JSON.stringify(space));
  writeFileSync(at("srv/spaces/lotus/own-user"), "");
  writeFileSync(
    at("etc/framaspace/catalog.json"),
    '{"apps":[],"appsOptional":[],"appsOff":[],"appsRefused":[],"officeApps":{},"upgrade":{"stopAtFailedPercent":10},"cron":{"jobsPerWorker":1,"activeMinutes":5,"idleMinutes":60}}',
  );
  writeFileSync(
    at("etc/framaspace/platform.json"),
    '{"database":{"hosts":"postgres-1"},"mail":{"host":"relay","port":25}}',
  );
  fakeWorker(root);
  fakeCommands(root, {
    // The job. It ends with what the test wrote.
    php: `id=$(sed -E 's/.*syslog.ident=([a-z]+).*/\\1/' <<<"$*")
      echo "cron.php of $id" >>$ROOT/asked; sleep "$(cat $ROOT/seconds-$id 2>/dev/null || echo 0)"; : >$ROOT/ended-$id
      exit "$(cat $ROOT/status 2>/dev/null || echo 0)"`,
    psql: 'printf "%s\\n" "$@" >>$ROOT/asked; case "$*" in *oc_authtoken*) echo 1 ;; *oc_filecache*) cat "$ROOT/used" 2>/dev/null || echo 0 ;; esac',
    chown: ":",
    rsync: ":",
  });
  writeFileSync(at("etc/framaspace/web-servers"), "web-1\n");
  writeFileSync(at("run-cron"), startOf(root, "run-cron"));
});
afterEach(() => rmSync(root, { recursive: true }));

async function job() {
  const places = placesIn(root, "", at("bin"));
  const { stderr } = await runHere(root, async () => {
    await runJob(places, "lotus", settingsOf(places, 1));
    return { output: "", status: 0 };
  });
  return stderr;
}

describe.skipIf(!onPath("flock"))("run-cron (flock on PATH)", () => {
  it("takes back the settings with which an administrator would stop the space", async () => {
    expect(await job()).toBe("");
    expect(asked()).toMatch(/DELETE FROM oc_appconfig WHERE .*configkey = 'encryption_enabled'/);
    expect(asked()).toMatch(/UPDATE oc_appconfig SET configvalue = 'cron' .*'backgroundjobs_mode'/);
  });

  it("even if the job failed: without a mode, Nextcloud runs none", async () => {
    writeFileSync(at("status"), "255");
    expect(await job()).toBe("space lotus: its background job ended with status 254; see its log on logs-1");
    expect(asked()).toMatch(/UPDATE oc_appconfig SET configvalue = 'cron'/);
  });

  it("has a space rest after a long job, so that it has its share of a worker and no more", async () => {
    writeFileSync(at("seconds-lotus"), "2");
    const begun = Math.floor(Date.now() / 1000);
    expect(await job()).toBe("");
    const rested = statSync(at("var/lib/framaspace/cron/lotus")).mtimeMs / 1000;
    expect(rested - begun).toBeGreaterThanOrEqual(10);
    expect(rested - begun).toBeLessThan(30);
  });

  it("closes a space that has become full to uploads, and opens it again", async () => {
    const full = at("srv/spaces/lotus/full");
    writeFileSync(at("used"), "100");
    expect(await job()).toBe("");
    expect(existsSync(full)).toBe(true);
    expect(existsSync(at("var/lib/framaspace/undistributed/lotus"))).toBe(false);
    writeFileSync(at("used"), "99");
    expect(await job()).toBe("");
    expect(existsSync(full)).toBe(false);
    // A program that works on the space does this itself.
    writeFileSync(at("used"), "100");
    const held = await lock(at("run/framaspace/space-lotus.lock"), 0);
    expect(await job()).toBe("");
    expect(existsSync(full)).toBe(false);
    if (held !== undefined) closeSync(held);
  });

  it("runs no job of a space that is closed, half restored, or has one already", async () => {
    for (const flag of [
      "srv/spaces/lotus/maintenance",
      "srv/spaces/lotus/suspended",
      "srv/spaces/lotus/archived",
      "var/lib/framaspace/restoring/lotus",
      "var/lib/framaspace/restoring-at/lotus",
    ]) {
      mkdirSync(dirname(at(flag)), { recursive: true });
      writeFileSync(at(flag), "");
      expect(await job()).toBe("");
      rmSync(at(flag));
    }
    const held = await lock(at("run/framaspace/cron-lotus.lock"), 0);
    expect(await job()).toBe("");
    if (held !== undefined) closeSync(held);
    expect(existsSync(at("asked"))).toBe(false);
    expect(await job()).toBe("");
    expect(asked()).toContain("cron.php of lotus");
  });

  it("says which space cannot be read, and goes on", async () => {
    rmSync(at("srv/spaces/lotus/config/space.json"));
    expect(await job()).toContain("space lotus, cron: ENOENT");
  });

  it("is due once in an interval, which is long while the space is not in use; the longest waiting first", () => {
    const places = placesIn(root);
    const settings = settingsOf(places);
    // The hash of lotus is 161978: second 278 of each 5 minutes, second 3578 of each hour.
    const slot = 1_800_000_000 + 3578;
    const seen = (id: string, content: string, moment: number) => {
      writeFileSync(at("var/lib/framaspace/cron", id), content);
      utimesSync(at("var/lib/framaspace/cron", id), moment, moment);
    };
    const due = (moment: number) => dueSpaces(places, settings, moment).map(({ id }) => id);
    const lag = (moment: number) => dueSpaces(places, settings, moment)[0]?.lag;
    expect(due(slot)).toEqual(["lotus"]);
    expect(lag(slot + 7)).toBe(7);
    for (const [content, interval] of [
      ["x\n", 300],
      ["", 3600],
    ] as const) {
      seen("lotus", content, slot);
      expect(due(slot + interval - 1)).toEqual([]);
      expect(due(slot + interval)).toEqual(["lotus"]);
      expect(lag(slot + interval + 12)).toBe(12);
      // One that missed slots waits since the first of them.
      expect(lag(slot + 4 * interval + 12)).toBe(3 * interval + 12);
    }
    for (const id of ["rose", "iris", "viola"]) mkdirSync(at("srv/spaces", id));
    seen("rose", "", slot - 90_000);
    seen("viola", "", slot - 80_000);
    writeFileSync(at("srv/spaces/viola/suspended"), "");
    expect(due(slot + 3600)).toEqual(["iris", "rose", "lotus"]);
  });

  it("leaves a job that runs when it is killed, and the job keeps its lock", async () => {
    writeFileSync(at("seconds-lotus"), "4");
    const env = { PATH: `${at("bin")}:${process.env.PATH}` };
    // bash replaces itself by the program.
    const program = execa("bash", [at("run-cron")], { reject: false, stdio: "ignore", env });
    await expect.poll(() => existsSync(at("asked")), { timeout: 15_000 }).toBe(true);
    program.kill("SIGKILL");
    await program;
    const cron = at("run/framaspace/cron-lotus.lock");
    const isLocked = () => execaSync("flock", ["--nonblock", cron, "true"], { reject: false }).exitCode === 1;
    expect([isLocked(), existsSync(at("ended-lotus"))]).toEqual([true, false]);
    await expect.poll(isLocked, { timeout: 15_000 }).toBe(false);
    expect(existsSync(at("ended-lotus"))).toBe(true);
  });

  it("runs the others' jobs beside those that take long", async () => {
    writeFileSync(at("seconds-lotus"), "60");
    for (const id of ["rose", "viola"]) {
      mkdirSync(at("srv/spaces", id, "config"), { recursive: true });
      const space = {
        id,
        state: "active",
        release: "34.0.4",
        limits: { storageBytes: 100 },
        redis: { database: 2 },
      };
      writeFileSync(at("srv/spaces", id, "config/space.json"), JSON.stringify(space));
      writeFileSync(at("srv/spaces", id, "own-user"), "");
    }
    writeFileSync(at("seconds-viola"), "60");
    const ran = () => asked().match(/^cron\.php of .*$/gm);
    const command = `echo $$ >${at("group")}; . ${at("run-cron")}`;
    const program = execa("setsid", ["-w", "bash", "-c", command], {
      reject: false,
      env: { PATH: `${at("bin")}:${process.env.PATH}` },
    });
    try {
      await expect
        .poll(ran, { timeout: 15_000 })
        .toEqual(["cron.php of lotus", "cron.php of rose", "cron.php of viola"]);
      expect(readFileSync(at("run/framaspace/figures/background-jobs.prom"), "utf8")).toMatch(
        /^framaspace_background_jobs_lag_seconds \d+$.*^framaspace_background_jobs_due 3$.*^framaspace_background_jobs_running 0$/ms,
      );
    } finally {
      execaSync("bash", ["-c", `kill -KILL -- -$(cat ${at("group")})`]);
      await program;
    }
  });
});
