// `npm run rollout`: applies all stacks of an environment that differ from what was last applied to them. The platform
// first, then one stack with canary spaces and a look whether they serve, then the others, several at once. A rollout
// keeps no state of its own: what was applied is noted with each stack, so one that was cut off is continued by the
// same command.
import type { Fleet } from "../spaces/fleet/fleet.ts";
import { count } from "../validation/positions.ts";
import type { Backend } from "./backend.ts";
import { applyStack, type Applying } from "./apply-stack.ts";
import { chooseStacks, type Choice } from "./choose-stacks.ts";
import { Lines } from "./lines.ts";

export interface RolloutOptions {
  backend: Backend;
  fleet: Fleet;
  /** How many stacks at once, after the first one. */
  atOnce: number;
  /** No further stack is begun once more than this share of all, in percent, has failed. */
  stopAtPercent: number;
  /** Applies every stack, also those that do not differ. */
  all: boolean;
  /** Only says what would be applied, and why. */
  dryRun: boolean;
  /** Folder of the engine's logs. */
  logs: string;
  /** Opens the way to databases and buckets. Called after the platform, before the first stack of spaces. */
  open: () => Promise<{ close: () => Promise<void> }>;
  /** Looks whether spaces serve as people use them. Resolves to what is wrong. */
  look: (ids: readonly string[]) => Promise<string[]>;
  /** Stops the rollout gently. */
  signal: AbortSignal;
}

/** How many resources the engine handles at once, over all stacks: sshd on ops-1 is made for that many (docs/deploy.md). */
const PARALLEL = 64;
/** More than this at once in one stack gains nothing (facts of the engine: a hundred spaces take 40 s with 16). */
const PARALLEL_IN_ONE = 16;
/** How many canary spaces are looked at. */
const LOOKED_AT = 3;

/**
 * Rolls out. Resolves to whether every stack is now as it is declared. Throws a UserError if nothing can be rolled out.
 */
export async function rollout(options: RolloutOptions): Promise<boolean> {
  const { backend, fleet, all, dryRun } = options;
  const { chosen, unchanged } = await chooseStacks(backend, fleet, all);
  console.log(describe(fleet.environmentName, chosen, unchanged));
  if (dryRun || chosen.length === 0) return true;
  return new Rollout(options, chosen, unchanged.length).run();
}

function describe(environment: string, chosen: readonly Choice[], unchanged: readonly string[]): string {
  const rest = unchanged.length > 0 ? `${count(unchanged.length, "stack")} unchanged.` : "";
  if (chosen.length === 0) return `Nothing to apply in ${environment}: ${rest}`;
  const width = Math.max(...chosen.map(({ stack }) => stack.length));
  return [
    `To apply in ${environment}, in this order:`,
    ...chosen.map(({ stack, why }) => `  ${stack.padEnd(width)}  ${why}`),
    ...(rest === "" ? [] : [rest]),
  ].join("\n");
}

class Rollout {
  readonly #options: RolloutOptions;
  readonly #unchanged: number;
  readonly #waiting: Choice[];
  readonly #all: readonly Choice[];
  readonly #done = new Set<string>();
  readonly #failed = new Map<string, string>();
  readonly #lines: Lines;
  #stopped: string | undefined;

  constructor(options: RolloutOptions, chosen: readonly Choice[], unchanged: number) {
    this.#options = options;
    this.#all = chosen;
    this.#waiting = [...chosen];
    this.#unchanged = unchanged;
    this.#lines = new Lines(chosen.length);
  }

  async run(): Promise<boolean> {
    const { signal, open, atOnce } = this.#options;
    signal.addEventListener("abort", () => {
      this.#stop("it was asked to stop");
      this.#lines.say("Stopping: what is under way is finished. Nothing else is begun.");
    });
    const platform = await this.#first("platform");
    const way = this.#stopped === undefined && this.#waiting.length > 0 ? await open() : undefined;
    try {
      const canary = await this.#first("canary");
      if (platform || canary) await this.#look();
      await Promise.all(Array.from({ length: atOnce }, () => this.#work(atOnce)));
    } finally {
      await way?.close();
      this.#lines.end();
    }
    console.log(this.#summary());
    return this.#failed.size === 0 && this.#waiting.length === 0 && this.#stopped === undefined;
  }

  /** Applies the next stack alone, if it is of that kind. If it fails, nothing else is begun. */
  async #first(kind: Choice["kind"]): Promise<boolean> {
    const [next] = this.#waiting;
    if (next?.kind !== kind || this.#stopped !== undefined) return false;
    this.#waiting.shift();
    await this.#apply(next, 1);
    if (this.#failed.has(next.stack)) this.#stop(`${next.stack} failed, and the others come after it`);
    return true;
  }

  async #look(): Promise<void> {
    if (this.#stopped !== undefined) return;
    const entries = this.#options.fleet.tenantsFiles.flatMap((file) => file.entries);
    const active = entries.filter(({ state }) => state === "active");
    const canaries = active.filter(({ wave }) => wave === "canary");
    const ids = (canaries.length > 0 ? canaries : active).slice(0, LOOKED_AT).map(({ id }) => id);
    if (ids.length === 0) return;
    const problems = await this.#options.look(ids);
    if (problems.length === 0) this.#lines.say(`Looked at ${ids.join(", ")}: they serve.`);
    else this.#stop(`the look at ${ids.join(", ")} found:\n${problems.map((one) => `  ${one}`).join("\n")}`);
  }

  async #work(atOnce: number): Promise<void> {
    for (;;) {
      const next = this.#stopped === undefined ? this.#waiting.shift() : undefined;
      if (!next) return;
      await this.#apply(next, atOnce);
      const limit = (this.#all.length * this.#options.stopAtPercent) / 100;
      if (this.#failed.size > limit)
        this.#stop(`${count(this.#failed.size, "stack")} failed, more than ${this.#options.stopAtPercent} %`);
    }
  }

  async #apply(choice: Choice, atOnce: number): Promise<void> {
    const { backend, logs, signal } = this.#options;
    const parallel = Math.min(PARALLEL_IN_ONE, Math.max(1, Math.floor(PARALLEL / atOnce)));
    const line = this.#lines.begin(choice.stack, choice.rendered.resources);
    const applying: Applying = { backend, choice, logs, parallel, signal, line };
    const failure = await applyStack(applying);
    if (failure === undefined) this.#done.add(choice.stack);
    else this.#failed.set(choice.stack, failure);
  }

  #stop(why: string): void {
    this.#stopped ??= why;
  }

  #summary(): string {
    const { fleet, logs } = this.#options;
    const left = this.#waiting.map(({ stack }) => stack);
    const part = (n: number, what: string, names: Iterable<string>) =>
      n > 0 ? [`${n} ${what}: ${shorten([...names])}`] : [];
    const whole = left.length === 0 && this.#failed.size === 0;
    return [
      "",
      ...(this.#stopped === undefined ? [] : [`Stopped: ${this.#stopped}.`]),
      ...[...this.#failed].flatMap(([stack, why]) => [`${stack} failed:`, indent(why)]),
      `${count(this.#done.size, "stack")} done, ${this.#unchanged} unchanged.`,
      ...part(this.#failed.size, "failed", this.#failed.keys()),
      ...part(left.length, "not begun", left),
      ...(whole
        ? []
        : [`The engine's logs: ${logs}`, `To continue: npm run rollout -- --env ${fleet.environmentName}`]),
    ].join("\n");
  }
}

function shorten(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(", ");
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}

const indent = (text: string) => text.replaceAll(/^(?=.)/gm, "  ");
