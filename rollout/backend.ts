// What the Pulumi CLI's backend knows of stacks: which there are, what was last applied to each, who has locked one.
import { execa } from "execa";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";
import type { Sources } from "./digests.ts";
import { inParallel } from "./in-parallel.ts";

/** How many calls of the CLI at once: each takes a tenth of a second of a core. */
const CALLS = 4;
/** The tag that keeps, with each stack, what was last applied to it. */
const TAG = "framaspace:applied";

/** What the last whole, successful `up` applied, as far as a rollout knows. */
export interface Applied {
  /** Digest of what the engine received. */
  digest: string;
  /** When that `up` ended. */
  at: Date;
}

/** Who holds a stack's lock. */
export interface Lock {
  user: string;
  host: string;
  pid: number;
  since: Date;
}

const listed = z.array(z.object({ name: z.string(), lastUpdate: z.coerce.date().optional() }));
const applied = z.object({ digest: z.string(), at: z.coerce.date() });

/** Where an environment's stacks are declared, and the CLI that keeps them. */
export interface Project extends Sources {
  /** Path of the CLI. */
  cli: string;
}

/** The backend of a project. Every method rejects with a UserError that has the CLI's own words. */
export class Backend {
  readonly project: Project;
  readonly #memory: string;

  /** @param memory File that remembers tags. It may be lost: reading a tag takes the CLI a tenth of a second. */
  constructor(project: Project, memory: string) {
    this.project = project;
    this.#memory = memory;
  }

  /** The project's stacks, and when the state of each was last written. */
  async stacks(): Promise<Map<string, Date | undefined>> {
    const stacks = listed.parse(JSON.parse(await this.#call(["stack", "ls", "--json"])));
    return new Map(stacks.map(({ name, lastUpdate }) => [name, lastUpdate]));
  }

  /** Makes an empty stack. Not in the project's folder: `stack init` would leave a configuration file there. */
  async create(stack: string): Promise<void> {
    const text: unknown = parse(readFileSync(join(this.project.root, "Pulumi.yaml"), "utf8"));
    const { name } = z.object({ name: z.string() }).parse(text);
    const elsewhere = await mkdtemp(join(tmpdir(), "framaspace-stack-"));
    try {
      await writeFile(join(elsewhere, "Pulumi.yaml"), JSON.stringify({ name, runtime: "nodejs" }));
      await this.#call(["stack", "init", "--no-select", stack], { cwd: elsewhere });
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  }

  /**
   * What was last applied to each stack. Absent where no rollout has noted it. A tag is read again only if the stack's
   * state was written since it was read.
   * @param stacks Stack → when its state was last written.
   */
  async applied(stacks: ReadonlyMap<string, Date | undefined>): Promise<Map<string, Applied>> {
    const remembered = recall(this.#memory);
    const all = await inParallel(CALLS, [...stacks], async ([stack, written]): Promise<[string, Memory]> => {
      const known = remembered[stack];
      const updated = written?.toISOString() ?? "";
      if (known?.updated === updated) return [stack, known];
      const { stdout, failed } = await this.#run(["stack", "tag", "get", TAG, "--stack", stack]);
      // The CLI says that there is no tag as an error. Then the stack is applied, which finds out.
      return [stack, { updated, tag: failed ? "" : stdout }];
    });
    const memory = Object.fromEntries(all);
    writeFileSync(this.#memory, JSON.stringify({ ...remembered, ...memory }), { mode: 0o600 });
    return new Map(
      all.flatMap(([stack, { tag }]) => {
        const found = parseApplied(tag);
        return found ? [[stack, found]] : [];
      }),
    );
  }

  async setApplied(stack: string, { digest, at }: Applied): Promise<void> {
    const text = JSON.stringify({ digest, at: at.toISOString() });
    await this.#call(["stack", "tag", "set", TAG, text, "--stack", stack]);
    // An `up` that had nothing to do may not have written the state.
    const { [stack]: _, ...others } = recall(this.#memory);
    writeFileSync(this.#memory, JSON.stringify(others), { mode: 0o600 });
  }

  /** Removes all locks of a stack. */
  async unlock(stack: string): Promise<void> {
    await this.#call(["cancel", "--yes", "--stack", stack]);
  }

  /** The state as JSON. Its secrets stay encrypted. */
  exportState(stack: string): Promise<string> {
    return this.#call(["stack", "export", "--stack", stack]);
  }

  /** Replaces the state. Secrets may be in plain text: the CLI encrypts them. */
  async importState(stack: string, text: string): Promise<void> {
    await this.#call(["stack", "import", "--stack", stack], { input: text });
  }

  async #call(words: readonly string[], options: CallOptions = {}): Promise<string> {
    const { stdout, stderr, failed } = await this.#run(words, options);
    if (failed) throw new UserError(`pulumi ${words.slice(0, 3).join(" ")} failed:\n${stderr}`);
    return stdout;
  }

  #run(words: readonly string[], { cwd = this.project.root, input = "" }: CallOptions = {}) {
    // The state of a hundred spaces is several MB.
    const options = { cwd, input, maxBuffer: 2 ** 28, reject: false } as const;
    return execa(this.project.cli, [...words, "--non-interactive"], options);
  }
}

interface CallOptions {
  cwd?: string;
  /** Standard input. */
  input?: string;
}

const memorySchema = z.object({ updated: z.string(), tag: z.string() });
/** A tag, and the time of the state that it was read with. */
type Memory = z.infer<typeof memorySchema>;

function recall(file: string): Partial<Record<string, Memory>> {
  try {
    return z.record(z.string(), memorySchema).parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return {};
  }
}

/** Reads the tag's text. Undefined if no rollout of this kind wrote it. */
function parseApplied(text: string): Applied | undefined {
  try {
    return applied.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/**
 * The locks that the CLI's refusal names (checkForLock in pulumi/pkg/backend/diy/lock.go). Empty if it refused for
 * another reason.
 */
export function locksIn(output: string): Lock[] {
  if (!output.includes("the stack is currently locked by")) return [];
  const lines = output.matchAll(/created by (\S+)@(\S+) \(pid (\d+)\) at (\S+)/g);
  return [...lines].map(([, user = "", host = "", pid, since = ""]) => ({
    user,
    host,
    pid: Number(pid),
    since: new Date(since),
  }));
}
