// The engine for machines without the Pulumi CLI. It evaluates the program and reconciles each resource as it is
// declared, in dependency order. It keeps no state. So what is no longer declared stays, except for servers.
import { record } from "../../evaluate/recorder.ts";
import { reveal, type Resource } from "../../evaluate/graph.ts";
import { attachPolicy, createBucket, createDatabase, createRole, createUser } from "./data.ts";
import { CLOUD, removeUndeclared } from "./cloud.ts";
import { runCommand } from "./command.ts";
import type { Handled, Handler } from "./handler.ts";
import { PASSPHRASE } from "../configuration.ts";
import type { Engine, Outcome, Task } from "../engine.ts";
import { stepOf } from "../progress.ts";
import { UserError } from "../../validation/user-error.ts";

/** How many steps run at once. The lab's machines share this machine's cores. */
const PARALLEL = 6;

const HANDLERS: Readonly<Record<string, Handler>> = {
  ...CLOUD,
  "command:remote:Command": runCommand,
  "postgresql:index/role:Role": createRole,
  "postgresql:index/database:Database": createDatabase,
  "minio:index/s3Bucket:S3Bucket": createBucket,
  "minio:index/iamUser:IamUser": createUser,
  "minio:index/iamUserPolicyAttachment:IamUserPolicyAttachment": attachPolicy,
};

export const applier: Engine = {
  name: "the lab's own applier",
  async up(stack, task) {
    const run = new Run(task);
    try {
      await record({
        stack,
        configFile: task.configuration.file,
        passphrase: PASSPHRASE,
        newResource: (resource) => run.handle(resource),
      });
    } catch (error) {
      // Without a failed step, it is the program itself that refuses.
      if (run.failures.length === 0) throw error;
    }
    await run.idle();
    if (run.failures.length > 0) throw new UserError(run.failures.join("\n\n"));
    run.outcome.changed += await removeUndeclared(task.lab, stack, run.declared);
    return run.outcome;
  },
};

/** One evaluation. At most `PARALLEL` steps run at once. After a failure no new step starts. */
class Run {
  readonly outcome: Outcome = { resources: 0, changed: 0 };
  readonly failures: string[] = [];
  readonly declared: Resource[] = [];
  readonly #task: Task;
  readonly #waiting: (() => void)[] = [];
  readonly #busy = new Set<Promise<unknown>>();

  constructor(task: Task) {
    this.#task = task;
  }

  async handle(resource: Resource): Promise<{ id: string; outputs: Record<string, unknown> }> {
    const { type, name } = resource;
    this.declared.push(resource);
    if (type.startsWith("pulumi:providers:")) return { id: name, outputs: {} };
    const handler = HANDLERS[type];
    if (!handler)
      throw this.#fail(resource, `the applier knows no ${type}; use the Pulumi CLI (--engine pulumi)`);
    while (this.#busy.size >= PARALLEL) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.failures.length > 0) return NEVER;
    const work = this.#perform(resource, handler);
    const ended = work
      .catch(() => {})
      .finally(() => {
        this.#busy.delete(ended);
        this.#waiting.shift()?.();
      });
    this.#busy.add(ended);
    const {
      id,
      outputs = {},
      changed,
    } = await work.catch((error: unknown) => {
      if (this.failures.length === 1) throw error;
      return NEVER;
    });
    this.outcome.resources++;
    if (changed) this.outcome.changed++;
    return { id, outputs };
  }

  /** Waits until no step runs. */
  async idle(): Promise<void> {
    while (this.#busy.size > 0) await Promise.all(this.#busy);
  }

  async #perform(resource: Resource, handler: Handler): Promise<Handled> {
    const { progress, machines } = this.#task;
    const step = stepOf(resource.type, resource.name, machines);
    const inputs: unknown = reveal(resource.inputs);
    if (SHOWN.has(resource.type)) progress.begin(step);
    try {
      const handled = await handler(inputs, { ...this.#task, name: resource.name });
      if (SHOWN.has(resource.type)) progress.done(step, handled.detail);
      return handled;
    } catch (error) {
      progress.failed(step);
      throw this.#fail(resource, error instanceof Error ? error.message : String(error));
    }
  }

  #fail({ type, name }: Resource, message: string): Error {
    const { machine, step } = stepOf(type, name, this.#task.machines);
    this.failures.push(`${machine}: ${step} failed.\n${message}`);
    return new Error(message);
  }
}

/** Never ends. The first failure ends the evaluation, so nobody waits for the result of later steps. */
const NEVER = new Promise<never>(() => {});

/** Types whose steps take time, so that people want to see them. */
const SHOWN = new Set(["hcloud:index/server:Server", "command:remote:Command"]);
