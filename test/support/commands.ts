// Runs a command of bin/ on a copy of a fleet: as people do, as a process; or in this process, which takes a hundredth
// of the time.
import { join } from "node:path";
import { execa } from "execa";
import { vi } from "vitest";

type Name = "check" | "release" | "space";
const fileOf = (command: Name) => join(import.meta.dirname, `../../bin/${command}.ts`);

/** What a command printed, and its exit status. */
export interface Ended {
  status: number;
  /** Standard output and error as a terminal shows them. */
  text: string;
}

let runs = 0;

/**
 * Runs it in this process. Not for command lines that commander itself refuses, as it ends the process, nor for
 * commands whose own commands print to the terminal.
 */
export async function runCommand(command: Name, ...args: string[]): Promise<Ended> {
  const printed: string[] = [];
  const { argv, exitCode } = process;
  const line = (...words: unknown[]) => void printed.push(`${words.join(" ")}\n`);
  const write = (text: string | Uint8Array) => printed.push(String(text)) > 0;
  const spies = [
    ...(["log", "error"] as const).map((name) => vi.spyOn(console, name).mockImplementation(line)),
    ...[process.stdout, process.stderr].map((to) => vi.spyOn(to, "write").mockImplementation(write)),
  ];
  const file = fileOf(command);
  process.argv = [process.execPath, file, ...args];
  process.exitCode = undefined;
  try {
    // The file acts when it is loaded; a module of another name is loaded again.
    runs += 1;
    await import(/* @vite-ignore */ `${file}?run=${runs}`);
    // The command may have set it meanwhile.
    return {
      status: Number(Reflect.get(process, "exitCode") ?? 0),
      text: printed.join("").replace(/\n$/, ""),
    };
  } finally {
    Object.assign(process, { argv, exitCode });
    for (const spy of spies) spy.mockRestore();
  }
}

/** Runs it as a process of its own, with environment variables besides this one's. */
export async function startCommand(
  env: Readonly<Record<string, string>>,
  command: Name,
  ...args: string[]
): Promise<Ended> {
  const { exitCode, all } = await execa(process.execPath, [fileOf(command), ...args], {
    all: true,
    env,
    reject: false,
  });
  return { status: exitCode ?? -1, text: all };
}
