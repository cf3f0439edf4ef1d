// How MinIO lays out the declared pools: erasure sets, usable bytes, tolerated losses.
import type { Pool, Storage } from "./environment.ts";

/** A pool as MinIO lays it out. */
export interface PoolLayout {
  sets: number;
  setSize: number;
  rawBytes: number;
  usableBytes: number;
  /** Nodes that may be down at the same time while everything can still be read and written. */
  nodesToLose: number;
}

/**
 * Computes the layout of a pool. Five nodes × four 16 TB drives with EC:4 give two sets of 10 and 192 TB of 320; two
 * nodes may be lost.
 */
export function poolLayout({ nodes, drivesPerNode, driveTerabytes }: Pool, parity: number): PoolLayout {
  const drives = nodes * drivesPerNode;
  const setSize = erasureSetSize(nodes, drivesPerNode);
  const rawBytes = drives * driveTerabytes * 1e12;
  // If parity is half of a set, a write needs one drive more than half.
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
 * Drives of an erasure set: the largest divisor of the pool's drives, from 16 down to 2, that spreads evenly over the
 * nodes (over the drives if there is only one node), as in MinIO's cmd/endpoint-ellipses.go. 1 if there is none.
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
