// Compares many stacks on all cores, each in a thread that holds one stack's graphs at a time.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Comparison } from "./comparison.ts";
import { PlanError } from "./trees.ts";
import type { Answer, Task } from "./worker.ts";

/** Tasks that wait in a thread: enough to keep it busy while this one reads files. */
const WAITING = 4;
/** Beyond this, memory grows (about 200 MB a thread) and time hardly shrinks. */
const MOST_THREADS = 4;

/** Hands every comparison to `take`, in the order in which they are done. Rejects with the first failure. */
export async function compareStacks(
  tasks: readonly Task[],
  take: (stack: string, comparison: Comparison) => void,
): Promise<void> {
  const waiting = [...tasks];
  const size = Math.min(tasks.length, availableParallelism(), MOST_THREADS);
  const workers = Array.from({ length: size }, startWorker);
  try {
    await Promise.all(workers.map((worker) => work(worker, waiting, take)));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function startWorker(): Worker {
  const worker = new Worker(new URL("worker.ts", import.meta.url), {
    env: {},
    // What the evaluated code prints must not mix with the plan.
    stdout: true,
    // One stack's promises die young together: a nursery that holds them saves half of the collector's work.
    resourceLimits: { maxYoungGenerationSizeMb: 96, maxOldGenerationSizeMb: 1024 },
  });
  worker.stdout.pipe(process.stderr);
  return worker;
}

function work(
  worker: Worker,
  waiting: Task[],
  take: (stack: string, comparison: Comparison) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let open = 0;
    const next = () => {
      for (
        let task = open < WAITING ? waiting.shift() : undefined;
        task;
        task = open < WAITING ? waiting.shift() : undefined
      ) {
        open += 1;
        worker.postMessage(task);
      }
      if (open === 0) resolve();
    };
    worker.on("message", (answer: Answer) => {
      open -= 1;
      if ("failure" in answer) reject(new PlanError(answer.failure));
      else take(answer.stack, answer.comparison);
      next();
    });
    worker.on("error", reject);
    worker.on("exit", (code) => reject(new Error(`a thread of the plan ended with status ${code}`)));
    next();
  });
}
