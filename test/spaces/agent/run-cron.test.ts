// run-cron: what it does for one space, besides Nextcloud's own background job.
import { execa, execaSync } from "execa";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { USED_STORAGE } from "../../../spaces/agent/programs/storage-queries.ts";
import { fakeCommands, onPath, programIn } from "../../support/fakes.ts";

const tools = onPath("jq", "flock");

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
  const space = { id: "lotus", state: "active", release: "34.0.4", limits: { storageBytes: 100 } };
  writeFileSync(at("srv/spaces/lotus/config/space.json"), JSON.stringify(space));
  writeFileSync(
    at("etc/framaspace/catalog.json"),
    '{"apps":[],"appsOptional":[],"appsOff":[],"appsRefused":[],"officeApps":{},"upgrade":{"stopAtFailedPercent":10},"cron":{"workers":1,"activeMinutes":5,"idleMinutes":60}}',
  );
  writeFileSync(
    at("etc/framaspace/platform.json"),
    '{"database":{"hosts":"postgres-1"},"mail":{"host":"relay","port":25}}',
  );
  fakeCommands(root, {
    // The job. It ends with what the test wrote.
    timeout: `id=$(sed -E 's/.*syslog.ident=([a-z]+).*/\\1/' <<<"$*")
      echo "cron.php of $id" >>$ROOT/asked; sleep "$(cat $ROOT/seconds-$id 2>/dev/null || echo 0)"
      exit "$(cat $ROOT/status 2>/dev/null || echo 0)"`,
    psql: 'printf "%s\\n" "$@" >>$ROOT/asked; case "$*" in *oc_authtoken*) echo 1 ;; *oc_filecache*) echo 0 ;; esac',
  });
  writeFileSync(at("space-lib.sh"), programIn(root, "space-lib.sh"));
  writeFileSync(at("used-storage.sql"), USED_STORAGE);
  const program = programIn(root, "run-cron").replace(/^LONG_SECONDS=.*$/m, "LONG_SECONDS=1");
  writeFileSync(at("run-cron-for-ever"), program);
  // One space's job, without the endless loop around it.
  writeFileSync(at("run-cron"), program.replace(/^while :; do[^]*$/m, "settings\njob lotus\n"));
});
afterEach(() => rmSync(root, { recursive: true }));

function job() {
  const { stderr, exitCode } = execaSync("bash", [at("run-cron")], {
    reject: false,
    env: { PATH: `${at("bin")}:${process.env.PATH}` },
  });
  return { stderr, exitCode };
}

describe.skipIf(!tools)("run-cron (jq and flock on PATH)", () => {
  it("takes back the settings with which an administrator would stop the space", () => {
    expect(job()).toEqual({ exitCode: 0, stderr: "" });
    expect(asked()).toMatch(/DELETE FROM oc_appconfig WHERE .*configkey = 'encryption_enabled'/);
    expect(asked()).toMatch(/UPDATE oc_appconfig SET configvalue = 'cron' .*'backgroundjobs_mode'/);
  });

  it("even if the job failed: without a mode, Nextcloud runs none", () => {
    writeFileSync(at("status"), "255");
    const { exitCode, stderr } = job();
    expect(exitCode).toBe(0);
    expect(stderr).toContain("space lotus: its background job ended with status 255");
    expect(asked()).toMatch(/UPDATE oc_appconfig SET configvalue = 'cron'/);
  });

  it("has a space rest after a long job, so that it has its share of a worker and no more", () => {
    writeFileSync(at("seconds-lotus"), "2");
    const begun = Math.floor(Date.now() / 1000);
    expect(job().exitCode).toBe(0);
    const rested = statSync(at("var/lib/framaspace/cron/lotus")).mtimeMs / 1000;
    expect(rested - begun).toBeGreaterThanOrEqual(10);
    expect(rested - begun).toBeLessThan(30);
  });

  it("runs the others' jobs beside those that take long", async () => {
    writeFileSync(at("seconds-lotus"), "60");
    for (const id of ["rose", "viola"]) {
      mkdirSync(at("srv/spaces", id, "config"), { recursive: true });
      const space = { id, state: "active", release: "34.0.4", limits: { storageBytes: 100 } };
      writeFileSync(at("srv/spaces", id, "config/space.json"), JSON.stringify(space));
    }
    writeFileSync(at("seconds-viola"), "60");
    const ran = () => asked().match(/^cron\.php of .*$/gm);
    const command = `echo $$ >${at("group")}; . ${at("run-cron-for-ever")}`;
    const program = execa("setsid", ["-w", "bash", "-c", command], {
      reject: false,
      env: { PATH: `${at("bin")}:${process.env.PATH}` },
    });
    try {
      await expect
        .poll(ran, { timeout: 15_000 })
        .toEqual(["cron.php of lotus", "cron.php of rose", "cron.php of viola"]);
    } finally {
      execaSync("bash", ["-c", `kill -KILL -- -$(cat ${at("group")})`]);
      await program;
    }
  });
});
