// Machines that are lost for good, as docs/runbooks/rebuild-a-machine.md and full-rebuild.md say: deleted at the cloud,
// made again by `up`, and in service afterwards, with the data of the spaces. With MinIO, the lab has two sites.
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, storageWords, TENANTS, TestLab } from "../support/suite-lab.ts";
import { sqlOf } from "../support/database-ledger.ts";
import { type } from "../support/runbook.ts";
import { equal, exchange } from "../support/storage-sites.ts";

const SPACES = ["iris", "lotus"];
/** Numbers of rows in the database and of files in the bucket, for each space. */
const ROWS = 500;
const FILES = 40;
const hasStorage = storageWords().length > 0;
const lab = new TestLab("rebuild", 18448, [
  ...storageWords(),
  ...(hasStorage ? ["--storage-sites", "2"] : []),
]);
const CLOUD = [
  "gateway-1",
  "gateway-2",
  "logs-1",
  "ops-1",
  "postgres-1",
  "postgres-2",
  "redis-1",
  "web-1",
  "web-2",
];

/** The files of each space in its bucket: a checksum for each. */
const checksums = (space: string) =>
  lab.on("ops-1", `for n in $(seq ${FILES}); do mc cat serving/space-${space}/kept-$n | sha256sum; done`);
const sums: Record<string, string | false> = {};

beforeAll(async () => {
  await lab.prepare();
  await lab.up();
  for (const space of SPACES) {
    await sqlOf(lab, space, `CREATE TABLE kept AS SELECT generate_series(1, ${ROWS}) AS n`);
    if (hasStorage)
      await lab.on(
        "ops-1",
        `for n in $(seq ${FILES}); do head -c $((n * 3000)) /dev/urandom | mc --quiet pipe serving/space-${space}/kept-$n >/dev/null; done`,
      );
    sums[space] = await checksums(space);
  }
});
afterAll(() => lab.remove());

/** Does what `hcloud server delete` does. */
async function destroy(machine: string): Promise<void> {
  const servers = async () =>
    ((await lab.cloud("GET", `servers?name=${machine}`)) as { servers: { id: number }[] }).servers;
  const [found] = await servers();
  if (!found) throw new Error(`the lab has no ${machine}`);
  await lab.cloud("DELETE", `servers/${found.id}`);
  await expect.poll(async () => (await servers()).length, { timeout: 60_000 }).toBe(0);
}

/** Runs `up` without spaces. The Pulumi CLI finds nothing to do for spaces, but the applier would converge them all. */
async function upOfPlatform(): Promise<void> {
  const [file, aside] = [join(lab.tree, TENANTS), join(lab.tree, "aside.yaml")];
  await rename(file, aside);
  try {
    await lab.up();
  } finally {
    await rename(aside, file);
  }
}

/**
 * Checks that spaces answer through the load balancer with their data, and that there are no alarms but those of a new
 * platform whose backups are unchecked.
 */
async function inService(): Promise<void> {
  for (const space of SPACES) {
    // finish-spaces looks once a minute, and tries a space a minute after it was marked as unfinished.
    await expect
      .poll(async () => (await lab.probe(`${space}.${DOMAIN}`)).status, { timeout: 240_000, interval: 2000 })
      .toBe(200);
    for (const web of ["web-1", "web-2"])
      await expect.poll(() => lab.statusFrom(web, space), { timeout: 90_000, interval: 2000 }).toBe("200");
    expect(await sqlOf(lab, space, "SELECT count(*), max(n) FROM kept")).toBe(`${ROWS}|${ROWS}`);
    expect(await checksums(space)).toBe(sums[space]);
  }
  await expect
    .poll(() => lab.on("ops-1", "platform-health | grep -v ^backups || true"), {
      timeout: 120_000,
      interval: 3000,
    })
    .toBe("");
}

test.each(["web-1", "gateway-1", "redis-1"])("%s is made again", async (machine) => {
  const before = await lab.on(machine, "cat /etc/machine-id");
  await destroy(machine);
  await lab.up();
  expect(await lab.on(machine, "cat /etc/machine-id")).not.toBe(before);
  await inService();
});

