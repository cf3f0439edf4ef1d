// A space goes back to a moment. The restore is killed, all other programs meet the unfinished restore, and their
// advice repairs it. The storage is real, because old versions of files are what could be lost.
import { setTimeout as sleep } from "node:timers/promises";
import { ExecaError } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, sharedLab as lab, storageWords } from "../support/suite-lab.ts";
import { type } from "../support/runbook.ts";

const ID = "tulipe";
const FILES = 60;
const hasStorage = storageWords().length > 0;
const on = lab.on.bind(lab);
const inside = lab.inside.bind(lab);
const settings = async () =>
  JSON.parse(await on("ops-1", `cat /srv/spaces/${ID}/config/space.json`)) as Record<string, string>;

/** Writes an object with that text under each key. */
const put = (from: number, to: number, text: string) =>
  on(
    "ops-1",
    `rm -rf /root/put; mkdir /root/put; for n in $(seq ${from} ${to}); do echo "${text} $n" >/root/put/urn:oid:$n; done; mc cp --quiet --recursive /root/put/ serving/space-${ID}/ >/dev/null`,
  );
const sql = (text: string) => inside(ID, `sql -c "${text}"`);
/** Key and version of everything that the bucket has or had. */
const versions = async () =>
  (
    await on(
      "ops-1",
      `mc ls --json --recursive --versions serving/space-${ID} | jq -r 'select(.isDeleteMarker | not) | "\\(.key) \\(.versionId)"' | sort`,
    )
  ).split("\n");
const contents = () =>
  on(
    "ops-1",
    `for key in $(mc ls --json --recursive serving/space-${ID} | jq -r .key | grep urn:oid: | sort -V); do echo "$key $(mc cat serving/space-${ID}/$key)"; done`,
  );
const state = async () => ({
  rows: await sql("SELECT count(*), max(n) FROM things"),
  files: await contents(),
});

/** The output of a command that must fail. */
async function refusal(command: string): Promise<string> {
  const said = await on("ops-1", command).then(
    (text) => ({ text }),
    (error: unknown) => (error instanceof ExecaError ? `${error.stdout}\n${error.stderr}` : String(error)),
  );
  if (typeof said !== "string") throw new Error(`${command} did not fail, and printed: ${said.text}`);
  return said;
}

