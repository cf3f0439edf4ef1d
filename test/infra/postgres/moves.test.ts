// Moving the writes between two nodes. The program is killed before and after each of its steps, clients write after
// each of them, and machines lose power in between.
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { recordIn } from "../../../infra/postgres/programs/cluster-record.ts";
import type { Cluster } from "../../../infra/postgres/programs/cluster.ts";
import { rebuild } from "../../../infra/postgres/programs/cluster.ts";
import { adopt, reconcileCluster, restoreCluster } from "../../../infra/postgres/programs/first-primary.ts";
import { failover, switchover } from "../../../infra/postgres/programs/moves.ts";
import { probe } from "../../../infra/postgres/programs/standby-watch.ts";
import { FakeCluster, Killed, type FakeNode, type Kill } from "../../support/fake-cluster.ts";

type Verb = (cluster: Cluster) => Promise<void>;
const switched: Verb = (cluster) => switchover(cluster, []);

/** Runs a verb. Resolves to whether it was killed. */
async function wasKilled(fake: FakeCluster, verb: Verb, kill?: Kill): Promise<boolean> {
  try {
    await verb(fake.program(kill));
    return false;
  } catch (error) {
    if (error instanceof Killed) return true;
    throw error;
  }
}

/** Every step at which a verb can be killed, before or after it. */
async function kills(make: () => FakeCluster, verb: Verb): Promise<Kill[]> {
  const fake = make();
  expect(await wasKilled(fake, verb)).toBe(false);
  return fake.steps.flatMap((_, index) =>
    (["before", "after"] as const).map((when) => ({ step: index + 1, when })),
  );
}

