// Runs a command of bin/ as people do: as a process, on a copy of a fleet.
import { join } from "node:path";
import { execa } from "execa";

/** Standard output and error as a terminal shows them, and the exit status. */
export async function runCommand(
  command: "check" | "space",
  ...args: string[]
): Promise<{ status: number; text: string }> {
  return runCommandWith({}, command, ...args);
}

/** The same, with environment variables besides this process's own. */
export async function runCommandWith(
  env: Readonly<Record<string, string>>,
  command: "check" | "space",
  ...args: string[]
): Promise<{ status: number; text: string }> {
  const file = join(import.meta.dirname, `../../bin/${command}.ts`);
  const { exitCode, all } = await execa(process.execPath, [file, ...args], { all: true, env, reject: false });
  return { status: exitCode ?? -1, text: all };
}