describe.skipIf(!hasStorage)("a restore to a moment (with MinIO: FRAMASPACE_MINIO, FRAMASPACE_MC)", () => {
  let moment: string;
  let then: { rows: string; files: string };
  let before: string[];
  let release: string;

  beforeAll(async () => {
    await lab.prepare();
    await lab.space("add", "--id", ID, "--name", ID);
    await lab.up();
    await type(lab, "backups", "Make one now", { machine: await lab.primary() });
    // Removes what an earlier run left, if the lab belongs to a person.
    await on("ops-1", `rm -f /var/lib/framaspace/{restoring,restoring-at}/${ID}`);
    release = (await settings()).release ?? "";
    await sql(
      "CREATE TABLE IF NOT EXISTS things (n int); TRUNCATE things; INSERT INTO things SELECT generate_series(1, 1000)",
    );
    await put(1, FILES, "old");
    // Wrong advice would replace everything with this export.
    await on("ops-1", `export-space ${ID}`);
    await put(1, FILES, "first");
    await sleep(2000);
    moment = await on("ops-1", "date -u '+%F %T'");
    then = await state();
    await sleep(2000);
    await sql("DELETE FROM things WHERE n > 10");
    await put(1, 40, "second");
    await put(100, 110, "later");
    await on(
      "ops-1",
      `for n in $(seq 41 50); do mc rm --quiet serving/space-${ID}/urn:oid:$n >/dev/null; done`,
    );
    const next = await on(
      "ops-1",
      `cut -d' ' -f1 /etc/framaspace/releases | sort -V | grep -A 1 -x '${release.replaceAll(".", "[.]")}' | tail -n 1`,
    );
    if (next !== release)
      await on(
        "ops-1",
        `jq -c 'del(.version) | .release = "${next}"' /srv/spaces/${ID}/config/space.json | converge-space`,
      );
    console.log(`on ${release} at the moment, on ${next} since`);
    before = await versions();
  });
  afterAll(() => lab.remove());

  test("that is killed is finished by the advice of every other program, and no version of a file is lost", async () => {
    const words = `${ID} '${moment}'`;
    await on(
      "ops-1",
      `: >/root/said; setsid restore-space-at ${words} </dev/null >/root/said 2>&1 & pid=$!
       for i in $(seq 3000); do ! grep -q 'its files' /root/said || break; sleep 0.1; done
       sleep 1.5; kill -9 -- -$pid; grep -q 'its files' /root/said`,
    );
    const wanted = `jq -c . /srv/spaces/${ID}/config/space.json`;
    const advice = `Finish it on ops-1: restore-space-at ${words}; then run this again`;
    for (const program of [
      `${wanted} | jq -c '.state = "archived" | .archive.graceDays = 0' | converge-space`,
      `${wanted} | jq -c '.state = "suspended"' | converge-space`,
      // The last one: finish-spaces carries out what was wanted last, as soon as the restore has ended.
      `${wanted} | converge-space`,
      `export-space ${ID}`,
      `restore-space ${ID}`,
    ])
      expect(await refusal(program), program).toContain(advice);
    const other = await refusal(`restore-space-at ${ID} '2026-11-01 14:00'`);
    expect(other).toContain(`restore-space-at ${words}; then run this again`);
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(503);

    const [, command = ""] =
      /on ops-1: (.*); then run this again/.exec(await refusal(`export-space ${ID}`)) ?? [];
    const said = await on("ops-1", `${command} 2>&1`);
    expect(said).toContain(`is as ${ID} was at ${moment}`);
    expect(await state()).toEqual(then);
    const after = new Set(await versions());
    expect(before.filter((version) => !after.has(version))).toEqual([]);
    const kept = await on(
      "ops-1",
      `psql "service=framaspace dbname=${ID}_before_restore" -XAtqc 'SELECT count(*) FROM things'`,
    );
    expect(kept).toBe("10");
  });

  test("serves on its earlier release, with a fingerprint that converging keeps", async () => {
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(200);
    expect((await settings()).release).toBe(release);
    expect(await on("ops-1", `basename $(readlink /srv/spaces/${ID}/release)`)).toBe(release);
    const first = (await settings()).dataFingerprint;
    expect(first).toMatch(/^[0-9a-f]{32}$/);
    await on("ops-1", `jq -c 'del(.dataFingerprint)' /srv/spaces/${ID}/config/space.json | converge-space`);
    for (const machine of ["ops-1", "web-1", "web-2"])
      expect(await on(machine, `cat /srv/spaces/${ID}/config/space.json`)).toContain(
        `"dataFingerprint":"${first}"`,
      );
    await sql("INSERT INTO things VALUES (1001)");
    await on("ops-1", `restore-space-at ${ID} '${moment}'`);
    expect(await state()).toEqual(then);
    expect((await settings()).dataFingerprint).not.toBe(first);
  });

  test("left by an earlier version of the program is not taken for an export", async () => {
    await on("ops-1", `mkdir -p /var/lib/framaspace/restoring; : >/var/lib/framaspace/restoring/${ID}`);
    const before = await versions();
    for (const program of [`restore-space ${ID}`, `export-space ${ID}`, `restore-space ${ID} ${ID}`])
      expect(await refusal(program), program).toContain("by the same restore-space-at as then");
    expect(
      await on("ops-1", "grep -h -e --target= /var/log/pgbackrest/main-restore.log | tail -n 1"),
    ).toContain(`--target="${moment}+00"`);
    await on("ops-1", `restore-space-at ${ID} '${moment}'`);
    expect(
      await on("ops-1", `ls /var/lib/framaspace/restoring /var/lib/framaspace/restoring-at`),
    ).not.toContain(ID);
    expect(await state()).toEqual(then);
    expect(new Set(await versions())).toEqual(new Set(before));
  });
});
