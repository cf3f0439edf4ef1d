// Moving the writes from one node to the other. Each step may be the last one of a killed run: the record says which
// move has begun, and the same verb goes on with it.
import { AlreadySaid, ProgramError } from "../../machine/programs/program-error.ts";
import { isPrimaryWithStandby, otherThan, rebuild, refusal, type Cluster } from "./cluster.ts";
import type { Node } from "./nodes.ts";

/** The standby becomes the primary, and the primary its standby. */
export async function switchover(cluster: Cluster, words: readonly string[]): Promise<void> {
  const { nodes, record } = cluster;
  const standbyIsOff = takeFlags(cluster, "switchover", ["--standby-is-off"], words).has("--standby-is-off");
  if (await finishMove(cluster)) return;
  const { from, to } = bothNodes(cluster);
  const before = record.read();
  const begun = before.switchover === to;
  if (!begun) {
    if (before.failover !== undefined)
      throw refusal(cluster, `a failover to ${to} was interrupted. Finish it: postgres-cluster failover`);
    if (!isPrimaryWithStandby(await nodes.status(from)))
      throw refusal(
        cluster,
        `${from} is not a primary with a streaming standby. \`postgres-cluster status\` shows the details; if ${from} is dead: postgres-cluster failover`,
      );
    await record.write({ switchover: to });
  }
  // The primary stops after the standby has confirmed everything.
  const end = await nodes.read(from, ["demote"]);
  const target = await nodes.status(to);
  // Only a promotion makes a standby a primary: a run that was killed has done it.
  if (target.data !== "primary" && !(await nodes.can(to, ["received", end]))) {
    // None has if commits still waited for it: see takeOver.
    const mayHavePromoted = begun && before.mode !== "synchronous" && !target.reachable;
    if (mayHavePromoted && !standbyIsOff)
      throw refusal(
        cluster,
        `${to} does not answer, and may take the writes already; ${from} stays down until that is known. Bring ${to} back, and run this again. If it is lost, make sure that it is off; then add --standby-is-off: ${from} is the primary again.`,
      );
    await nodes.must(from, ["undo_demote"]);
    await record.write({ switchover: "" });
    throw refusal(cluster, `${from} is the primary again.`);
  }
  await takeOver(cluster, { to, behind: from });
  try {
    await rebuild(cluster, from);
  } catch (error) {
    tell(cluster, error);
    throw refusal(
      cluster,
      `${to} is the primary, but ${from} does not follow it. Once that is fixed: postgres-cluster rebuild ${from}`,
    );
  }
  advise(cluster, to);
}

/** The standby becomes the primary without the primary's help. */
export async function failover(cluster: Cluster, words: readonly string[]): Promise<void> {
  const { nodes, record } = cluster;
  const flags = takeFlags(cluster, "failover", ["--primary-is-off", "--accept-loss"], words);
  const primary = record.read().primary;
  if (primary !== undefined && record.read().rebuild !== undefined && (await takesWrites(cluster, primary)))
    if (await finishMove(cluster)) return;
  const { from, to } = bothNodes(cluster);
  const old = await nodes.status(from);
  const { failover: begun, mode, since } = record.read();
  if (begun !== to) {
    const state = await nodes.status(to);
    if (state.data !== "standby" || state.fenced !== false)
      throw refusal(
        cluster,
        `${old.running && old.recovery === false ? `${from} takes the writes, and ` : ""}${to} is not a usable standby: ${JSON.stringify(state)}`,
      );
    if (isPrimaryWithStandby(old))
      throw refusal(
        cluster,
        `${from} runs and ${to} follows it: postgres-cluster switchover does it without a loss`,
      );
    if (mode !== "synchronous" && !flags.has("--accept-loss"))
      throw refusal(
        cluster,
        `since ${since} commits do not wait for ${to}: what ${from} wrote since ${to} stopped following would be lost. If ${from} can come back, repair it; if not, add --accept-loss.`,
      );
  }
  // The old primary stops, and starts again only as a standby.
  const answers = await fenced(cluster, from);
  if (!answers && !flags.has("--primary-is-off"))
    throw refusal(
      cluster,
      `${from} does not answer, so it can't be stopped from here. Power it off at the cloud (hcloud server poweroff ${from}), or make sure that it is off; then add --primary-is-off.`,
    );
  await record.write({ failover: to, switchover: "" });
  await takeOver(cluster, { to, behind: answers ? from : "" });
  if (answers) {
    try {
      await rebuild(cluster, from);
    } catch (error) {
      tell(cluster, error);
      cluster.say(`${from} does not follow yet. Once it is fixed: postgres-cluster rebuild ${from}`);
    }
  } else {
    cluster.say(
      `${from} does not answer. When it is back, or replaced by \`up\`: postgres-cluster rebuild ${from} (up also does it).`,
    );
  }
  advise(cluster, to);
}

