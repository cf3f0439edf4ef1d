// Compares many stacks on all cores, each in a thread that holds one stack's graphs at a time.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { Comparison } from "./comparison.ts";
import type { Answer, Task } from "./worker.ts";
import { UserError } from "../validation/user-error.ts";

/** Tasks that wait in a thread: enough to keep it busy while this one reads files. */
const WAITING = 4;
/** Beyond this, memory grows (about 200 MB a thread) and time hardly shrinks. */
const MOST_THREADS = 4;

/** Where compiled code is kept: in this repository, where only its owner writes. */
export const COMPILED = join(import.meta.dirname, "../node_modules/.cache/compiled");

/** Threads that evaluate two versions of a repository. Must be closed, or the process does not end. */
export class Pool {
  readonly #root: string;
  readonly #workers: Worker[] = [];

  /** The first thread loads the SDK and the work tree's program while nobody knows yet what there is to compare. */
  constructor(root: string) {
    this.#root = root;
    this.#start();
  }

  #start(): void {
    const worker = new Worker(new URL("worker.ts", import.meta.url), {
      workerData: { root: this.#root },
      // Nothing of ours but this: loading the SDK and the program is most of a small plan's time.
      env: { NODE_COMPILE_CACHE: COMPILED },
      // What the evaluated code prints must not mix with the plan.
      stdout: true,
      // One stack's promises die young together: a nursery that holds them saves half of the collector's work.
      resourceLimits: { maxYoungGenerationSizeMb: 192, maxOldGenerationSizeMb: 1024 },
    });
    worker.stdout.pipe(process.stderr);
    this.#workers.push(worker);
  }

  /** Hands every comparison to `take`, in the order in which they are done. Rejects with the first failure. */
  async compare(
    tasks: readonly Task[],
    take: (comparison: Comparison, stack: string) => void,
  ): Promise<void> {
    const waiting = [...tasks];
    const size = Math.min(tasks.length, availableParallelism(), MOST_THREADS);
    while (this.#workers.length < size) this.#start();
    await Promise.all(this.#workers.map((worker) => work(worker, waiting, take)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function work(
  worker: Worker,
  waiting: Task[],
  take: (comparison: Comparison, stack: string) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let open = 0;
    const next = () => {
      while (open < WAITING) {
        const task = waiting.shift();
        if (!task) break;
        open += 1;
        worker.postMessage(task);
      }
      if (open === 0) resolve();
    };
    worker.on("message", (answer: Answer) => {
      open -= 1;
      if ("failure" in answer) reject(new UserError(answer.failure));
      else take(answer.comparison, answer.stack);
      next();
    });
    worker.on("error", reject);
    worker.on("exit", (code) => reject(new Error(`a thread of the plan ended with status ${code}`)));
    next();
  });
}
