// PostgreSQL, its backups, and Redis when machines fail. The tests run the commands of docs/runbooks/ while spaces
// write. Every acknowledged write must be there afterwards. FRAMASPACE_ROUNDS repeats the faults, at other moments.
import { execa } from "execa";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openLab } from "../../lab/lab.ts";
import { insideMachine } from "../../lab/machine.ts";
import { sharedLab as lab, storageWords } from "../support/suite-lab.ts";
import { Ledger, sqlOf, type Verdict } from "../support/database-ledger.ts";
import { type } from "../support/runbook.ts";

const SPACE = "lotus";
const ROUNDS = Array.from({ length: Number(process.env.FRAMASPACE_ROUNDS ?? 1) }, (_, index) => index + 1);
/** The seed of the moments of faults. The same seed gives the same moments. */
const SEED = Number(process.env.FRAMASPACE_SEED ?? Date.now() % 100_000);
const hasStorage = storageWords().length > 0;

beforeAll(async () => {
  console.log(
    `seed ${SEED}${hasStorage ? "" : "; no MinIO (FRAMASPACE_MINIO, FRAMASPACE_MC): backups are not tested"}`,
  );
  await lab.prepare();
});
afterAll(async () => {
  // The configuration of other suites does not name another primary.
  if ((await lab.primary()) !== "postgres-1") await type(lab, "postgres-switchover", "Switch over");
  await lab.remove();
});

/** Waits some seconds into the load, according to the seed. */
function someMoment(round: number): Promise<void> {
  const state = Math.sin(SEED * 1000 + round) * 10_000;
  return sleep(1000 + (state - Math.floor(state)) * 4000);
}

interface Cluster {
  record: { primary: string; mode: string };
  nodes: {
    node: string;
    data: string;
    running: boolean;
    fenced: boolean;
    recovery?: boolean;
    reachable: boolean;
  }[];
}
const cluster = async () => JSON.parse(await lab.on("ops-1", "postgres-cluster status")) as Cluster;
const other = (node: string) => (node === "postgres-1" ? "postgres-2" : "postgres-1");

/** Waits until commits wait for a standby, which a failover without loss needs. */
async function inStep(): Promise<void> {
  await expect
    .poll(async () => (await cluster()).record.mode, { timeout: 120_000, interval: 2000 })
    .toBe("synchronous");
}

/** Tells the cloud to power a machine on or off, and waits until this is done. */
async function power(action: "poweron" | "poweroff", machine: string): Promise<void> {
  const server = async () => {
    const { servers } = (await lab.cloud("GET", `servers?name=${machine}`)) as {
      servers: { id: number; status: string }[];
    };
    const [found] = servers;
    if (!found) throw new Error(`the lab has no ${machine}`);
    return found;
  };
  await lab.cloud("POST", `servers/${(await server()).id}/actions/${action}`);
  await expect
    .poll(async () => (await server()).status, { timeout: 60_000 })
    .toBe(action === "poweron" ? "running" : "off");
}

/** Runs a command in a machine without its network, for a machine that is cut off. */
async function insideOf(machine: string, command: string): Promise<number | undefined> {
  const [program = "", ...words] = await insideMachine(openLab(lab.name), machine);
  return (await execa(program, [...words, "bash", "-c", command], { reject: false, stdin: "ignore" }))
    .exitCode;
}

function tell(what: string, { acknowledged, lost, secondsWithout }: Verdict): void {
  console.log(
    `${what}: ${acknowledged} acknowledged, ${lost.length} lost, ${secondsWithout.toFixed(1)} s without writes`,
  );
  expect(lost).toEqual([]);
}

/** Causes a fault while spaces write. Nothing acknowledged may be lost. */
async function under(what: string, fault: () => Promise<void>): Promise<void> {
  await inStep();
  const ledger = new Ledger(lab, SPACE);
  await ledger.start();
  await fault();
  await ledger.more();
  tell(what, await ledger.stop());
}

