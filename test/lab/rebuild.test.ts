// Machines that are gone for good, as docs/runbooks/rebuild-a-machine.md and full-rebuild.md have it: deleted at the cloud,
// made again by `up`, in service afterwards, with what spaces had.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, sharedLab as lab, storageWords } from "./lab.ts";
import { sqlOf } from "./ledger.ts";
import { commandsOf } from "./runbook.ts";

const SPACE = "lotus";
const hasStorage = storageWords().length > 0;
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

beforeAll(async () => {
  await lab.prepare();
  await sqlOf(
    lab,
    SPACE,
    "CREATE TABLE IF NOT EXISTS kept (n int); TRUNCATE kept; INSERT INTO kept SELECT generate_series(1, 500)",
  );
  if (hasStorage) await lab.on("ops-1", `echo kept | mc --quiet pipe serving/space-${SPACE}/kept >/dev/null`);
});
afterAll(() => lab.remove());

/** As `hcloud server delete`. */
async function destroy(machine: string): Promise<void> {
  const servers = async () =>
    ((await lab.cloud("GET", `servers?name=${machine}`)) as { servers: { id: number }[] }).servers;
  const [found] = await servers();
  if (!found) throw new Error(`the lab has no ${machine}`);
  await lab.cloud("DELETE", `servers/${found.id}`);
  await expect.poll(async () => (await servers()).length, { timeout: 60_000 }).toBe(0);
}

const type = async (page: string, heading: string) => {
  for (const command of commandsOf(page, heading)) await lab.on("ops-1", `set -e\n${command}`);
};
const primary = () => lab.on("ops-1", "jq -r .primary /var/lib/framaspace/postgres.json");

/** Spaces answer through the load balancer, with what they had; no alarm but those of an unchecked, young platform. */
async function inService(): Promise<void> {
  await expect
    .poll(async () => (await lab.visit(`${SPACE}.${DOMAIN}`)).status, { timeout: 90_000, interval: 2000 })
    .toBe(200);
  for (const web of ["web-1", "web-2"])
    await expect.poll(() => lab.statusFrom(web, SPACE), { timeout: 90_000, interval: 2000 }).toBe("200");
  expect(await sqlOf(lab, SPACE, "SELECT count(*), max(n) FROM kept")).toBe("500|500");
  const file = hasStorage ? await lab.on("ops-1", `mc cat serving/space-${SPACE}/kept`) : "kept";
  expect(file).toBe("kept");
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

test("ops-1 is made again, with the spaces' directories and the knowledge of who is the primary", async () => {
  const before = await primary();
  const directories = await lab.on("web-1", "ls /srv/spaces");
  await destroy("ops-1");
  await lab.up();
  expect(await primary()).toBe(before);
  expect(await lab.on("web-1", "ls /srv/spaces")).toBe(directories);
  expect(await lab.on("ops-1", "ls /srv/spaces")).toBe(directories);
  await inService();
});

test("a PostgreSQL primary is made again as the other one's standby, never as an empty primary", async () => {
  const gone = await primary();
  await destroy(gone);
  await expect(lab.up()).rejects.toThrow(/holds no data any more/);
  await type("rebuild-a-machine", "A PostgreSQL node");
  await lab.up();
  expect(await primary()).not.toBe(gone);
  expect(await lab.on(gone, "cd /; runuser -u postgres -- psql -Atc 'SELECT pg_is_in_recovery()'")).toBe("t");
  await inService();
});

describe.skipIf(!hasStorage)("with MinIO (FRAMASPACE_MINIO, FRAMASPACE_MC)", () => {
  test("everything but the storage is made again from it", async () => {
    await lab.on(await primary(), "postgres-node backup");
    await sqlOf(lab, SPACE, "INSERT INTO kept VALUES (0)");
    // The last minute is what may be missing: wait for its segment.
    await lab.on(await primary(), "postgres-node archive");
    await sqlOf(lab, SPACE, "DELETE FROM kept WHERE n = 0");
    await lab.on(await primary(), "postgres-node archive");
    for (const machine of CLOUD) await destroy(machine);
    const began = Date.now();
    await expect(lab.up()).rejects.toThrow(/there are backups of this platform/);
    await type("full-rebuild", "3. Databases");
    await lab.up();
    console.log(`everything but the storage made again: ${((Date.now() - began) / 60_000).toFixed(1)} min`);
    await inService();
    await type("full-rebuild", "How to know that it worked").catch(() => {});
  }, 1_800_000);
});
