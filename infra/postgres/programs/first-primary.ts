// Who takes the writes on a platform that is new, or whose ops-1 is: what `up`, a restore and an administrator say.
import { succeeds } from "../../machine/programs/run-command.ts";
import { isSynchronous, makeSynchronous, otherThan, refusal, type Cluster } from "./cluster.ts";
import type { Node, NodeStatus } from "./nodes.ts";

/** Whether backups of this platform may exist; without object storage there are none. */
export type HasBackups = () => Promise<boolean>;

/** @param program Path of postgres-backups. It is absent without object storage. */
export const backupsBy =
  (program: string, isThere: (file: string) => boolean): HasBackups =>
  async () =>
    isThere(program) && !(await succeeds(program, ["none"]));

/**
 * Creates what is missing; `up` runs it once the nodes are installed.
 * @param passwords Two lines: the administrator's, and that of the replication.
 */
export async function reconcileCluster(
  cluster: Cluster,
  passwords: string,
  hasBackups: HasBackups,
): Promise<void> {
  const { nodes, record } = cluster;
  const primary = record.read().primary ?? (await findPrimary(cluster, hasBackups));
  const first = await nodes.status(primary);
  if (!first.reachable)
    throw refusal(
      cluster,
      `${primary}, the primary, does not answer (${first.why}). Run up again. If it is lost for good: postgres-cluster failover`,
    );
  if (first.data === "none")
    throw refusal(
      cluster,
      `${primary}, the primary, holds no data any more. Make the standby the primary (postgres-cluster failover), or restore the backups (docs/runbooks/full-rebuild.md); then run up again.`,
    );
  for (const verb of ["switchover", "failover"] as const) {
    const to = record.read()[verb];
    if (to !== undefined)
      throw refusal(cluster, `a ${verb} to ${to} was interrupted. Finish it: postgres-cluster ${verb}`);
  }
  if (!first.running) await nodes.must(primary, ["start"]);
  await nodes.must(primary, ["roles"], passwords);
  const state = await nodes.status(primary);
  // A node that stops answering just now must not erase the identifier.
  if (state.systemId !== undefined) await record.write({ systemId: state.systemId });
  await nodes.must(primary, ["stanza"]);
  const standby = otherThan(cluster, primary);
  if (standby === undefined) return;
  if (!state.standby) await nodes.must(standby, ["follow"]);
  // A killed run may have made it so, and not recorded it.
  const isRecorded = record.read().mode === "synchronous";
  if (!isRecorded || !isSynchronous(await nodes.status(primary))) await makeSynchronous(cluster, primary);
  if (record.read().rebuild !== undefined) await record.write({ rebuild: "" });
}

/** ops-1 or the whole platform is new. */
async function findPrimary(cluster: Cluster, hasBackups: HasBackups): Promise<Node> {
  const { names, nodes, record } = cluster;
  const states: NodeStatus[] = [];
  for (const name of names) states.push(await nodes.status(name));
  const silent = states.find(({ reachable }) => !reachable);
  if (silent)
    throw refusal(
      cluster,
      `${silent.node} does not answer (${silent.why}), and ops-1 does not know which node is the primary. Fix ${silent.node}. If it is lost, \`postgres-cluster status\` shows whose data is the latest: say it with postgres-cluster adopt NODE`,
    );
  const [first] = names;
  let primary: Node | undefined;
  if (states.every(({ data }) => data === "none")) {
    if (await hasBackups())
      throw refusal(
        cluster,
        "no node holds data, but there are backups of this platform. To restore them, see docs/runbooks/full-rebuild.md. To begin again, move them away.",
      );
    primary = first;
    if (primary !== undefined) await nodes.must(primary, ["init"]);
  } else {
    const candidates = states.filter(({ data, fenced }) => data === "primary" && fenced === false);
    if (candidates.length === 1) primary = candidates[0]?.node;
  }
  if (primary === undefined)
    throw refusal(
      cluster,
      `ops-1 does not know which node is the primary, and the nodes do not say it: ${states.map((state) => JSON.stringify(state)).join("\n")}. Say it: postgres-cluster adopt NODE`,
    );
  await record.write({ primary, mode: "asynchronous" });
  return primary;
}

/** Fills an empty platform from the backups, up to their end or to a moment (UTC). */
export async function restoreCluster(cluster: Cluster, moment: readonly string[]): Promise<void> {
  const { names, nodes, record } = cluster;
  for (const name of names)
    if ((await nodes.status(name)).data !== "none")
      throw refusal(
        cluster,
        `${name} holds data or does not answer. Only an empty platform can be restored as a whole. For one space: restore-space-at`,
      );
  const [primary] = names;
  if (primary === undefined) throw refusal(cluster, "there is no node");
  await nodes.must(primary, ["restore", ...moment]);
  await record.write({ primary, mode: "asynchronous", systemId: "" });
  await nodes.must(primary, ["start"]);
  cluster.say(`${primary} holds the backups' data and takes writes. Now run up.`);
}

/** A person runs it when ops-1 is new and a node is lost. */
export async function adopt(cluster: Cluster, node: string | undefined): Promise<void> {
  const { names, nodes, record } = cluster;
  if (node === undefined || !names.includes(node)) throw refusal(cluster, `write one of ${names.join(" ")}`);
  const known = record.read().primary;
  if (known !== undefined && known !== node)
    throw refusal(cluster, `ops-1 has ${known} as the primary; to change it: postgres-cluster failover`);
  const { data } = await nodes.status(node);
  if (data !== "primary" && data !== "standby")
    throw refusal(cluster, `${node} holds no data or does not answer`);
  if (data === "standby") {
    await record.write({ primary: otherThan(cluster, node) ?? "", mode: "asynchronous" });
    cluster.say(`${node} is a standby. To make it the primary: postgres-cluster failover --accept-loss`);
    return;
  }
  await record.write({ primary: node, mode: "asynchronous" });
  await nodes.must(node, ["start"]);
}
