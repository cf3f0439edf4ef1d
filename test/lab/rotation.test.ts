// Rotates secrets as docs/runbooks/rotate-a-secret.md says, while visitors come. Afterwards the old secret opens
// nothing, and nobody waits longer than for a restart.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, storageWords, TestLab } from "../support/suite-lab.ts";
import { commandsOf } from "../support/runbook.ts";

const SPACE = "lotus";
const hasStorage = storageWords().length > 0;
/**
 * Seconds without an answer that a rotation may cost on the lab's machines, which are all on one. Each rotation prints
 * its own.
 */
const MOST = 10;

// A lab of its own: another suite would first go back to the first generation of all secrets, which nobody ever does.
const lab = new TestLab("rotation", 18449, storageWords());
let generations: Record<string, number> = {};
beforeAll(async () => {
  await lab.prepare();
  await lab.up();
});
afterAll(() => lab.remove());

/** The longest time, in seconds, in which a visitor got no answer. The page asks the space's database and Redis. */
async function longestWait(signal: AbortSignal): Promise<number> {
  let [served, longest] = [performance.now(), 0];
  while (!signal.aborted) {
    const status = await lab.probe(`${SPACE}.${DOMAIN}`).then(
      (page) => page.status,
      () => undefined,
    );
    const now = performance.now();
    longest = Math.max(longest, now - served);
    if (status === 200) served = now;
    await sleep(100);
  }
  return longest / 1000;
}

/**
 * Writes the generations to the configuration and runs `up`. Resolves to the longest time in which no visitor got an
 * answer.
 */
async function rotate(numbers: Record<string, number>): Promise<number> {
  generations = { ...generations, ...numbers };
  await lab.setGenerations(generations);
  const done = new AbortController();
  const longest = longestWait(done.signal);
  try {
    await lab.up();
    // Some more time, for the last changes.
    await sleep(2000);
  } finally {
    done.abort();
  }
  return longest;
}

interface Rotation {
  key: string;
  /** A command on ops-1 that prints the secret. The test keeps the output there. */
  keep: string;
  /** A command that uses the kept secret, and prints the answer of the service. */
  tryOld: string;
  says: RegExp;
}

const ofSpace = (path: string) => `jq -r '${path}' /srv/spaces/${SPACE}/config/space.json`;
/** mc asks for two lines, user and secret. */
const askStorage =
  'MC_CONFIG_DIR=$(mktemp -d) mc alias set old "$(jq -r .aliases.serving.url /root/.mc/config.json)" </run/old 2>&1 | cat';
const NO_KEY = /signature we calculated does not match|Access Key Id you provided does not exist/;

const ROTATIONS: Rotation[] = [
  {
    key: `${SPACE}/postgres`,
    keep: ofSpace(".database.password"),
    tryOld: `PGPASSWORD=$(</run/old) psql "service=framaspace user=${SPACE} dbname=${SPACE}" -c 'SELECT 1' 2>&1 | cat`,
    says: /password authentication failed/,
  },
  {
    key: `${SPACE}/redis`,
    keep: ofSpace(".redis.password"),
    tryOld: `REDISCLI_AUTH=$(</run/old) redis-cli -h redis-1 --no-auth-warning --user ${SPACE} PING 2>&1`,
    says: /WRONGPASS/,
  },
  {
    key: "postgres/superuser",
    keep: "cat /root/.pgpass",
    tryOld: "PGPASSFILE=/run/old psql service=framaspace -c 'SELECT 1' 2>&1 | cat",
    says: /password authentication failed/,
  },
  {
    key: "redis/admin",
    keep: "cat /etc/framaspace/redis/admin",
    tryOld: "REDISCLI_AUTH=$(</run/old) redis-cli -h redis-1 --no-auth-warning --user admin PING 2>&1",
    says: /WRONGPASS/,
  },
  ...(hasStorage
    ? [
        {
          key: `${SPACE}/s3`,
          keep: ofSpace(".s3.user, .s3.secret"),
          tryOld: askStorage,
          says: NO_KEY,
        },
        {
          key: "minio/root",
          keep: "jq -r '.aliases.serving | .accessKey, .secretKey' /root/.mc/config.json",
          tryOld: askStorage,
          says: NO_KEY,
        },
        {
          key: "backup/s3",
          keep: "awk '$1 == \"backup\" { print $1; print $2 }' /etc/framaspace/storage/users",
          tryOld: askStorage,
          says: NO_KEY,
        },
      ]
    : []),
];

