// The threads that compare stacks.
import { Pool } from "../evaluate/worker-pool.ts";
import type { Comparison } from "./comparison.ts";
import type { Task } from "./comparison-worker.ts";

export type ComparisonPool = Pool<Task, Comparison>;

/** Starts them, for a plan of the work tree in a folder. */
export function startPool(root: string): ComparisonPool {
  return new Pool(root, new URL("comparison-worker.ts", import.meta.url));
}