describe.each(ROUNDS)("round %i", (round) => {
  test("a killed PostgreSQL starts again by itself", async () => {
    const node = await lab.primary();
    await under("kill -9 of the primary", async () => {
      await someMoment(round);
      await lab.on(node, "kill -9 $(head -n 1 /var/lib/postgresql/17/main/postmaster.pid)");
    });
    expect(await lab.primary()).toBe(node);
  });

  test.each([
    ["unit", "LimitNOFILE=65536", "LimitNOFILE=65535"],
    ["setting", "max_connections = 2000", "max_connections = 2001"],
  ])("a changed %s restarts both nodes, and so does the former one", async (what, before, after) => {
    const started = () =>
      Promise.all(
        ["postgres-1", "postgres-2"].map((node) =>
          lab.on(node, "runuser -u postgres -- psql -XAtqc 'SELECT pg_postmaster_start_time()'"),
        ),
      );
    for (const [from, to] of [
      [before, after],
      [after, before],
    ] as const) {
      const old = await started();
      await under(`another ${what}`, async () => {
        await lab.edit("infra/postgres/postgres.ts", from, to);
        await lab.up();
      });
      const now = await started();
      expect(old.filter((time) => now.includes(time))).toEqual([]);
    }
  });

  test("a switchover works as its page says", async () => {
    const node = await lab.primary();
    await under("switchover", async () => {
      await someMoment(round);
      await type(lab, "postgres-switchover", "Switch over");
    });
    expect(await lab.primary()).toBe(other(node));
    expect(await type(lab, "postgres-switchover", "How to know that it worked")).toMatch(/streaming\|sync$/);
    // Stacks of spaces are applied to the node that the configuration names.
    const line = `  framaspace:postgresPrimary: ${other(node)}`;
    await lab.edit(
      "Pulumi.lab.yaml",
      /^config:\n(?: {2}framaspace:postgresPrimary: .*\n)?/m,
      `config:\n${line}\n`,
    );
    await lab.up();
  });

  test("a primary that is off is replaced as its page says, and does not come back as a second primary", async () => {
    const node = await lab.primary();
    await under("power off and failover", async () => {
      await someMoment(round);
      await power("poweroff", node);
      await expect(lab.on("ops-1", "postgres-cluster failover")).rejects.toThrow(/Power it off at the cloud/);
      await type(lab, "postgres-failover", "Fail over");
    });
    expect(await lab.primary()).toBe(other(node));

    // The later primary goes off too, and the old one comes back first. It must not take writes, because it lacks those
    // of the later one.
    await power("poweroff", other(node));
    await power("poweron", node);
    await sleep(20_000);
    expect((await cluster()).nodes.find((one) => one.node === node)).toMatchObject({
      data: "primary",
      running: false,
    });
    await power("poweron", other(node));
    await expect
      .poll(async () => (await cluster()).nodes.find((one) => one.node === other(node))?.running, {
        timeout: 120_000,
        interval: 2000,
      })
      .toBe(true);
    expect((await cluster()).nodes.find((one) => one.node === node)?.running).toBe(false);

    await type(lab, "postgres-failover", "Make the old primary a standby again");
    await inStep();
    const said = await type(lab, "postgres-failover", "How to know that it worked", {
      change: (command) => command.replace(/^platform-health$/m, "platform-health | grep ^postgres || true"),
    });
    expect(said.trim()).toBe(`${node}|streaming|sync`);
  });

  test("a primary that is cut off confirms nothing, and is stopped when it is reachable again", async () => {
    const node = await lab.primary();
    await under("partition and failover", async () => {
      const cut = "10.0.1.1, 10.0.30.1, 10.0.30.2";
      await insideOf(
        node,
        `nft 'table inet cut { chain i { type filter hook input priority -10; ip saddr { ${cut} } drop; }
         chain o { type filter hook output priority -10; ip daddr { ${cut} } drop; }; }'`,
      );
      // As a visitor whose web server still reaches this node.
      const write = await insideOf(
        node,
        `cd /; timeout 12 setpriv --reuid=postgres --regid=postgres --init-groups psql -d ${SPACE} -c 'INSERT INTO ledger VALUES (-${round})'`,
      );
      expect(write).toBe(124);
      await type(lab, "postgres-failover", "Fail over");
    });
    await insideOf(node, "nft delete table inet cut");
    await expect
      .poll(async () => (await cluster()).nodes.find((one) => one.node === node)?.running, {
        timeout: 60_000,
        interval: 2000,
      })
      .toBe(false);
    await type(lab, "postgres-failover", "Make the old primary a standby again");
    await inStep();
    // Nobody got a confirmation for a write that only this node had. If the archive, which the node still reached,
    // passed the write on, both nodes have it; otherwise neither.
    const unconfirmed = (machine: string) =>
      lab.on(
        machine,
        `cd /; runuser -u postgres -- psql -XAtc 'SELECT count(*) FROM ledger WHERE n < 0' ${SPACE}`,
      );
    const kept = await unconfirmed(other(node));
    await expect.poll(() => unconfirmed(node), { timeout: 30_000 }).toBe(kept);
    expect(hasStorage ? ["0", "1"] : ["0"]).toContain(kept);
  });

  test("with a full disk for the log, writes are refused, an alarm shows it, and writes continue once there is room", async () => {
    const node = await lab.primary();
    const log = "/var/lib/postgresql/17/main/pg_wal";
    const small = "/mnt/log";
    /** Runs a script while the node is stopped. ops-1 must not start the node meanwhile. */
    const standing = async (script: string) => {
      await lab.on("ops-1", "systemctl stop postgres-watch");
      await lab.on(
        node,
        `set -e; systemctl stop postgresql@17-main; ${script}; systemctl start postgresql@17-main`,
      );
      await lab.on("ops-1", "systemctl start postgres-watch");
    };
    await standing(
      `mkdir -p ${small}; mount -t tmpfs -o size=$(($(du -sm ${log} | cut -f1) + 64))m,mode=0700 tmpfs ${small}; cp -a ${log}/. ${small}/; chown postgres:postgres ${small}; mount --bind ${small} ${log}`,
    );
    try {
      await under("a full disk", async () => {
        await someMoment(round);
        await lab.on(
          node,
          `dd if=/dev/zero of=${small}/fill bs=1M 2>/dev/null; cd /; for n in $(seq 50); do timeout 10 runuser -u postgres -- psql -qc "SELECT pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()" >/dev/null 2>&1 || break; done`,
        );
        await expect
          .poll(() => lab.on("ops-1", "platform-health || true"), { timeout: 60_000, interval: 2000 })
          .toContain(`${node} down: PostgreSQL does not run there`);
        await lab.on(node, `rm ${small}/fill`);
      });
    } finally {
      await standing(
        `umount ${log}; find ${log} -mindepth 1 -delete; rm -f ${small}/fill; cp -a ${small}/. ${log}/; umount ${small}`,
      );
    }
    expect(await lab.primary()).toBe(node);
    await inStep();
  });
});

