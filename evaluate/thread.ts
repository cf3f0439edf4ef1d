// What a thread of the pool needs to evaluate stacks. It runs code of the work tree, and perhaps of a base, so it gets
// no environment variables but one (worker-pool.ts).
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";
import * as z from "zod";
import type { Graph } from "./graph.ts";
import { makeSdkLean } from "./lean-sdk.ts";
import type { Answer } from "./worker-pool.ts";

/** One version of the repository. */
export interface Version {
  /** The folder of its entries, catalog and configuration. */
  root: string;
  /** The folder of its program. */
  program: string;
  /** The environment's configuration, if it is not the version's own. */
  configFile?: string;
}

makeSdkLean();
const [{ record }, { stackReader }] = await Promise.all([
  import("./recorder.ts"),
  import("./stack-inputs.ts"),
]);

// Loaded while the main thread finds out what to evaluate. An error in the program is reported with a stack.
const { root } = z.object({ root: z.string() }).parse(workerData);
await import(pathToFileURL(join(root, "index.ts")).href).catch(() => {});
flushCompileCache();

const readers = new Map<string, ReturnType<typeof stackReader>>();

/** Evaluates one stack of a version, without its secrets. If that fails, says why. */
export async function evaluate(
  stack: string,
  version: Version,
): Promise<{ graph: Graph } | { failure: string }> {
  try {
    return { graph: await graphOf(stack, version) };
  } catch (error) {
    return { failure: await explain(error, stack, version) };
  }
}

async function graphOf(stack: string, version: Version): Promise<Graph> {
  const [environment = ""] = stack.split("-");
  const key = JSON.stringify([version, environment]);
  const reader =
    readers.get(key) ?? stackReader(version.program, version.root, environment, version.configFile);
  readers.set(key, reader);
  return record({ stack, root: version.program, ...(await reader)(stack) });
}

/**
 * A message for people is complete. For a fault of the program, evaluates again to get the stack trace, which the first
 * evaluation left out.
 */
async function explain(error: unknown, stack: string, version: Version): Promise<string> {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "RunError") return error.message;
  Error.stackTraceLimit = 20;
  const again = await graphOf(stack, version).catch((second: unknown) => second);
  Error.stackTraceLimit = 0;
  return again instanceof Error && again.stack !== undefined ? again.stack : error.message;
}

/** Answers each task of the pool. */
export function serve<Task, Result>(answer: (task: Task) => Promise<Answer<Result>>): void {
  parentPort?.on("message", (task: Task) => void answer(task).then((said) => parentPort?.postMessage(said)));
}
