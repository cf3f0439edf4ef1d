// Two PostgreSQL nodes and what ops-1 remembers, in memory: the states that infra/postgres/rootfs/usr/local/sbin/
// postgres-node goes through, and clients that write all the time.
import { AlreadySaid } from "../../infra/machine/programs/program-error.ts";
import type { Cluster } from "../../infra/postgres/programs/cluster.ts";
import type { RecordedCluster } from "../../infra/postgres/programs/cluster-record.ts";
import type { Nodes, NodeStatus, Words } from "../../infra/postgres/programs/nodes.ts";

/** The program was killed. */
export class Killed extends Error {}

export class FakeNode {
  data: "none" | "primary" | "standby" = "none";
  fenced = false;
  running = false;
  synchronous = false;
  timeline = 1;
  /** What was written, in order. */
  wal: number[] = [];
  /** Whether ops-1 and the other node reach it. */
  reachable = true;
  /** Whether the machine has power. */
  on = true;
  /** Verbs that fail here. */
  broken = new Set<string>();
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  get takesWrites(): boolean {
    return this.on && this.running && this.data === "primary";
  }
}

/** Where a program is killed: before its step, so that it is not made, or after it. */
export interface Kill {
  step: number;
  when: "before" | "after";
}

export class FakeCluster {
  readonly a = new FakeNode("postgres-1");
  readonly b = new FakeNode("postgres-2");
  recorded: RecordedCluster = {};
  readonly said: string[] = [];
  /** Writes that a client was told are there. */
  readonly confirmed: number[] = [];
  /** What each step of the run was. */
  steps: string[] = [];
  #kill: Kill | undefined;
  #writes = 0;

  /** The first node takes the writes, and the second follows it. */
  static inStep(mode: "synchronous" | "asynchronous" = "synchronous"): FakeCluster {
    const cluster = new FakeCluster();
    Object.assign(cluster.a, { data: "primary", running: true, synchronous: mode === "synchronous" });
    Object.assign(cluster.b, { data: "standby", running: true });
    cluster.recorded = { primary: "postgres-1", mode, since: "2026-11-24T14:00:00Z" };
    return cluster;
  }