test("a new database is also on the standby, because libpq tries no other node if a database is missing", async () => {
  await inStep();
  const standby = other(await lab.primary());
  const replay = (verb: "pause" | "resume") =>
    lab.on(standby, `cd /; runuser -u postgres -- psql -XAtqc 'SELECT pg_wal_replay_${verb}()'`);
  const make = (name: string) =>
    lab.on("ops-1", `timeout 5 psql service=framaspace -XAtqc 'CREATE DATABASE ${name}'; echo $?`);
  await replay("pause");
  try {
    expect(await make("slow_of_a_test")).toBe("124");
  } finally {
    await replay("resume");
  }
  expect(await make("quick_of_a_test")).toBe("0");
  for (const name of ["slow_of_a_test", "quick_of_a_test"])
    await lab.on("ops-1", `psql service=framaspace -XAtqc 'DROP DATABASE ${name}'`);
});

describe("an alarm shows what will soon be a problem", () => {
  const health = () => lab.on("ops-1", "platform-health || true");
  const seen = (line: RegExp) => expect.poll(health, { timeout: 120_000, interval: 3000 }).toMatch(line);
  const over = (line: RegExp) => expect.poll(health, { timeout: 180_000, interval: 3000 }).not.toMatch(line);

  test("a lost standby: writes continue, its slot is dropped before the disk is full, and it comes back", async () => {
    const node = await lab.primary();
    await inStep();
    const onNode = (sql: string) => lab.on(node, `cd /; runuser -u postgres -- psql -XAtq -c "${sql}"`);
    await lab.on(other(node), "systemctl stop postgresql@17-main");
    await seen(/^postgres standby: since/m);
    await sqlOf(lab, SPACE, "CREATE TABLE IF NOT EXISTS ledger (n bigint PRIMARY KEY); TRUNCATE ledger");
    await onNode("ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'");
    await onNode("SELECT pg_reload_conf()");
    for (let segment = 0; segment < 6; segment++)
      await onNode("SELECT pg_logical_emit_message(true, 'test', 'x')").then(() =>
        onNode("SELECT pg_switch_wal()"),
      );
    await onNode("CHECKPOINT");
    await seen(/^postgres slot: (lost|unreserved)/m);
    await onNode("ALTER SYSTEM RESET max_slot_wal_keep_size");
    await onNode("SELECT pg_reload_conf()");
    await type(lab, "postgres-failover", "Make the old primary a standby again");
    await inStep();
    await over(/^postgres (standby|slot)/m);
    expect((await cluster()).record).toMatchObject({ primary: node, mode: "synchronous" });
  });

  test("a full Redis, which deletes nothing; sessions survive a kill", async () => {
    const redis = (words: string) =>
      lab.on(
        "ops-1",
        `REDISCLI_AUTH=$(cat /etc/framaspace/redis/admin) redis-cli -h redis-1 --user admin --no-auth-warning ${words}`,
      );
    const limit = (await redis("CONFIG GET maxmemory")).split("\n")[1] ?? "";
    await redis("SET session-of-a-test kept EX 3600");
    await redis("CONFIG SET maxmemory 3mb");
    await seen(/^redis memory: \d+ % full/m);
    expect(await redis("SET another x")).toMatch(/OOM/);
    expect(await redis("GET session-of-a-test")).toBe("kept");
    await redis(`CONFIG SET maxmemory ${limit}`);
    await sleep(1500);
    // As Nextcloud writes them: the number of those who share a lock, or a word in JSON.
    await redis("-n 3 SET flag/lockfiles/shared 1 EX 3600");
    await redis(`-n 3 SET flag/lockfiles/exclusive '"exclusive"' EX 3600`);
    await lab.on("redis-1", "systemctl kill -s KILL redis-server");
    await expect.poll(() => redis("GET session-of-a-test").catch(() => ""), { timeout: 30_000 }).toBe("kept");
    await expect
      .poll(() => redis("-n 3 GET flag/lockfiles/shared").catch(() => "?"), { timeout: 15_000 })
      .toBe("");
    expect(await redis("-n 3 GET flag/lockfiles/exclusive")).toBe('"exclusive"');
    await over(/^redis/m);
    expect(
      await type(lab, "redis", "How to know that it worked", {
        change: (text) => text.replace("platform-health", "true"),
      }),
    ).toBe("PONG");
  });

  test("a certificate that expires", async () => {
    expect(await lab.on("ops-1", "CERTIFICATE_DAYS=36500 platform-health || true")).toMatch(
      /^certificate framaspace\.crt: ends .* GMT/m,
    );
    expect(await health()).not.toMatch(/^certificate/m);
  });
});

