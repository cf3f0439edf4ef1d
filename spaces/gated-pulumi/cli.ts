// The Pulumi CLI, as a program that is called.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** The CLI for one stack. */
export interface Cli {
  /** Path of the program. */
  program: string;
  stack: string;
  /** Variables that it gets besides this process's own. */
  environmentVariables: Readonly<Record<string, string>>;
}

/** Path of the CLI that is installed, else of npm's, which fetches it. */
export function findCli(): string {
  const folders = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !folder.includes("node_modules"));
  const installed = folders.map((folder) => join(folder, "pulumi")).find((path) => existsSync(path));
  return installed ?? join(ROOT, "node_modules/.bin/pulumi");
}

/** Gives the terminal to the CLI. Resolves to its exit status, after Ctrl-C too. */
export async function giveTerminal(cli: Cli, words: readonly string[]): Promise<number> {
  // A terminal sends Ctrl-C to both processes. The CLI ends its work and then itself; this one has to go on after it:
  // its end would kill the CLI, and leave the gate open and the state as an interrupted refresh wrote it.
  const ignore = () => {};
  process.on("SIGINT", ignore);
  const { exitCode } = await execa(cli.program, words, {
    cwd: ROOT,
    env: cli.environmentVariables,
    stdio: "inherit",
    reject: false,
  });
  process.off("SIGINT", ignore);
  return exitCode ?? 1;
}

/**
 * Calls `pulumi stack …` of the stack, with text on its standard input. Resolves to its standard output, or to an
 * `error` that says why it failed: never with its output, which may hold secrets.
 */
export async function callStack(
  cli: Cli,
  command: "export" | "import",
  { flags = [], input = "" }: { flags?: readonly string[]; input?: string } = {},
): Promise<{ output: string } | { error: string }> {
  const words = ["stack", command, "--stack", cli.stack, ...flags];
  const { stdout, stderr, failed, signal } = await execa(cli.program, words, {
    cwd: ROOT,
    env: cli.environmentVariables,
    input,
    // The state of a hundred spaces is some MB.
    maxBuffer: 2 ** 28,
    reject: false,
  });
  if (!failed) return { output: stdout };
  return { error: signal ? `it was ended by ${signal}` : stderr.trim() || "it says nothing" };
}
