// Calls the Pulumi CLI as a program.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** The CLI for one stack. */
export interface Cli {
  /** Path of the program. */
  program: string;
  stack: string;
  /** Variables that the CLI gets besides those of this process. */
  environmentVariables: Readonly<Record<string, string>>;
}

/** Path of the installed CLI, or else of npm's, which fetches the CLI. */
export function findCli(): string {
  const folders = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !folder.includes("node_modules"));
  const installed = folders.map((folder) => join(folder, "pulumi")).find((path) => existsSync(path));
  return installed ?? join(ROOT, "node_modules/.bin/pulumi");
}

/** Gives the terminal to the CLI. Resolves to its exit status, also after Ctrl-C. */
export async function giveTerminal(cli: Cli, words: readonly string[]): Promise<number> {
  // A terminal sends Ctrl-C to both processes. The CLI first ends its work and then itself. This process must not end
  // before: its end would kill the CLI, and leave the gate open and the state as an interrupted refresh wrote it.
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
 * Calls `pulumi stack …` for the stack, with a text on standard input. Resolves to its standard output, or to an
 * `error` that says why it failed. The error never quotes standard output, which may hold secrets.
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
    // The state of a hundred spaces is several MB.
    maxBuffer: 2 ** 28,
    reject: false,
  });
  if (!failed) return { output: stdout };
  return { error: signal ? `it was ended by ${signal}` : stderr.trim() || "it says nothing" };
}