test.skipIf(hasStorage)("without object storage there is no backup, and an alarm says so", async () => {
  expect(await lab.on("ops-1", "platform-health || true")).toMatch(/^backups: none are made/m);
});

describe.skipIf(!hasStorage)("backups (with MinIO: FRAMASPACE_MINIO, FRAMASPACE_MC)", () => {
  test("are made and checked as their page says", async () => {
    await type(lab, "backups", "Make one now", { machine: await lab.primary() });
    expect(await type(lab, "backups", "Look")).toContain("full backup");
    expect(await type(lab, "backups", "Check one now")).toMatch(/restored and read \d+ spaces/);
  });

  test("that cannot be written cause an alarm, and nothing is lost", async () => {
    await lab.on("ops-1", "mc admin user disable serving backup");
    try {
      await lab.on(
        await lab.primary(),
        "cd /; runuser -u postgres -- psql -qc 'SELECT txid_current(), pg_switch_wal()'",
      );
      await expect
        .poll(() => lab.on("ops-1", "platform-health || true"), { timeout: 300_000, interval: 5000 })
        .toMatch(/^postgres archive: the last segment was refused/m);
    } finally {
      await lab.on("ops-1", "mc admin user enable serving backup");
    }
    await expect
      .poll(() => lab.on("ops-1", "platform-health || true"), { timeout: 300_000, interval: 5000 })
      .not.toMatch(/^(postgres archive|backups)/m);
  });

  test("one space goes back to a moment as its page says, and other spaces do not notice", async () => {
    const put = (key: string, text: string) =>
      lab.on("ops-1", `echo ${text} | mc --quiet pipe serving/space-${SPACE}/${key} >/dev/null`);
    const rows = (space: string) => sqlOf(lab, space, "SELECT count(*), max(n) FROM things");
    for (const space of [SPACE, "iris"])
      await sqlOf(
        lab,
        space,
        "CREATE TABLE IF NOT EXISTS things (n int); TRUNCATE things; INSERT INTO things SELECT generate_series(1, 1000)",
      );
    for (const key of ["urn:oid:1", "urn:oid:2", "urn:oid:3"]) await put(key, `first-${key}`);
    await sleep(2000);
    const moment = await lab.on("ops-1", "date -u '+%F %T'");
    await sleep(2000);
    await sqlOf(lab, SPACE, "DELETE FROM things WHERE n > 10");
    await sqlOf(lab, "iris", "INSERT INTO things VALUES (1001)");
    await lab.on("ops-1", `mc --quiet rm serving/space-${SPACE}/urn:oid:1 >/dev/null`);
    await put("urn:oid:2", "second");
    await put("urn:oid:4", "later");
    const began = Date.now();
    await type(lab, "restore-to-a-moment", "In place", {
      change: (text) => text.replace("2026-11-23 14:00", moment),
    });
    console.log(`one space restored: ${((Date.now() - began) / 1000).toFixed(0)} s`);
    expect(await rows(SPACE)).toBe("1000|1000");
    expect(await rows("iris")).toBe("1001|1001");
    const files = await lab.on("ops-1", `mc --json ls serving/space-${SPACE} | jq -r .key | sort`);
    expect(files.split("\n").filter((key) => /^urn:oid:[1-4]$/.test(key))).toEqual([
      "urn:oid:1",
      "urn:oid:2",
      "urn:oid:3",
    ]);
    expect(await lab.on("ops-1", `mc cat serving/space-${SPACE}/urn:oid:2`)).toBe("first-urn:oid:2");
    await type(lab, "restore-to-a-moment", "How to know that it worked");
  });

  test.each([
    ["backup", "/bundle/"],
    ["archive", "/[0-9A-F]{24}-"],
  ])(
    "a damaged object of the %s causes an alarm until it is removed and there is a new backup",
    async (part, kind) => {
      const folder = `serving/backup/postgres/${part}/main`;
      const object = await lab.on(
        "ops-1",
        `mc --json ls --recursive ${folder} | jq -r 'select(.key | test("${kind}")) | .key' | sort | tail -n 1`,
      );
      expect(object).not.toBe("");
      await lab.on("ops-1", `head -c 4096 /dev/urandom | mc --quiet pipe '${folder}/${object}' >/dev/null`);
      await expect(lab.on("ops-1", "postgres-backups check")).rejects.toThrow(
        /can't be restored|finds damage/,
      );
      expect(await lab.on("ops-1", "platform-health || true")).toMatch(/^backups damaged/m);
      await lab.on(
        await lab.primary(),
        "cd /; runuser -u postgres -- pgbackrest --stanza=main backup --type=full",
      );
      // The damaged object is removed with its old version.
      await lab.on("ops-1", `mc --quiet undo --last 1 --force '${folder}/${object}' >/dev/null`);
      await type(lab, "backups", "Check one now");
      expect(await lab.on("ops-1", "platform-health || true")).not.toMatch(/^backups/m);
    },
  );
});
