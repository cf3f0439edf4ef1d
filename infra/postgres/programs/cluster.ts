// What postgres-cluster knows while it runs: the nodes, the record, and how to say things.
import type { Surroundings } from "../../machine/programs/program.ts";
import { ProgramError } from "../../machine/programs/program-error.ts";
import type { ClusterRecord } from "./cluster-record.ts";
import type { Node, Nodes, NodeStatus } from "./nodes.ts";

export interface Cluster extends Surroundings {
  /** In order: the first one is the primary of an empty platform. */
  readonly names: readonly Node[];
  readonly nodes: Nodes;
  readonly record: ClusterRecord;
  /** Of this machine, for messages. */
  readonly host: string;
}

/** The error that ends the program: what is wrong, and what to do next. */
export const refusal = ({ host }: Cluster, what: string) => new ProgramError(host, what);

/** The other node, if there is one. */
export const otherThan = ({ names }: Cluster, node: string | undefined): Node | undefined =>
  names.find((name) => name !== node);

export const isPrimaryWithStandby = (status: NodeStatus): boolean =>
  status.running && status.recovery === false && Boolean(status.standby);

export const isSynchronous = (status: NodeStatus): boolean => status.standby?.sync === "sync";

/** Looks at a node until it is as it should be. Resolves to whether it was, in that time. */
async function waitFor(
  { nodes, sleep }: Cluster,
  node: Node,
  isSo: (status: NodeStatus) => boolean,
  seconds: number,
): Promise<boolean> {
  for (const end = performance.now() + seconds * 1000; ; await sleep(0.5)) {
    if (isSo(await nodes.status(node))) return true;
    if (performance.now() >= end) return false;
  }
}

/**
 * Commits wait for the standby again. Recorded only once it is true: a failover in recorded mode `synchronous` loses
 * nothing.
 */
export async function makeSynchronous(cluster: Cluster, primary: Node): Promise<void> {
  await cluster.nodes.must(primary, ["synchronous", "on"]);
  if (await waitFor(cluster, primary, isSynchronous, 15)) await cluster.record.write({ mode: "synchronous" });
}

/** Commits no longer wait. Recorded before it is true. */
export async function makeAsynchronous(cluster: Cluster, primary: Node): Promise<void> {
  await cluster.record.write({ mode: "asynchronous" });
  await cluster.nodes.must(primary, ["synchronous", "off"]);
}

/** The node becomes a standby of the primary. Each step may be made again. */
export async function rebuild(cluster: Cluster, node: string): Promise<void> {
  const { nodes, record, names } = cluster;
  const { primary } = record.read();
  if (primary === undefined) throw refusal(cluster, "no primary is remembered; run up");
  if (node === primary)
    throw refusal(cluster, `${node} is the primary. To make it a standby: postgres-cluster switchover`);
  if (!names.includes(node)) throw refusal(cluster, `${node} is not a node; write one of ${names.join(" ")}`);
  await nodes.must(primary, ["slot"]);
  await nodes.must(node, ["follow"]);
  await makeSynchronous(cluster, primary);
  if (record.read().rebuild === node) await record.write({ rebuild: "" });
}
