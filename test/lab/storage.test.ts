// Object storage under faults: two sites of five nodes with the real MinIO, a client that keeps a ledger outside of
// them, and every acknowledged write reread. Moments and victims are random. They come from a seed that is printed
// (FRAMASPACE_SEED repeats one). Each fault is tried FRAMASPACE_ROUNDS times. FRAMASPACE_STORAGE_LAB names an existing
// lab with --storage-nodes 5 --storage-sites 2, which is used instead of a new one.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { storageWords, TestLab } from "../support/suite-lab.ts";
import { type } from "../support/runbook.ts";
import { ABSENT, generator, isWrite, longestGap, type Verdict } from "../support/object-ledger.ts";
import {
  anotherBuild,
  clear,
  cutPower,
  emptyDrive,
  equal,
  exchange,
  kill,
  line,
  Load,
  MINIMUM_LOAD,
  nodesOf,
  SPACE,
  start,
  tell,
  whole,
  type Site,
} from "../support/storage-sites.ts";

const binaries = storageWords();
const standing = process.env.FRAMASPACE_STORAGE_LAB;
const seed = Number(process.env.FRAMASPACE_SEED ?? Math.floor(Math.random() * 1e6));
const runs = Array.from({ length: Number(process.env.FRAMASPACE_ROUNDS ?? 1) }, (_, index) => seed + index);
/** Minutes for which the connection between the sites is cut. */
const cutMinutes = Number(process.env.FRAMASPACE_CUT_MINUTES ?? 0.5);

const lab = new TestLab(standing ?? "sites", standing === undefined ? 18447 : 8743, [
  ...binaries,
  "--storage-nodes",
  "5",
  "--storage-sites",
  "2",
]);

function pick<T>(from: readonly T[], count: number, random: () => number): T[] {
  const left = [...from];
  return Array.from({ length: count }, () => left.splice(Math.floor(random() * left.length), 1)).flat();
}

/** Nothing acknowledged is lost, and nothing is shown in an older state. */
function expectAll(verdict: Verdict): void {
  expect(verdict.checked).toBeGreaterThanOrEqual(MINIMUM_LOAD);
  expect({ lost: verdict.lost, stale: verdict.stale, unexpected: verdict.unexpected }).toEqual({
    lost: [],
    stale: [],
    unexpected: [],
  });
}

/** Web servers use only the nodes of this site. */
async function expectServing(site: Site): Promise<void> {
  const platform: unknown = JSON.parse(await lab.on("web-1", "cat /etc/framaspace/platform.json"));
  expect(platform).toMatchObject({ s3: { hosts: nodesOf(site) } });
}

/** Drives of one set of the primary site: host and path. */
async function drivesOf(lab: TestLab, set: number): Promise<URL[]> {
  const found = await lab.on(
    "ops-1",
    `mc --json admin info primary | jq -r '.info.servers[].drives[] | select(.set_index == ${set}) | .endpoint'`,
  );
  return found.split("\n").map((endpoint) => new URL(endpoint));
}

const nameOf = ({ hostname, pathname }: URL) => hostname + pathname;

/** Waits until ops-1 reports it. */
async function seen(problem: string): Promise<void> {
  const look = () => lab.on("ops-1", "reconcile-storage watch && platform-health || true");
  await expect.poll(look, { timeout: 120_000, interval: 5000 }).toContain(problem);
}

/** What the other nodes of the primary site hold while these are off. */
async function verifyWithout(load: Load, off: readonly string[]): Promise<Verdict> {
  await kill(lab, off);
  const verdict = await load.verify(
    "primary",
    nodesOf("primary").filter((node) => !off.includes(node)),
  );
  await start(lab);
  return verdict;
}

const WRITES = ["put", "delete"] as const;

