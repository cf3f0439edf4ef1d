// Evaluates a stack in a thread of the pool and answers with the digest of all that the engine would receive.
import { createHash } from "node:crypto";
import { evaluate, serve, type Version } from "../evaluate/thread.ts";
import type { Answer } from "../evaluate/worker-pool.ts";

export interface DigestTask {
  stack: string;
  version: Version;
  /** Versions of the plug-ins. The same inputs in another version may mean something else. */
  plugins: string;
}

/** What a stack would be applied as. */
export interface Rendered {
  /** SHA-256, hexadecimal. Secrets count as their ciphertext. */
  digest: string;
  /** How many resources the engine goes through, components included. */
  resources: number;
}

async function answer({ stack, version, plugins }: DigestTask): Promise<Answer<Rendered>> {
  const evaluated = await evaluate(stack, version);
  if ("failure" in evaluated) return { stack, failure: `${stack} cannot be evaluated: ${evaluated.failure}` };
  const { resources } = evaluated.graph;
  const digest = createHash("sha256").update(plugins).update(JSON.stringify(resources)).digest("hex");
  return { stack, result: { digest, resources: resources.length } };
}

serve(answer);
