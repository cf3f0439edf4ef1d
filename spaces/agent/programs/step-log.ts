// What programs did of a space, step by step, in the log: docs/logs.md has the form of a line.
import { spawn, type ChildProcess } from "node:child_process";
import { AlreadySaid } from "../../../infra/machine/programs/program-error.ts";

/** The facility `user`, by which logs-1 knows a space's lines (infra/logs/logs.ts), with the severities info and error. */
const PRIORITIES = { done: "<14>", failed: "<11>" } as const;
/** A line is one message of syslog: logger cuts it at this size. A step's error takes part of it. */
const MOST_BYTES = 4096;
const MOST_OF_ERROR = 500;

/** The steps of one operation on a space. Each is one line, written when the step ends. */
export class StepLog {
  readonly #space: string;
  readonly #operation: string;
  readonly #release: string | undefined;
  readonly #logger: Logger;
  #step: string | undefined;
  #begun = 0;

  /** @param release Which one is wanted, or the one that the space is on. */
  constructor(
    { space, operation, release }: { space: string; operation: string; release: string | undefined },
    logger = new Logger(space),
  ) {
    this.#space = space;
    this.#operation = operation;
    this.#release = release;
    this.#logger = logger;
  }

  /** Begins a step. The one before it is done. */
  begin(step: string): void {
    this.end();
    this.#step = step;
    this.#begun = performance.now();
  }

  /** Ends the step that was begun, if there is one. */
  end(error?: unknown): void {
    if (this.#step === undefined) return;
    const result = error === undefined ? "done" : "failed";
    const line = {
      space: this.#space,
      operation: this.#operation,
      step: this.#step,
      release: this.#release,
      seconds: Math.round(performance.now() - this.#begun) / 1000,
      result,
      error: error === undefined ? undefined : wordsOf(error),
    };
    this.#step = undefined;
    this.#logger.write(`${PRIORITIES[result]}step ${JSON.stringify(line)}\n`);
  }

  /** The steps of an operation within this one. */
  within(operation: string): StepLog {
    return new StepLog({ space: this.#space, operation, release: this.#release }, this.#logger);
  }

  close(): void {
    this.#logger.close();
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof AlreadySaid) return "a program that it ran failed, and says why itself";
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll("\n", " ").slice(0, MOST_OF_ERROR);
}

/**
 * One `logger` for each run, with the space's id as its tag. It has none of this program's locks. Once this program has
 * ended or is killed, it sends what it has read, and ends. A space is not worse off if nothing can be logged.
 */
class Logger {
  readonly #tag: string;
  #child: ChildProcess | undefined;

  constructor(tag: string) {
    this.#tag = tag;
  }

  write(line: string): void {
    this.#child ??= this.#start();
    this.#child.stdin?.write(line);
  }

  close(): void {
    this.#child?.stdin?.end();
  }

  #start(): ChildProcess {
    const words = ["--tag", this.#tag, "--prio-prefix", "--size", String(MOST_BYTES)];
    // A descriptor of each number, up to the last one that a lock has.
    const child = spawn("logger", words, { stdio: ["pipe", ...Array<"ignore">(9).fill("ignore")] });
    child.on("error", () => {});
    child.stdin?.on("error", () => {});
    child.unref();
    return child;
  }
}