test("ops-1 is made again, with the directories of spaces and the name of the PostgreSQL primary", async () => {
  const before = await lab.primary();
  const directories = await lab.on("web-1", "ls /srv/spaces");
  await destroy("ops-1");
  await lab.up();
  expect(await lab.primary()).toBe(before);
  expect(await lab.on("web-1", "ls /srv/spaces")).toBe(directories);
  expect(await lab.on("ops-1", "ls /srv/spaces")).toBe(directories);
  await inService();
});

test("ops-1 and all web servers are made again, and the spaces too, without an up of their stack", async () => {
  const directories = await lab.on("ops-1", "ls /srv/spaces");
  const before = await lab.on("ops-1", "sha256sum /srv/spaces/*/config/space.json");
  for (const machine of ["ops-1", "web-1", "web-2"]) await destroy(machine);
  await upOfPlatform();
  expect(await lab.on("ops-1", "ls /srv/spaces")).toBe(directories);
  await inService();
  expect(await lab.on("ops-1", "sha256sum /srv/spaces/*/config/space.json")).toBe(before);
});

test("the users of Redis are made again if ops-1 has no record of them", async () => {
  const records = await lab.on("ops-1", "ls /var/lib/framaspace/redis");
  await lab.on("ops-1", "rm -r /var/lib/framaspace/redis");
  await destroy("redis-1");
  await upOfPlatform();
  await inService();
  // The numbers may differ, because several spaces are made at once.
  expect(await lab.on("ops-1", "ls /var/lib/framaspace/redis")).toBe(records);
});

test("a PostgreSQL primary is made again as the standby of the other node, never as an empty primary", async () => {
  const gone = await lab.primary();
  await destroy(gone);
  await expect(lab.up()).rejects.toThrow(/holds no data any more/);
  await type(lab, "rebuild-a-machine", "A PostgreSQL node");
  await lab.up();
  expect(await lab.primary()).not.toBe(gone);
  expect(await lab.on(gone, "cd /; runuser -u postgres -- psql -Atc 'SELECT pg_is_in_recovery()'")).toBe("t");
  await inService();
});

describe.skipIf(!hasStorage)("with MinIO (FRAMASPACE_MINIO, FRAMASPACE_MC)", () => {
  test("everything is made again from the replica site, and then the primary site too", async () => {
    await lab.on(await lab.primary(), "postgres-node backup");
    // The last minute may be missing: wait until its segment is archived.
    await sqlOf(lab, SPACES[0] ?? "", "CREATE TABLE late AS SELECT 1 AS n");
    await lab.on(await lab.primary(), "postgres-node archive");
    await equal(lab);
    for (const machine of CLOUD) await destroy(machine);
    await exchange(lab, ["storage-a1"]);
    const lost = ["--storage-serving", "replica", "--storage-unreachable", "primary"];
    const began = Date.now();
    await expect(lab.up(...lost)).rejects.toThrow(/there are backups of this platform/);
    await type(lab, "full-rebuild", "3. Databases");
    await lab.up(...lost);
    console.log(`everything made again from the replica: ${((Date.now() - began) / 60_000).toFixed(1)} min`);
    // The serving site has no second copy now, which is an alarm.
    expect(
      await lab.on("ops-1", "reconcile-storage watch; cat /var/lib/framaspace/storage/problems"),
    ).toMatch(/^storage site: one is declared unreachable/m);
    expect(await sqlOf(lab, SPACES[0] ?? "", "SELECT n FROM late")).toBe("1");
    // A new site in place of the lost one is filled, and spaces go back to it.
    await lab.up("--storage-serving", "replica");
    await equal(lab);
    await lab.up();
    // The timer does the same, a quarter of an hour later.
    await lab.on("ops-1", "reconcile-storage watch");
    await inService();
    await type(lab, "backups", "Check one now");
    await type(lab, "full-rebuild", "How to know that it worked");
  }, 1_800_000);
});
