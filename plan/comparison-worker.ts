// Compares both versions of a stack in a thread of the pool and answers with the differences, so that no graph outlives
// its comparison.
import { evaluate, serve, type Version } from "../evaluate/thread.ts";
import type { Answer } from "../evaluate/worker-pool.ts";
import { compare, type Comparison } from "./comparison.ts";

/** One stack to compare. A version that has no such stack is absent. */
export interface Task {
  stack: string;
  base?: Version;
  head?: Version;
}

async function answer({ stack, base, head }: Task): Promise<Answer<Comparison>> {
  const before = base && (await evaluate(stack, base));
  if (before && "failure" in before)
    return {
      stack,
      failure: `${stack} cannot be evaluated as it is in the base: ${before.failure}\nCompare with a version that works: npm run plan -- --base REF`,
    };
  const after = head && (await evaluate(stack, head));
  if (after && "failure" in after)
    return { stack, failure: `${stack} cannot be evaluated: ${after.failure}` };
  return { stack, result: compare(stack, before?.graph, after?.graph) };
}

serve(answer);