  /** A program that runs: its steps are the commands to nodes that change something, and what it records. */
  program(kill?: Kill): Cluster {
    this.#kill = kill;
    this.steps = [];
    return {
      names: ["postgres-1", "postgres-2"],
      nodes: this.#nodes(),
      record: {
        read: () => ({ ...this.recorded }),
        write: (values) =>
          this.#step(`record ${JSON.stringify(values)}`, () => {
            const entries = Object.entries({ ...this.recorded, ...values }).filter(([, value]) => value);
            this.recorded = Object.fromEntries(entries);
          }),
      },
      host: "ops-1",
      say: (line) => this.said.push(line),
      warn: (line) => this.said.push(line),
      // Fifteen seconds pass at once.
      sleep: async () => {
        throw new Error("the program waits for what does not come");
      },
    };
  }

  async #step<Answer>(what: string, act: () => Answer): Promise<Answer> {
    this.steps.push(what);
    const { step, when } = this.#kill ?? {};
    if (step === this.steps.length && when === "before") throw new Killed(what);
    const answer = act();
    this.look();
    if (step === this.steps.length && when === "after") throw new Killed(what);
    return answer;
  }

  /** Clients write wherever they can. There must be only one such place. */
  look(): void {
    const takers = [this.a, this.b].filter((node) => node.takesWrites);
    if (takers.length > 1) throw new Error(`two nodes take writes after ${this.steps.at(-1)}`);
    for (const node of takers) this.#write(node);
  }

  #write(node: FakeNode): void {
    const write = (this.#writes += 1);
    const peer = this.peerOf(node);
    node.wal.push(write);
    if (this.streams(peer)) peer.wal.push(write);
    else if (node.synchronous) return;
    this.confirmed.push(write);
  }

  /** Confirmed writes that a node does not have. */
  lostOn(node: FakeNode): number[] {
    return this.confirmed.filter((write) => !node.wal.includes(write));
  }

  peerOf = (node: FakeNode): FakeNode => (node === this.a ? this.b : this.a);

  /** Whether a node follows the other one. */
  streams(node: FakeNode): boolean {
    const peer = this.peerOf(node);
    const together = node.on && peer.on && node.reachable && peer.reachable;
    const isOlder =
      node.wal.length <= peer.wal.length && node.wal.every((write, at) => peer.wal[at] === write);
    return (
      together &&
      node.running &&
      node.data === "standby" &&
      peer.takesWrites &&
      node.timeline === peer.timeline &&
      (isOlder || node.wal.length === peer.wal.length - 1)
    );
  }

  /** systemd starts PostgreSQL, as after a boot. */
  boot(node: FakeNode): void {
    node.on = true;
    node.running = false;
    if (!node.fenced && node.data !== "none" && this.#guard(node, false)) this.#run(node);
    this.look();
  }

  halt(node: FakeNode): void {
    node.on = false;
    node.running = false;
  }

  /** postgres-node guard: whether the node may start. */
  #guard(node: FakeNode, permitted: boolean): boolean {
    if (node.data === "standby") return true;
    const peer = this.peerOf(node);
    if (!peer.on || !peer.reachable || !node.reachable || !peer.running) return permitted;
    if (peer.takesWrites || peer.timeline > node.timeline) {
      node.fenced = true;
      return false;
    }
    return true;
  }

  #run(node: FakeNode): void {
    node.running = true;
    this.#catchUp(node);
    this.#catchUp(this.peerOf(node));
  }

  /** A standby fetches what it missed, if it does not hold anything else. */
  #catchUp(node: FakeNode): void {
    const peer = this.peerOf(node);
    if (node.data !== "standby" || !node.running || !peer.takesWrites || node.timeline !== peer.timeline)
      return;
    if (node.wal.every((write, at) => peer.wal[at] === write)) node.wal = [...peer.wal];
  }

  #nodes(): Nodes {
    const find = (name: string) => (name === "postgres-1" ? this.a : this.b);
    const answer = (name: string, words: Words) =>
      this.#step(`${name} ${words.join(" ")}`, () => {
        const node = find(name);
        if (!node.on || !node.reachable) return 255;
        return !node.broken.has(words[0]) && this.#does(node, words) ? 0 : 1;
      });
    const must = async (name: string, words: Words) => {
      const status = await answer(name, words);
      if (status !== 0) throw new AlreadySaid(`${name} ${words.join(" ")}`, status);
    };
    return {
      status: async (name) => this.statusOf(find(name)),
      can: async (name, words) => (await answer(name, words)) === 0,
      must,
      read: async (name, words) => {
        await must(name, words);
        return String(find(name).wal.length);
      },
    };
  }

  statusOf(node: FakeNode): NodeStatus {
    const { name, data, running, fenced, timeline, synchronous } = node;
    if (!node.on || !node.reachable)
      return { node: name, reachable: false, why: "no route to host", running: false, data: "unknown" };
    const peer = this.peerOf(node);
    const standby = this.streams(peer) ? { sync: synchronous ? "sync" : "async" } : null;
    return {
      node: name,
      reachable: true,
      data,
      running,
      fenced,
      timeline,
      systemId: "7",
      ...(running && { recovery: data === "standby", standby, synchronous }),
    };
  }

  #does(node: FakeNode, [verb, word]: Words): boolean {
    const peer = this.peerOf(node);
    const seesPeer = peer.on && peer.reachable;
    switch (verb) {
      case "start":
        if (node.data === "none" || node.fenced) return false;
        if (!node.running && this.#guard(node, true)) this.#run(node);
        return node.running;
      case "fence":
        Object.assign(node, { fenced: true, running: false });
        return true;
      case "demote":
        Object.assign(node, { fenced: true, running: false, data: "standby" });
        return true;
      case "undo_demote":
        if (seesPeer && peer.takesWrites) return false;
        Object.assign(node, { fenced: false, data: "primary" });
        return this.#does(node, ["start"]);
      case "received":
        return node.running && node.data === "standby" && node.wal.length >= Number(word);
      case "promote":
        if (node.takesWrites) return true;
        if (node.data !== "standby") return false;
        Object.assign(node, { synchronous: false, running: true, data: "primary" });
        node.timeline += 1;
        return true;
      case "follow":
        if (!seesPeer || !peer.takesWrites || node.timeline > peer.timeline) return false;
        Object.assign(node, { data: "standby", running: true, fenced: false, synchronous: false });
        Object.assign(node, { wal: [...peer.wal], timeline: peer.timeline });
        return true;
      case "synchronous":
        node.synchronous = word === "on";
        return true;
      case "init":
        if (node.data === "none") node.data = "primary";
        return true;
      case "restore":
        if (node.data !== "none") return false;
        node.data = "primary";
        return true;
      case "roles":
      case "slot":
      case "stanza":
        return node.takesWrites;
      default:
        throw new Error(`postgres-node has no ${verb}`);
    }
  }
}