describe.skipIf(binaries.length === 0)(
  `object storage with faults${binaries.length === 0 ? " (skipped: FRAMASPACE_MINIO and FRAMASPACE_MC name no MinIO)" : `, seed ${seed}`}`,
  // Ten nodes and a client share the machine.
  { timeout: 1_200_000 },
  () => {
    beforeAll(async () => {
      if (standing !== undefined) return;
      await lab.prepare();
      await lab.up();
    });
    afterAll(async () => {
      if (standing === undefined) await lab.remove();
    });
    beforeEach(async () => {
      await whole(lab, "primary");
      await whole(lab, "replica");
      // What an earlier fault left on too few drives, and is not healed yet, would not survive this fault too.
      await clear(lab);
    });

    test.each(runs)("one, two and three of five nodes are lost (run %i)", async (run) => {
      const random = generator(run);
      const victims = pick(nodesOf("primary"), 3, random);
      const load = await Load.begin(lab, run);
      await load.more(MINIMUM_LOAD);
      const gaps: number[] = [];
      for (const victim of victims.slice(0, 2)) {
        await sleep(random() * 2000);
        const from = Date.now();
        await kill(lab, [victim]);
        await load.more(50);
        gaps.push(longestGap(load.lines, from, Date.now(), WRITES));
      }
      // The alarms must come before a third lost node causes damage.
      for (const victim of victims.slice(0, 2)) await seen(`storage primary node ${victim}: offline`);
      expect(load.absent).toBe(0);
      // With three nodes off, four drives of ten are left: writes that could not be kept are refused.
      await kill(lab, victims.slice(2));
      await sleep(8000);
      const refused = Date.now();
      await sleep(10_000);
      expect(load.lines.filter(({ time, kind }) => time > refused && kind !== "unknown")).toEqual([]);
      const back = Date.now();
      await start(lab);
      await load.more(20);
      const [first] = load.lines.filter(({ time, kind }) => time > back && kind === "put");
      await load.stop();
      await whole(lab);
      // Two other nodes can be lost after the first ones have what they missed.
      const healed = await lab.on("ops-1", "reconcile-storage heal primary");
      const others = nodesOf("primary").filter((node) => !victims.slice(0, 2).includes(node));
      const verdict = await verifyWithout(load, others.slice(0, 2));
      tell("nodes lost", {
        victims: victims.join(" "),
        acknowledged: verdict.checked,
        lost: verdict.lost.length,
        unknown: verdict.unknown,
        "deletes that found nothing": load.absent,
        "seconds without a write, one node lost": gaps[0] ?? NaN,
        "two lost": gaps[1] ?? NaN,
        "seconds from power to the first write after three": ((first?.time ?? NaN) - back) / 1000,
        healed,
      });
      expectAll(verdict);
    });

    test.each(runs)("a node, then the whole site, loses power (run %i)", async (run) => {
      const random = generator(run);
      const load = await Load.begin(lab, run);
      await load.more(MINIMUM_LOAD);
      const from = Date.now();
      await cutPower(lab, pick(nodesOf("primary"), 1, random));
      await load.more(50);
      const gap = longestGap(load.lines, from, Date.now(), WRITES);
      await start(lab);
      await whole(lab);
      await load.more(MINIMUM_LOAD);
      await sleep(random() * 2000);
      await cutPower(lab, nodesOf("primary"));
      const dark = Date.now();
      await load.stop();
      await start(lab);
      await whole(lab);
      const light = Date.now();
      const verdict = await load.verify();
      tell("power lost", {
        acknowledged: verdict.checked,
        lost: verdict.lost.length,
        unknown: verdict.unknown,
        "deletes that found nothing": load.absent,
        "seconds without a write, node off": gap,
        "seconds until the site was complete": (light - dark) / 1000,
      });
      expectAll(verdict);
    });

    test.each(runs)("drives of one set are wiped, truncated and damaged (run %i)", async (run) => {
      const random = generator(run);
      const drives = pick(await drivesOf(lab, 0), 4, random);
      const load = await Load.begin(lab, run);
      await load.more(MINIMUM_LOAD);
      const damage = [
        // As if an empty drive were in its place. MinIO may write into a folder while it is being removed.
        (path: string) =>
          `for try in {1..50}; do ! rm -rf ${path}/* ${path}/.minio.sys 2>/dev/null || exit 0; done; exit 1`,
        (path: string) => `find ${path}/space-${SPACE} -type f -size +8k -exec truncate -s 4096 {} +`,
        (path: string) =>
          `find ${path}/space-${SPACE} -type f -size +8k -exec sh -c 'for f; do printf X | dd of="$f" bs=1 seek=5000 conv=notrunc status=none; done' sh {} +`,
        (path: string) => `find ${path}/space-${SPACE} -type f -name xl.meta -delete`,
      ];
      for (const [index, { hostname, pathname }] of drives.entries()) {
        await lab.on(hostname, damage[index]?.(pathname) ?? "true");
        await load.more(20);
      }
      await load.stop();
      const reads = (...outcomes: string[]) =>
        load.lines.filter((one) => one.kind === "get" && outcomes.includes(one.outcome));
      const before = await load.verify();
      const began = Date.now();
      const healed = await lab.on(
        "ops-1",
        `timeout 300 mc --json admin heal --recursive --scan deep primary/space-${SPACE} >/tmp/heal.json; jq -s '[.[] | select(.type == "object" or .type == "healed") | .size // 0] | add // 0' /tmp/heal.json`,
      );
      const seconds = (Date.now() - began) / 1000;
      tell("drives damaged", {
        drives: drives.map(nameOf).join(" "),
        acknowledged: before.checked,
        "lost before healing": before.lost.length,
        "wrong or absent reads": reads("wrong", ABSENT).length,
        "reads of what was overwritten or deleted": reads("stale").length,
        "MB checked per second": Number(healed) / 1e6 / seconds,
      });
      expect(reads("wrong", ABSENT)).toEqual([]);
      expectAll(before);
      await whole(lab);
      // After healing, the site works without any two nodes again.
      const after = await verifyWithout(load, pick(nodesOf("primary"), 2, random));
      expectAll(after);
    });

    test.each(runs)(
      "a drive of each set fills up: an alarm, then refusals, then healthy again (run %i)",
      async (run) => {
        const random = generator(run);
        const victims: URL[] = [];
        for (const set of [0, 1]) {
          const drives = await drivesOf(lab, set);
          victims.push(...pick(drives, 1, random));
        }
        const fill = async (file: string, bytes: string) => {
          for (const { hostname, pathname } of victims)
            await lab.on(
              hostname,
              `read -r size used avail < <(df -B1 --output=size,used,avail ${pathname} | tail -n 1); fallocate -l $((${bytes})) ${pathname}/${file}`,
            );
        };
        const load = await Load.begin(lab, run);
        await load.more(MINIMUM_LOAD);
        await fill("most", "size * 85 / 100 - used");
        for (const drive of victims) await seen(`storage primary drive ${nameOf(drive)}: over 80 % full`);
        await load.more(50);
        await fill("rest", "avail - 65536");
        await sleep(8000);
        const full = Date.now();
        await sleep(10_000);
        const puts = load.lines.filter(({ time, kind }) => time > full && kind === "put");
        for (const { hostname, pathname } of victims)
          await lab.on(hostname, `rm ${pathname}/most ${pathname}/rest`);
        const room = Date.now();
        await load.more(20);
        const [first] = load.lines.filter(({ time, kind }) => time > room && kind === "put");
        await load.stop();
        await whole(lab);
        const verdict = await load.verify();
        tell("drives full", {
          drives: victims.map(nameOf).join(" "),
          acknowledged: verdict.checked,
          lost: verdict.lost.length,
          unknown: verdict.unknown,
          "seconds from free space to the first write": ((first?.time ?? NaN) - room) / 1000,
        });
        // MinIO accepts nothing for which one drive of the set has no room (cmd/object-api-utils.go, hasSpaceFor).
        expect(puts).toEqual([]);
        expectAll(verdict);
      },
    );

    test.each(runs)(
      "the sites are cut from each other, and two nodes of the source are killed meanwhile (run %i)",
      async (run) => {
        const random = generator(run);
        const load = await Load.begin(lab, run);
        await load.more(MINIMUM_LOAD);
        await line(lab, "cut");
        try {
          const moment = random() * cutMinutes * 60_000;
          await sleep(moment);
          await kill(lab, pick(nodesOf("primary"), 2, random));
          await load.more(50);
          await start(lab);
          await sleep(cutMinutes * 60_000 - moment);
          await load.stop();
        } finally {
          await line(lab, "whole");
        }
        const fixed = Date.now();
        await whole(lab);
        await equal(lab);
        tell("sites cut", {
          acknowledged: load.acknowledged,
          "minutes cut": cutMinutes,
          "minutes until both sites are equal": (Date.now() - fixed) / 60_000,
        });
        expectAll(await load.verify("replica"));
      },
    );

    test("the primary site is lost: the replica serves, then the primary site again", async () => {
      const load = await Load.begin(lab, seed);
      await load.more(MINIMUM_LOAD);
      const dark = Date.now();
      await kill(lab, nodesOf("primary"));
      await load.stop();
      await lab.up("--storage-serving", "replica", "--storage-unreachable", "primary");
      const served = Date.now();
      // The last acknowledged writes may not have reached the replica. They are on the drives of the lost site.
      const there = await load.verify("replica");
      const missing = new Set([...there.lost, ...there.stale].map((line) => line.split(" ")[1]));
      const [oldest] = load.lines.filter((line) => isWrite(line) && missing.has(line.key));
      const secondsMissing = oldest === undefined ? 0 : Math.max(0, (dark - oldest.time) / 1000);
      expect(there.unexpected).toEqual([]);
      load.resume("replica");
      await load.more(MINIMUM_LOAD);
      const [first] = load.lines.filter(({ time, kind }) => time > served && kind === "put");
      await expectServing("replica");
      await lab.up("--storage-serving", "replica");
      await whole(lab, "primary");
      await load.more(20);
      await load.stop();
      const fixed = Date.now();
      await equal(lab);
      const back = Date.now();
      await lab.up();
      await expectServing("primary");
      tell("primary site lost", {
        acknowledged: load.acknowledged,
        "not on the replica when it was lost": missing.size,
        "seconds before the loss when the oldest of them was written": secondsMissing,
        "seconds of the up that moves spaces to the replica": (served - dark) / 1000,
        "seconds to the first write": ((first?.time ?? NaN) - dark) / 1000,
        "minutes until both sites are equal": (back - fixed) / 60_000,
        "seconds of the up that moves them back": (Date.now() - back) / 1000,
      });
      expectAll(await load.verify("primary"));
      expectAll(await load.verify("replica"));
      expect(secondsMissing).toBeLessThan(60);
    });

    test("a lost pairing is refused while both sites hold data, and repaired when one site is new", async () => {
      const load = await Load.begin(lab, seed);
      await load.more(MINIMUM_LOAD);
      await load.stop();
      await lab.on("ops-1", "mc admin replicate rm replica --all --force");
      const said = await lab.on("ops-1", "reconcile-storage 2>&1 || true");
      expect(said).toContain(
        "both hold buckets: only a person can say which one is right. Nothing was changed.",
      );
      expectAll(await load.verify("primary"));
      expectAll(await load.verify("replica"));
      // The replica still knows its old partner, which has been replaced.
      await exchange(lab, nodesOf("replica"));
      await lab.up();
      const began = Date.now();
      await whole(lab, "replica");
      await equal(lab);
      tell("replica site built again", { "seconds until both sites are equal": (Date.now() - began) / 1000 });
      expectAll(await load.verify("replica"));
    });

    test.each(runs)("a server and a drive are replaced under load (run %i)", async (run) => {
      const random = generator(run);
      const [server = "", other = "", third = ""] = pick(nodesOf("primary"), 3, random);
      const load = await Load.begin(lab, run);
      await load.more(MINIMUM_LOAD);
      await exchange(lab, [server]);
      await emptyDrive(lab, other, 2);
      await lab.up();
      await load.more(20);
      const followed = async (page: string, states: string) => {
        const [missing, filling, gaps = ""] = (await type(lab, page)).split("\n").slice(-3);
        expect([page, missing]).toEqual([page, states]);
        expect(filling).toMatch(/^\d+$/);
        expect(gaps).toMatch(/^primary: \d+ objects checked, \d+ written/);
        tell(page, { gaps });
      };
      await followed("replace-a-drive", "ok");
      await load.stop();
      await followed("replace-a-storage-node", "ok online");
      // Replication records on each drive what it copied. With an incomplete record, an object is unreadable without
      // two nodes.
      await equal(lab);
      expectAll(await verifyWithout(load, [other, third]));
      await whole(lab);
    });

    test("MinIO's binary is replaced on every node, one after the other, under load", async () => {
      const load = await Load.begin(lab, seed, { rest: 1000 });
      await load.more(MINIMUM_LOAD);
      const { path, sha256 } = await anotherBuild(binaries);
      const from = Date.now();
      await lab.up("--minio", path);
      const until = Date.now();
      for (const node of [...nodesOf("primary"), ...nodesOf("replica")])
        expect(await lab.on(node, "sha256sum </proc/$(systemctl show -P MainPID minio)/exe")).toContain(
          sha256,
        );
      const [primary, replica] = (await type(lab, "upgrade-minio")).split("\n");
      expect(primary).toMatch(/^\S+$/);
      expect(replica).toBe(primary);
      await load.more(20);
      await load.stop();
      const verdict = await load.verify();
      tell("binary exchanged", {
        acknowledged: verdict.checked,
        lost: verdict.lost.length,
        "seconds for ten nodes": (until - from) / 1000,
        "seconds without a write": longestGap(load.lines, from, until, WRITES),
      });
      expectAll(verdict);
      await lab.up();
    });

    // Near the end of the suite, because nobody goes back to an authority that is worth nothing.
    test("the authority is replaced under load, in the three steps of its page", async () => {
      const rotate = async (numbers: Record<string, number>) => {
        await lab.setGenerations(numbers);
        await lab.up();
        await whole(lab, "primary");
        await whole(lab, "replica");
      };
      const trusted = () => lab.on("storage-b1", "grep -c BEGIN /etc/minio/certs/CAs/framaspace.crt");
      await rotate({ "ca/trusted": 2 });
      // The client reads the trusted authorities when it starts. From here on, it trusts both.
      const load = await Load.begin(lab, seed, { rest: 1000 });
      await load.more(MINIMUM_LOAD);
      const from = Date.now();
      await rotate({ "ca/key": 2, "ca/trusted": 1 });
      await load.more(20);
      expect(await trusted()).toBe("2");
      await rotate({ "ca/key": 2, "ca/trusted": 2 });
      expect(await trusted()).toBe("1");
      await load.more(20);
      await load.stop();
      const seconds = longestGap(load.lines, from, Date.now(), WRITES);
      // The last writes crossed between sites that trust only the new authority.
      await equal(lab);
      const verdict = await load.verify("replica");
      tell("authority replaced", {
        acknowledged: verdict.checked,
        lost: verdict.lost.length,
        "seconds without a write": seconds,
      });
      expectAll(await load.verify("primary"));
      expectAll(verdict);
    });

    // The last test, because a site cannot go back to one pool.
    test("a second pool is added to both sites under load", async () => {
      const load = await Load.begin(lab, seed, { rest: 1000 });
      await load.more(MINIMUM_LOAD);
      const from = Date.now();
      // Smaller than the first pool, as a new one may be: twenty nodes are too many for a small machine.
      await lab.up("--storage-second-pool", "2");
      const seconds = longestGap(load.lines, from, Date.now(), WRITES);
      await load.more(MINIMUM_LOAD);
      await load.stop();
      expect((await type(lab, "add-a-storage-pool")).split("\n").at(-1)).toBe("2 pools");
      for (const node of ["storage-a6", "storage-b6"])
        expect(await lab.on(node, `find /srv/minio/drive-*/space-${SPACE} -name xl.meta | head -1`)).not.toBe(
          "",
        );
      const verdict = await load.verify();
      tell("second pool", {
        acknowledged: verdict.checked,
        lost: verdict.lost.length,
        "seconds without a write": seconds,
      });
      expectAll(verdict);
      // As the page promises.
      expect(seconds).toBeLessThan(120);
    });
  },
);
