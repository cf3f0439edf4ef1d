// postgres-cluster VERB, on ops-1: decides which PostgreSQL node takes the writes. It records the primary outside both
// nodes, so that neither comes back as a second primary, in whatever order the machines return. postgres-node does the
// work on a node. docs/decisions/0012-postgres-failover.md gives the reasons.
//
//   status                 prints both nodes and the record, as JSON
//   switchover [--standby-is-off]
//                          the standby becomes the primary and the primary its standby: for maintenance
//   failover [--primary-is-off] [--accept-loss]
//                          the standby becomes the primary without the primary's help
//   former                 prints the node that does not take the writes
//   rebuild NODE           NODE becomes a standby of the primary again
//   restore [TIME]         fills an empty platform from the backups
//   adopt NODE             records NODE as the primary, when ops-1 is new and a node is lost
//   reconcile              creates what is missing; `up` runs it. Reads two passwords from standard input
//   watch                  what postgres-watch.service runs
import { closeSync, existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { setTimeout as wait } from "node:timers/promises";
import { lock } from "../../machine/programs/lock-file.ts";
import { sayError, SURROUNDINGS, type Result } from "../../machine/programs/program.ts";
import { otherThan, rebuild, refusal, type Cluster } from "./cluster.ts";
import { recordIn } from "./cluster-record.ts";
import { adopt, backupsBy, reconcileCluster, restoreCluster } from "./first-primary.ts";
import { failover, switchover } from "./moves.ts";
import { nodesBySsh } from "./nodes.ts";
import { probe } from "./standby-watch.ts";

const DONE: Result = { output: "", status: 0 };
/** Descriptor of the lock in the commands. */
const LOCK = 9;

/**
 * @param root The folder in the machine's place; on the machine "".
 * @param input What `reconcile` reads.
 */
export async function postgresCluster(
  root: string,
  [verb = "status", ...words]: readonly string[],
  input: Readable = process.stdin,
): Promise<Result> {
  const cluster = clusterOf(root);
  switch (verb) {
    case "status":
      return { output: `${JSON.stringify(await statusOf(cluster), null, 2)}\n`, status: 0 };
    case "former": {
      const former = otherThan(cluster, cluster.record.read().primary);
      return { output: former === undefined ? "" : `${former}\n`, status: 0 };
    }
    case "watch":
      return watch(root);
    default:
  }
  const act = VERBS[verb];
  if (!act)
    throw refusal(
      cluster,
      `there is no "${verb}"; write one of status, switchover, failover, rebuild, adopt, restore`,
    );
  const file = lockOf(root);
  const descriptor = await lock(file, 900);
  if (descriptor === undefined)
    throw refusal(
      cluster,
      `another postgres-cluster has been running for a quarter of an hour: fuser -v ${file}`,
    );
  await act(clusterOf(root, descriptor), words, { root, input });
  return DONE;
}

type Verb = (
  cluster: Cluster,
  words: readonly string[],
  how: { root: string; input: Readable },
) => Promise<void>;
const VERBS: Readonly<Record<string, Verb>> = {
  switchover,
  failover,
  rebuild: (cluster, [node = ""]) => rebuild(cluster, node),
  reconcile: async (cluster, _words, { root, input }) =>
    reconcileCluster(
      cluster,
      await text(input),
      backupsBy(`${root}/usr/local/sbin/postgres-backups`, existsSync),
    ),
  adopt: (cluster, [node]) => adopt(cluster, node),
  restore: restoreCluster,
};

function clusterOf(root: string, lockedAs?: number): Cluster {
  const folder = `${root}/etc/framaspace/postgres`;
  return {
    names: readFileSync(`${folder}/nodes`, "utf8").split("\n").filter(Boolean),
    nodes: nodesBySsh(`${folder}/ssh_config`, lockedAs === undefined ? {} : { [LOCK]: lockedAs }),
    record: recordIn(`${root}/var/lib/framaspace/postgres.json`),
    host: hostname(),
    ...SURROUNDINGS,
  };
}

const lockOf = (root: string) => `${root}/run/framaspace/postgres-cluster.lock`;

async function statusOf({ names, nodes, record }: Cluster) {
  return { record: record.read(), nodes: await Promise.all(names.map((name) => nodes.status(name))) };
}

/** Never ends: what fails is tried again. */
async function watch(root: string): Promise<Result> {
  for (; ; await wait(3000)) {
    const descriptor = await lock(lockOf(root), 0);
    if (descriptor === undefined) continue;
    try {
      await probe(clusterOf(root, descriptor), `${root}/run/framaspace/postgres-standby-missing`);
    } catch (error) {
      sayError(error);
    }
    closeSync(descriptor);
  }
}