/**
 * Stops the old primary for good. Resolves to false if its machine does not answer. Throws ProgramError if it answers and
 * cannot be stopped, whatever people say: nobody else may take the writes then.
 */
async function fenced(cluster: Cluster, node: Node): Promise<boolean> {
  // Twice: a machine may go, or come back, between the look and the command.
  for (let attempt = 0; attempt < 2; attempt += 1) {
    if (!(await cluster.nodes.status(node)).reachable) continue;
    if (await cluster.nodes.can(node, ["fence"])) return true;
  }
  if (!(await cluster.nodes.status(node)).reachable) return false;
  throw refusal(
    cluster,
    `${node} answers, so it is not off, but it could not be stopped. Power it off at the cloud (hcloud server poweroff ${node}); then run this again with --primary-is-off.`,
  );
}

/** Makes `to` the primary. After this there is no way back. `behind` has to follow it then, if it is not empty. */
async function takeOver(cluster: Cluster, { to, behind }: { to: Node; behind: string }): Promise<void> {
  const { nodes, record } = cluster;
  await record.write({ mode: "asynchronous" });
  // It lost power after it was promoted, and waits for ops-1's word.
  const { data, running } = await nodes.status(to);
  if (data === "primary" && !running) await nodes.must(to, ["start"]);
  if (!(await nodes.can(to, ["promote"])))
    throw refusal(cluster, `${to} was not promoted. Fix what it says, then run this again.`);
  await record.write({ primary: to, switchover: "", failover: "", rebuild: behind });
  cluster.say(`${to} takes the writes now.`);
}

/**
 * Goes on with a move that was cut off after the other node had taken over: only its rebuild is left. Otherwise the same
 * verb, typed again, would move the writes back. Resolves to whether there was one.
 */
async function finishMove(cluster: Cluster): Promise<boolean> {
  const { primary, rebuild: behind } = cluster.record.read();
  if (primary === undefined || behind === undefined || behind === primary) return false;
  await rebuild(cluster, behind);
  cluster.say(
    `An earlier move was cut off, and is finished now: ${primary} takes the writes, and ${behind} follows it.`,
  );
  advise(cluster, primary);
  return true;
}

async function takesWrites({ nodes }: Cluster, node: Node): Promise<boolean> {
  const { running, recovery } = await nodes.status(node);
  return running && recovery === false;
}

function bothNodes(cluster: Cluster): { from: Node; to: Node } {
  const from = cluster.record.read().primary;
  const to = otherThan(cluster, from);
  if (from === undefined || to === undefined)
    throw refusal(cluster, "needs two nodes and a primary; postgres-cluster status");
  return { from, to };
}

function takeFlags(
  cluster: Cluster,
  verb: string,
  known: readonly string[],
  words: readonly string[],
): Set<string> {
  const unknown = words.find((word) => !known.includes(word));
  if (unknown !== undefined) throw refusal(cluster, `${verb} knows ${known.join(" and ")}, not ${unknown}`);
  return new Set(words);
}

/** Why a rebuild failed. What its node said is there already; anything else goes on. */
function tell(cluster: Cluster, error: unknown): void {
  if (error instanceof ProgramError) cluster.warn(error.line);
  else if (!(error instanceof AlreadySaid)) throw error;
}

function advise({ say }: Cluster, primary: Node): void {
  say(
    `Write \`framaspace:postgresPrimary: ${primary}\` in the environment's configuration: Pulumi's provider connects to one node only.`,
  );
}