async function expectWell(): Promise<void> {
  for (const command of commandsOf("rotate-a-secret", "How to know that it worked"))
    await expect
      .poll(
        () =>
          lab.on(
            "ops-1",
            command.replace(/^platform-health$/m, "platform-health | grep -v ^backups || true"),
          ),
        { timeout: 120_000, interval: 3000 },
      )
      .toBe("1");
  for (const web of ["web-1", "web-2"]) expect(await lab.statusFrom(web, SPACE)).toBe("200");
}

test.each(ROTATIONS)("$key", async ({ key, keep, tryOld, says }) => {
  await lab.on("ops-1", `umask 077; ${keep} >/run/old`);
  // Otherwise the refusal below would prove nothing.
  expect(await lab.on("ops-1", tryOld)).not.toMatch(says);
  const seconds = await rotate({ [key]: 2 });
  console.log(`${key}: ${seconds.toFixed(1)} s without an answer`);
  expect(await lab.on("ops-1", tryOld)).toMatch(says);
  expect(seconds).toBeLessThan(MOST);
  await expectWell();
});

test("secrets that only machines show each other", async () => {
  const certificate = () =>
    lab.on("web-1", "openssl x509 -in /etc/framaspace/tls/cert.pem -noout -pubkey | sha256sum");
  const before = await certificate();
  const seconds = await rotate({
    "web-1/tls": 2,
    "postgres/replication": 2,
    "ops/postgres": 2,
    "ops/distribute": 2,
    "ops/health": 2,
    "ops/worker": 2,
  });
  console.log(`web-1/tls, postgres/replication, all of ops: ${seconds.toFixed(1)} s`);
  expect(await certificate()).not.toBe(before);
  expect(seconds).toBeLessThan(MOST);
  // A standby that connects again shows the new password.
  await lab.on("postgres-2", "systemctl restart postgresql@17-main");
  await expectWell();
});

describe("the authority, in three steps", () => {
  const trusted = () => lab.on("ops-1", "grep -c BEGIN /usr/local/share/ca-certificates/framaspace.crt");

  test.each<[string, Record<string, number>, string]>([
    ["every machine trusts both", { "ca/trusted": 2 }, "2"],
    ["the new one signs", { "ca/key": 2, "ca/trusted": 1 }, "2"],
    ["the old one is worth nothing", { "ca/key": 2, "ca/trusted": 2 }, "1"],
  ])("%s", async (step, numbers, count) => {
    const seconds = await rotate(numbers);
    console.log(`${step}: ${seconds.toFixed(1)} s without an answer`);
    expect(await trusted()).toBe(count);
    expect(seconds).toBeLessThan(MOST);
    await expectWell();
  });
});

describe("the deploy key, in two steps", () => {
  const listed = () =>
    lab.on("web-1", "awk '/ deploy$/ { print $2 }' /etc/framaspace/authorized_keys/root-people");

  test("every machine accepts both keys, then only the new one", async () => {
    const old = await listed();
    const before = await rotate({ "deploy/trusted": 2 });
    const both = (await listed()).split("\n");
    expect(both).toHaveLength(2);
    expect(both[0]).toBe(old);
    const after = await rotate({ "deploy/ssh": 2, "deploy/trusted": 2 });
    // This command itself comes with the key, through ops-1.
    expect(await listed()).toBe(both[1]);
    console.log(`the deploy key: ${before.toFixed(1)} and ${after.toFixed(1)} s without an answer`);
    expect(Math.max(before, after)).toBeLessThan(MOST);
    await expectWell();
  });
});
