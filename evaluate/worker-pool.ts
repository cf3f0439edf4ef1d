// Evaluates many stacks on all cores. Each thread holds the graphs of one stack at a time.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { UserError } from "../validation/user-error.ts";

/** What a thread says of one stack: the result, or why there is none. */
export type Answer<Result> = { stack: string } & ({ result: Result } | { failure: string });

/** Tasks that wait in a thread. They keep it busy while the main thread reads files. */
const WAITING = 4;
/** With more threads, memory grows (about 200 MB per thread) and the time hardly shrinks. */
const MOST_THREADS = 4;

/** The folder of compiled code: in this repository, where only its owner writes. */
export const COMPILED = join(import.meta.dirname, "../node_modules/.cache/compiled");

/** Threads that evaluate versions of a repository. The pool must be closed, or the process does not end. */
export class Pool<Task extends { stack: string }, Result> {
  readonly #root: string;
  readonly #file: URL;
  readonly #workers: Worker[] = [];

  /**
   * Starts the first thread at once: it loads the SDK and the program of the work tree while the main thread finds out
   * what to evaluate.
   * @param file The module that the threads run. For each task it posts an Answer.
   */
  constructor(root: string, file: URL) {
    this.#root = root;
    this.#file = file;
    this.#start();
  }

  #start(): void {
    const worker = new Worker(this.#file, {
      workerData: { root: this.#root },
      // No other variable of this process. The cache is worth it: loading the SDK and the program takes most of the
      // time of a small plan.
      env: { NODE_COMPILE_CACHE: COMPILED },
      // The output of the evaluated code must not mix with this program's.
      stdout: true,
      // All promises of one stack become garbage together. A young generation that holds them all saves half of the
      // garbage collector's work. The first thread is all that a change of one stack needs: less memory matters more.
      resourceLimits: {
        maxYoungGenerationSizeMb: this.#workers.length === 0 ? 96 : 192,
        maxOldGenerationSizeMb: 1024,
      },
    });
    worker.stdout.pipe(process.stderr);
    this.#workers.push(worker);
  }

  /** Hands every result to `take`, in the order in which they finish. Rejects with the first failure. */
  async run(tasks: readonly Task[], take: (result: Result, stack: string) => void): Promise<void> {
    const waiting = [...tasks];
    const size = Math.min(tasks.length, availableParallelism(), MOST_THREADS);
    while (this.#workers.length < size) this.#start();
    await Promise.all(this.#workers.map((worker) => work(worker, waiting, take)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function work<Task, Result>(
  worker: Worker,
  waiting: Task[],
  take: (result: Result, stack: string) => void,
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
    worker.on("message", (answer: Answer<Result>) => {
      open -= 1;
      if ("failure" in answer) reject(new UserError(answer.failure));
      else take(answer.result, answer.stack);
      next();
    });
    worker.on("error", reject);
    worker.on("exit", (code) => reject(new Error(`a thread ended with status ${code}`)));
    next();
  });
}
