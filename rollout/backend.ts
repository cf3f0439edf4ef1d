// What the Pulumi CLI's backend knows of stacks: which there are, what was last applied to each, who has locked one.
import { execa } from "execa";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";

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
export interface Project {
  /** Folder of the repository. */
  root: string;
  /** The environment's configuration file. */
  configFile: string;
  /** Path of the CLI. */
  cli: string;
}

/** The backend of a project. Every method rejects with a UserError that has the CLI's own words. */
export class Backend {
  readonly project: Project;

  constructor(project: Project) {
    this.project = project;
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

  /** What was last applied to a stack. Undefined if no rollout has noted it. */
  async applied(stack: string): Promise<Applied | undefined> {
    const { stdout, failed } = await this.#run(["stack", "tag", "get", TAG, "--stack", stack]);
    // The CLI says no tag, or no stack, as an error. Then the stack is applied, which finds out.
    return failed ? undefined : parseApplied(stdout);
  }

  async setApplied(stack: string, { digest, at }: Applied): Promise<void> {
    const text = JSON.stringify({ digest, at: at.toISOString() });
    await this.#call(["stack", "tag", "set", TAG, text, "--stack", stack]);
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
