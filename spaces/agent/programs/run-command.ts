// Commands that the programs run. A command gets no shell, so no value needs quotes.
import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { constants } from "node:os";
import { CommandError } from "./space-error.ts";

export interface CommandOptions {
  /** Besides the environment of this process. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** What the command reads. @default nothing */
  input?: string;
  /**
   * What happens to standard error. `with-output` keeps the order of both.
   * @default inherit
   */
  errors?: "inherit" | "ignore" | "with-output";
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
  // The shell replaces itself, so this costs no further process. Node has no pipe for both.
  const [program, args] =
    options.errors === "with-output" && options.log === undefined
      ? ["/bin/sh", ["-c", 'exec "$@" 2>&1', "sh", command, ...words]]
      : [command, words];
  const child = start(program, args, { ...options, output: options.log ?? "pipe" });
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
  if (options.input !== undefined) {
    // A command that ends before it has read everything says so by its status.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);
  }
  return { status: await endOf(child), output };
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

/** Starts a command. Its standard output, and its input unless it is to read nothing, are streams. */
export function start(
  command: string,
  words: readonly string[],
  { env, cwd, input, errors = "inherit", log, locks = {}, output }: StartOptions,
): ChildProcess {
  const stdio: StdioOptions = [
    input === undefined ? "ignore" : "pipe",
    output,
    log ?? (errors === "ignore" ? "ignore" : "inherit"),
  ];
  for (let number = stdio.length; number <= LARGEST_DESCRIPTOR; number += 1)
    stdio.push(locks[number] ?? "ignore");
  return spawn(command, words, { stdio, ...(cwd !== undefined && { cwd }), env: { ...process.env, ...env } });
}
const LARGEST_DESCRIPTOR = 9;
type StartOptions = CommandOptions & { output: "pipe" | number };

/** The status with which a process ends, once all that it printed is read. */
export async function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once("error", (error) => {
      console.error(error.message);
      resolve(127);
    });
    child.once("close", (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
