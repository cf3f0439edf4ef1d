// What MinIO makes of the declared pools: erasure sets, usable bytes, what may be lost.
import type { Pool, Storage } from "./environment.ts";

/** A pool as MinIO lays it out. */
export interface PoolLayout {
  sets: number;
  setSize: number;
  rawBytes: number;
  usableBytes: number;
  /** Nodes that may be down at once while everything is read and written. */
  nodesToLose: number;
}

/** What MinIO makes of a pool. Five nodes × four 16 TB drives with EC:4: two sets of 10, 192 TB of 320, two nodes to lose. */
export function poolLayout({ nodes, drivesPerNode, driveTerabytes }: Pool, parity: number): PoolLayout {
  const drives = nodes * drivesPerNode;
  const setSize = erasureSetSize(nodes, drivesPerNode);
  const rawBytes = drives * driveTerabytes * 1e12;
  // A write takes one drive more than half of a set whose halves are data and parity.
  const drivesToLose = parity * 2 === setSize ? parity - 1 : parity;
  return {
    sets: drives / setSize,
    setSize,
    rawBytes,
    usableBytes: rawBytes * (1 - parity / setSize),
    nodesToLose: Math.floor(drivesToLose / Math.ceil(setSize / nodes)),
  };
}

/**
 * Drives of an erasure set: the largest divisor of the pool, from 16 down to 2, that spreads evenly over the nodes (over
 * the drives where there is but one node), as cmd/endpoint-ellipses.go of MinIO has it. 1 where there is none.
 */
function erasureSetSize(nodes: number, drivesPerNode: number): number {
  const even = nodes > 1 ? nodes : drivesPerNode;
  for (let size = 16; size > 1; size--)
    if ((nodes * drivesPerNode) % size === 0 && (size % even === 0 || even % size === 0)) return size;
  return 1;
}

/** Usable bytes of one site. */
export function usableBytes({ pools, parity }: Storage): number {
  return pools.reduce((sum, one) => sum + poolLayout(one, parity).usableBytes, 0);
}

/** A site's pools in words: `5 × 4 drives of 16 TB: 320 TB raw, 2 sets of 10 with EC:4, survives 2 nodes`. */
export function describePools({ pools, parity }: Storage): string[] {
  return pools.map((one) => {
    const { rawBytes, sets, setSize, nodesToLose } = poolLayout(one, parity);
    const { nodes, drivesPerNode, driveTerabytes } = one;
    const raw = Number((rawBytes / 1e12).toPrecision(3));
    return `${nodes} × ${drivesPerNode} drives of ${driveTerabytes} TB: ${raw} TB raw, ${sets === 1 ? "1 set" : `${sets} sets`} of ${setSize} with EC:${parity}, survives ${nodesToLose} nodes`;
  });
}
