// What ops-1 does by itself, every few seconds. It never moves the primary: it starts the recorded one, stops another
// node that takes writes, and lets commits continue when the standby is lost.
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { makeAsynchronous, makeSynchronous, otherThan, type Cluster } from "./cluster.ts";

/** A standby that only restarts has this time to come back. */
const PATIENCE_SECONDS = 5;

/**
 * Probes the nodes once.
 * @param missing The file that says since when the standby has been missing.
 */
export async function probe(cluster: Cluster, missing: string): Promise<void> {
  const { nodes, record, warn } = cluster;
  const { primary, mode, switchover, failover } = record.read();
  if (primary === undefined || switchover !== undefined || failover !== undefined) return;
  const standby = otherThan(cluster, primary);
  if (standby !== undefined) {
    const { running, recovery } = await nodes.status(standby);
    if (running && recovery === false) {
      warn(
        `${standby} takes writes although ${primary} is the primary: it is stopped now. Then: postgres-cluster rebuild ${standby}`,
      );
      await nodes.must(standby, ["fence"]);
    }
  }
  const state = await nodes.status(primary);
  if (!state.reachable) return;
  if (!state.running) {
    if (state.data === "primary" && state.fenced === false) await nodes.must(primary, ["start"]);
    return;
  }
  if (standby === undefined) return;
  if (state.standby) {
    rmSync(missing, { force: true });
    if (mode !== "synchronous" || state.synchronous === false) await makeSynchronous(cluster, primary);
  } else if (mode === "synchronous" || state.synchronous) {
    if (!existsSync(missing)) writeFileSync(missing, "");
    if (Date.now() - statSync(missing).mtimeMs >= PATIENCE_SECONDS * 1000) {
      warn(`${standby} does not follow ${primary}: commits no longer wait for it`);
      await makeAsynchronous(cluster, primary);
      rmSync(missing, { force: true });
    }
  }
}
