// Commands that the programs run. A command gets no shell, so no value needs quotes.
import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { constants } from "node:os";
import { Readable } from "node:stream";
import { currentCaller, sayLine } from "./callers.ts";
import { CommandError } from "./program-error.ts";
import { refuseIfStopped } from "./stop-signals.ts";

export interface CommandOptions {
  /** Besides the environment of this process. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** What the command reads. @default nothing */
  input?: string;
  /** A descriptor that it reads, instead of `input`. */
  stdin?: number;
  /**
   * What happens to standard error. `with-output` keeps the order of both. A descriptor gets it. What is inherited, the
   * caller hears (callers.ts).
   * @default inherit
   */
  errors?: "inherit" | "ignore" | "with-output" | number;
  /** A file for output and errors, instead of `Ended.output`. */
  log?: number;
  /** Descriptors of locks that the command holds, too: if this program is killed, they are locked until it ends. */
  locks?: Descriptors;
}

/** Number of a descriptor in the command → the descriptor here. */
export type Descriptors = Readonly<Record<number, number>>;

export interface Ended {
  /** As shells count: 128 and the number of a signal, 127 if there is no such command. */
  status: number;
  output: string;
}

/** Runs a command to its end, whatever its status. */
export async function run(
  command: string,
  words: readonly string[],
  options: CommandOptions = {},
): Promise<Ended> {
  const child = startReading(command, words, options);
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
  if (options.input !== undefined) {
    // A command that ends before it has read everything says so by its status.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);
  }
  return { status: await endOf(child), output };
}

/** Runs a command to its end, and passes on each line of its output, however long that is. Resolves to its status. */
export async function runLines(
  command: string,
  words: readonly string[],
  options: Omit<CommandOptions, "input" | "log">,
  take: (line: string) => void,
): Promise<number> {
  const child = startReading(command, words, options);
  const ended = endOf(child);
  for await (const line of linesIn(child.stdout ?? Readable.from([]))) take(line);
  return ended;
}

/** The lines of a stream. Node's own readline also ends them at characters that stand in names of files. */
export const linesIn = (stream: Readable): AsyncIterable<string> => splitLines(stream.setEncoding("utf8"));

async function* splitLines(stream: Readable): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + (chunk as string)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** Starts a command whose output, and errors where the options say so, are read. */
export function startReading(
  command: string,
  words: readonly string[],
  options: CommandOptions,
): ChildProcess {
  // The shell replaces itself, so this costs no further process. Node has no pipe for both.
  const [program, args] =
    options.errors === "with-output" && options.log === undefined
      ? ["/bin/sh", ["-c", 'exec "$@" 2>&1', "sh", command, ...words]]
      : [command, words];
  return start(program, args, { ...options, output: options.log ?? "pipe" });
}

/** Runs a command that must succeed, and gives what it prints. Throws CommandError. */
export async function read(
  command: string,
  words: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { status, output } = await run(command, words, options);
  if (status !== 0) throw new CommandError(command, status);
  return output;
}

/** Whether a command succeeds. */
export async function succeeds(
  command: string,
  words: readonly string[],
  options: CommandOptions = {},
): Promise<boolean> {
  return (await run(command, words, options)).status === 0;
}

/** The output of a command as a stream, which fails at its end if the command does. */
export function outputOf(
  command: string,
  words: readonly string[],
  options: Omit<CommandOptions, "input" | "log">,
): Readable {
  const child = start(command, words, { ...options, output: "pipe" });
  const ended = endOf(child);
  return Readable.from(
    (async function* () {
      yield* child.stdout ?? [];
      const status = await ended;
      if (status !== 0) throw new CommandError(command, status);
    })(),
  );
}

/** Starts a command. Its standard output, and its input unless it is to read nothing, are streams. */
export function start(
  command: string,
  words: readonly string[],
  { env, cwd, input, stdin, errors = "inherit", log, locks = {}, output }: StartOptions,
): ChildProcess {
  refuseIfStopped();
  const caller = currentCaller();
  const inherited = caller ? "pipe" : "inherit";
  const stdio: StdioOptions = [
    input === undefined ? (stdin ?? "ignore") : "pipe",
    output,
    log ?? (errors === "with-output" || errors === "inherit" ? inherited : errors),
  ];
  for (let number = stdio.length; number <= LARGEST_DESCRIPTOR; number += 1)
    stdio.push(locks[number] ?? "ignore");
  const child = spawn(command, words, {
    stdio,
    ...(cwd !== undefined && { cwd }),
    env: { ...process.env, ...env },
  });
  if (caller) child.stderr?.setEncoding("utf8").on("data", caller);
  return child;
}
const LARGEST_DESCRIPTOR = 9;
type StartOptions = CommandOptions & { output: "pipe" | number };

/** The status with which a process ends, once all that it printed is read. */
export async function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once("error", (error) => {
      sayLine(error.message);
      resolve(127);
    });
    child.once("close", (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
