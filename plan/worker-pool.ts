// Compares many stacks on all cores. Each thread holds the graphs of one stack at a time.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { Comparison } from "./comparison.ts";
import type { Answer, Task } from "./worker.ts";
import { UserError } from "../validation/user-error.ts";

/** Tasks that wait in a thread. They keep it busy while the main thread reads files. */
const WAITING = 4;
/** With more threads, memory grows (about 200 MB per thread) and the time hardly shrinks. */
const MOST_THREADS = 4;

/** The folder of compiled code: in this repository, where only its owner writes. */
export const COMPILED = join(import.meta.dirname, "../node_modules/.cache/compiled");

/** Threads that evaluate two versions of a repository. The pool must be closed, or the process does not end. */
export class Pool {
  readonly #root: string;
  readonly #workers: Worker[] = [];

  /**
   * Starts the first thread at once: it loads the SDK and the program of the work tree while the main thread finds out
   * what to compare.
   */
  constructor(root: string) {
    this.#root = root;
    this.#start();
  }

  #start(): void {
    const worker = new Worker(new URL("worker.ts", import.meta.url), {
      workerData: { root: this.#root },
      // No other variable of this process. The cache is worth it: loading the SDK and the program takes most of the
      // time of a small plan.
      env: { NODE_COMPILE_CACHE: COMPILED },
      // The output of the evaluated code must not mix with the plan.
      stdout: true,
      // All promises of one stack become garbage together. A young generation that holds them all saves half of the
      // garbage collector's work.
      resourceLimits: { maxYoungGenerationSizeMb: 192, maxOldGenerationSizeMb: 1024 },
    });
    worker.stdout.pipe(process.stderr);
    this.#workers.push(worker);
  }

  /** Hands every comparison to `take`, in the order in which they finish. Rejects with the first failure. */
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