const missing = () => {
  const folder = mkdtempSync(join(tmpdir(), "framaspace-cluster-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "missing");
};

/** Whether a move to the second node is over. The next one would begin another move. */
const isDone = ({ recorded }: FakeCluster) =>
  recorded.primary === "postgres-2" && recorded.rebuild === undefined;

/** `now` takes the writes and has all that were confirmed; the other one follows it, and commits wait for it. */
function expectMoved(fake: FakeCluster, now: FakeNode): void {
  const old = fake.peerOf(now);
  expect(now.takesWrites).toBe(true);
  expect(fake.lostOn(now)).toEqual([]);
  expect(fake.streams(old)).toBe(true);
  expect(fake.recorded).toMatchObject({ primary: now.name, mode: "synchronous" });
  expect(Object.keys(fake.recorded)).not.toEqual(
    expect.arrayContaining([expect.stringMatching(/^(switchover|failover|rebuild)$/)]),
  );
}

describe.each(["synchronous", "asynchronous"] as const)("a switchover, commits being %s", (mode) => {
  const make = () => FakeCluster.inStep(mode);

  test("moves the writes, and says what to write", async () => {
    const fake = make();
    await switched(fake.program());
    expectMoved(fake, fake.b);
    expect(fake.said).toEqual([
      "postgres-2 takes the writes now.",
      "Write `framaspace:postgresPrimary: postgres-2` in the environment's configuration: Pulumi's provider connects to one node only.",
    ]);
  });

  test("that is killed at any two of its steps is finished by the same verb, and not moved back", async () => {
    const all = await kills(make, switched);
    expect(all.length).toBeGreaterThan(16);
    for (const first of all)
      for (const second of all) {
        const fake = make();
        expect(await wasKilled(fake, switched, first)).toBe(true);
        if (!isDone(fake)) await wasKilled(fake, switched, second);
        if (!isDone(fake)) await switched(fake.program());
        expectMoved(fake, fake.b);
      }
  });

  test.each(["a", "b"] as const)("that is killed, and then all machines: %s boots first", async (earlier) => {
    for (const kill of await kills(make, switched)) {
      const fake = make();
      await wasKilled(fake, switched, kill);
      const [one, other] = earlier === "a" ? [fake.a, fake.b] : [fake.b, fake.a];
      fake.halt(fake.a);
      fake.halt(fake.b);
      fake.boot(one);
      await probe(fake.program(), missing());
      fake.boot(other);
      await probe(fake.program(), missing());
      // Before the record names the move, ops-1 has just started the primary again, and nothing was moved.
      if (fake.recorded.switchover ?? fake.recorded.rebuild) await switched(fake.program());
      const now = fake.recorded.primary === "postgres-1" ? fake.a : fake.b;
      expect(now.takesWrites, JSON.stringify(kill)).toBe(true);
      expect(fake.lostOn(now)).toEqual([]);
    }
  });

  test("goes back if the standby has not received everything", async () => {
    const fake = make();
    const program = fake.program();
    fake.b.broken.add("received");
    await expect(switchover(program, [])).rejects.toThrow("postgres-1 is the primary again.");
    expect(fake.a.takesWrites).toBe(true);
    expect(fake.recorded).toEqual({ primary: "postgres-1", mode, since: "2026-11-24T14:00:00Z" });
  });
});

test("a standby that may have been promoted by a killed run, and is silent, keeps the old primary down", async () => {
  const fake = FakeCluster.inStep();
  const steps = fake.program();
  await expect(
    switchover(
      {
        ...steps,
        nodes: {
          ...steps.nodes,
          can: async (node, words) => {
            const done = await steps.nodes.can(node, words);
            if (words[0] === "promote") throw new Killed("promote");
            return done;
          },
        },
      },
      [],
    ),
  ).rejects.toThrow(Killed);
  expect(fake.b.takesWrites).toBe(true);
  fake.b.reachable = false;
  await expect(switchover(fake.program(), [])).rejects.toThrow(
    /^postgres-2 does not answer, and may take the writes already; postgres-1 stays down/,
  );
  expect(fake.a.running).toBe(false);
  fake.b.reachable = true;
  await switchover(fake.program(), []);
  expectMoved(fake, fake.b);
});

test("where that standby is lost for good, people say that it is off", async () => {
  const fake = FakeCluster.inStep("asynchronous");
  fake.recorded.switchover = "postgres-2";
  fake.halt(fake.b);
  await expect(switchover(fake.program(), [])).rejects.toThrow("add --standby-is-off");
  await expect(switchover(fake.program(), ["--standby-is-off"])).rejects.toThrow(
    "postgres-1 is the primary again.",
  );
  expect(fake.a.takesWrites).toBe(true);
  expect(fake.recorded.switchover).toBeUndefined();
});

describe("a failover", () => {
  const dead = () => {
    const fake = FakeCluster.inStep();
    fake.look();
    fake.halt(fake.a);
    return fake;
  };
  const stopped = () => {
    const fake = FakeCluster.inStep();
    fake.look();
    fake.a.running = false;
    return fake;
  };
  const cutOff = () => {
    const fake = FakeCluster.inStep();
    fake.look();
    fake.a.reachable = false;
    return fake;
  };
  const off: Verb = (cluster) => failover(cluster, ["--primary-is-off"]);

  test("from a dead primary loses nothing, at whichever steps it is killed", async () => {
    const all = await kills(dead, off);
    for (const first of all)
      for (const second of all) {
        const fake = dead();
        await wasKilled(fake, off, first);
        if (fake.recorded.primary === "postgres-1") await wasKilled(fake, off, second);
        if (fake.recorded.primary === "postgres-1") await off(fake.program());
        expect(fake.recorded).toMatchObject({ primary: "postgres-2", mode: "asynchronous" });
        expect(fake.lostOn(fake.b)).toEqual([]);
        // It comes back, and does not take writes.
        fake.boot(fake.a);
        await probe(fake.program(), missing());
        expect(fake.a.takesWrites).toBe(false);
        await rebuild(fake.program(), "postgres-1");
        expectMoved(fake, fake.b);
      }
  });

  test("from a stopped primary is finished by the same verb, and not moved back", async () => {
    const all = await kills(stopped, (cluster) => failover(cluster, []));
    for (const first of all)
      for (const second of all) {
        const fake = stopped();
        await wasKilled(fake, (cluster) => failover(cluster, []), first);
        if (!isDone(fake)) await wasKilled(fake, (cluster) => failover(cluster, []), second);
        if (!isDone(fake)) await failover(fake.program(), []);
        expectMoved(fake, fake.b);
      }
  });

  test("needs the word of people where the primary does not answer", async () => {
    const fake = dead();
    await expect(failover(fake.program(), [])).rejects.toThrow(
      /Power it off at the cloud .*add --primary-is-off/,
    );
    expect(fake.steps).toEqual([]);
  });

  test("refuses a primary that answers and cannot be stopped, even if people say that it is off", async () => {
    const fake = FakeCluster.inStep();
    fake.b.wal = [];
    fake.b.running = false;
    fake.a.broken.add("fence");
    await expect(failover(fake.program(), ["--primary-is-off"])).rejects.toThrow(
      "postgres-1 answers, so it is not off, but it could not be stopped",
    );
    expect(fake.b.takesWrites).toBe(false);
    expect(fake.recorded.failover).toBeUndefined();
  });

  test("refuses where a switchover does it, where the loss is not accepted, and words that it does not know", async () => {
    await expect(failover(FakeCluster.inStep().program(), [])).rejects.toThrow(
      "postgres-cluster switchover does it",
    );
    const behind = dead();
    behind.recorded.mode = "asynchronous";
    await expect(failover(behind.program(), ["--primary-is-off"])).rejects.toThrow(
      /^since 2026-11-24T14:00:00Z commits do not wait for postgres-2: .* add --accept-loss\.$/,
    );
    await failover(behind.program(), ["--primary-is-off", "--accept-loss"]);
    expect(behind.b.takesWrites).toBe(true);
    await expect(failover(behind.program(), ["--yes"])).rejects.toThrow(
      "failover knows --primary-is-off and --accept-loss, not --yes",
    );
  });

  test("from a primary that is cut off leaves no second one that confirms writes", async () => {
    const fake = cutOff();
    // Both nodes run, so this looks at what is confirmed.
    fake.look = () => {};
    await off(fake.program());
    expect(fake.b.takesWrites).toBe(true);
    expect(fake.a.synchronous && fake.a.takesWrites).toBe(true);
    fake.a.reachable = true;
    await probe(fake.program(), missing());
    expect(fake.a.running).toBe(false);
    expect(fake.said.at(-1)).toMatch(
      /^postgres-1 takes writes although postgres-2 is the primary: it is stopped now/,
    );
  });
});

test("a rebuild that is killed at any step is finished by the same verb", async () => {
  const make = () => {
    const fake = FakeCluster.inStep("asynchronous");
    Object.assign(fake.b, { running: false, fenced: true, wal: [] });
    return fake;
  };
  const verb: Verb = (cluster) => rebuild(cluster, "postgres-2");
  for (const kill of await kills(make, verb)) {
    const fake = make();
    await wasKilled(fake, verb, kill);
    await verb(fake.program());
    expectMoved(fake, fake.a);
  }
  await expect(rebuild(make().program(), "postgres-1")).rejects.toThrow("postgres-1 is the primary.");
  await expect(rebuild(make().program(), "postgres-3")).rejects.toThrow("write one of postgres-1 postgres-2");
});

describe("by itself ops-1", () => {
  test("starts the recorded primary, and lets commits go on once the standby has been away for five seconds", async () => {
    const fake = FakeCluster.inStep();
    const file = missing();
    fake.a.running = false;
    await probe(fake.program(), file);
    expect(fake.a.takesWrites).toBe(true);
    fake.b.running = false;
    await probe(fake.program(), file);
    expect(fake.a.synchronous).toBe(true);
    expect(existsSync(file)).toBe(true);
    utimesSync(file, new Date(), new Date(Date.now() - 5000));
    await probe(fake.program(), file);
    expect(fake.a.synchronous).toBe(false);
    expect(fake.steps).toEqual(['record {"mode":"asynchronous"}', "postgres-1 synchronous off"]);
    fake.boot(fake.b);
    await probe(fake.program(), file);
    expect(fake.recorded.mode).toBe("synchronous");
    expect(existsSync(file)).toBe(false);
  });

  test("does nothing while a move is recorded", async () => {
    const fake = FakeCluster.inStep();
    fake.a.running = false;
    fake.recorded.switchover = "postgres-2";
    await probe(fake.program(), missing());
    expect(fake.steps).toEqual([]);
  });
});

describe("who takes the writes first", () => {
  const none = async () => false;
  const up: Verb = (cluster) => reconcileCluster(cluster, "one\ntwo\n", none);

  test("an empty platform gets a primary and a standby, at whichever step `up` is killed", async () => {
    for (const kill of await kills(() => new FakeCluster(), up)) {
      const fake = new FakeCluster();
      await wasKilled(fake, up, kill);
      await up(fake.program());
      expectMoved(fake, fake.a);
      await up(fake.program());
      expect(fake.steps.filter((step) => !/roles|stanza|systemId/.test(step))).toEqual([]);
    }
  });

  test("is not guessed where backups exist, or a node is silent", async () => {
    await expect(reconcileCluster(new FakeCluster().program(), "", async () => true)).rejects.toThrow(
      "no node holds data, but there are backups",
    );
    const fake = FakeCluster.inStep();
    fake.recorded = {};
    fake.b.reachable = false;
    await expect(up(fake.program())).rejects.toThrow(
      /^postgres-2 does not answer \(no route to host\), and ops-1 does not know/,
    );
    expect(fake.steps).toEqual([]);
    fake.b.reachable = true;
    await up(fake.program());
    expect(fake.recorded).toMatchObject({ primary: "postgres-1", systemId: "7" });
  });

  test("an interrupted move is finished first", async () => {
    const fake = FakeCluster.inStep();
    fake.recorded.failover = "postgres-2";
    await expect(up(fake.program())).rejects.toThrow(
      "a failover to postgres-2 was interrupted. Finish it: postgres-cluster failover",
    );
  });

  test("a person may say it, and restore an empty platform", async () => {
    const fake = FakeCluster.inStep();
    fake.recorded = {};
    await adopt(fake.program(), "postgres-2");
    expect(fake.recorded.primary).toBe("postgres-1");
    await expect(adopt(fake.program(), "postgres-2")).rejects.toThrow("ops-1 has postgres-1 as the primary");
    await expect(restoreCluster(fake.program(), [])).rejects.toThrow(
      "postgres-1 holds data or does not answer",
    );
    const empty = new FakeCluster();
    await restoreCluster(empty.program(), ["2026-11-23", "14:00"]);
    expect(empty.steps[0]).toBe("postgres-1 restore 2026-11-23 14:00");
    expect(empty.a.takesWrites).toBe(true);
  });
});

test("the record keeps its form, and a damaged one is no empty one", async () => {
  const file = missing();
  const record = recordIn(file);
  expect(record.read()).toEqual({});
  await record.write({ primary: "postgres-1", mode: "asynchronous", switchover: "postgres-2" });
  await record.write({ switchover: "" });
  expect(readFileSync(file, "utf8")).toMatch(
    /^\{\n {2}"primary": "postgres-1",\n {2}"mode": "asynchronous",\n {2}"since": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"\n\}\n$/,
  );
  writeFileSync(file, "{");
  expect(() => record.read()).toThrow(/cannot be read .* postgres-cluster adopt NODE$/);
});
