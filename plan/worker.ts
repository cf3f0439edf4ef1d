// Evaluates both versions of a stack in a thread and answers with the differences, so that no graph outlives its
// comparison. The thread runs code of the base and of the work tree, so it gets no environment variables but one
// (worker-pool.ts).
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";
import * as z from "zod";
import type { Graph } from "../evaluate/graph.ts";
import { makeSdkLean } from "../evaluate/lean-sdk.ts";
import type { Comparison } from "./comparison.ts";

/** One stack to compare. A version that has no such stack is absent. */
export interface Task {
  stack: string;
  base?: Version;
  head?: Version;
}

export interface Version {
  /** The folder of its entries, catalog and configuration. */
  root: string;
  /** The folder of its program. */
  program: string;
}

export type Answer = { stack: string } & ({ comparison: Comparison } | { failure: string });

makeSdkLean();
const [{ compare }, { record }, { stackReader }] = await Promise.all([
  import("./comparison.ts"),
  import("../evaluate/recorder.ts"),
  import("./stack-inputs.ts"),
]);

// Loaded while the main thread asks git. An error in the program is reported when a stack is evaluated.
const { root } = z.object({ root: z.string() }).parse(workerData);
await import(pathToFileURL(join(root, "index.ts")).href).catch(() => {});
flushCompileCache();

const readers = new Map<string, ReturnType<typeof stackReader>>();

async function evaluate(stack: string, version: Version | undefined): Promise<Graph | undefined> {
  if (!version) return undefined;
  const [environment = ""] = stack.split("-");
  const key = JSON.stringify([version, environment]);
  const reader = readers.get(key) ?? stackReader(version.program, version.root, environment);
  readers.set(key, reader);
  return record({ stack, root: version.program, ...(await reader)(stack) });
}

async function answer({ stack, base, head }: Task): Promise<Answer> {
  let before: Graph | undefined;
  try {
    before = await evaluate(stack, base);
  } catch (error) {
    const failure = `${stack} cannot be evaluated as it is in the base: ${await explain(error, stack, base)}`;
    return { stack, failure: `${failure}\nCompare with a version that works: npm run plan -- --base REF` };
  }
  try {
    return { stack, comparison: compare(stack, before, await evaluate(stack, head)) };
  } catch (error) {
    return { stack, failure: `${stack} cannot be evaluated: ${await explain(error, stack, head)}` };
  }
}

/**
 * A message for people is complete. For a fault of the program, evaluates again to get the stack trace, which the first
 * evaluation left out.
 */
async function explain(error: unknown, stack: string, version: Version | undefined): Promise<string> {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "RunError") return error.message;
  Error.stackTraceLimit = 20;
  const again = await evaluate(stack, version).catch((second: unknown) => second);
  Error.stackTraceLimit = 0;
  return again instanceof Error && again.stack !== undefined ? again.stack : error.message;
}

parentPort?.on(
  "message",
  (task: Task) => void answer(task).then((result) => parentPort?.postMessage(result)),
);
