// How a program of ops-1 begins and ends, and what it says meanwhile.
import { setTimeout as wait } from "node:timers/promises";
import { inspect } from "node:util";
import { sayLine } from "./callers.ts";
import { AlreadySaid, ProgramError, UsageError } from "./program-error.ts";

/** What a program prints, and its exit status. */
export interface Result {
  output: string;
  status: number;
}

/** What a program that takes long needs of the world. */
export interface Surroundings {
  /** Tells people something on the way. */
  readonly say: (line: string) => void;
  /** The same, of what is not as it should be. */
  readonly warn: (line: string) => void;
  readonly sleep: (seconds: number) => Promise<void>;
}

export const SURROUNDINGS: Surroundings = {
  say: (line) => {
    console.log(line);
  },
  warn: (line) => {
    console.error(line);
  },
  sleep: (seconds) => wait(seconds * 1000),
};

/** Runs a program, and prints what it gives, or what is wrong. */
export async function runProgram(program: () => Promise<Result>): Promise<void> {
  process.env["LC_ALL"] = "C.UTF-8";
  process.umask(0o027);
  const { output, status } = await resultOf(program);
  process.stdout.write(output);
  process.exitCode = status;
}

/** What a program gives. If it fails, it says what is wrong, and prints nothing. */
export async function resultOf(program: () => Promise<Result>): Promise<Result> {
  try {
    return await program();
  } catch (error) {
    sayError(error);
    const status = error instanceof ProgramError || error instanceof AlreadySaid ? error.status : 1;
    return { output: "", status };
  }
}

/** Tells people why a program failed. */
export function sayError(error: unknown): void {
  if (error instanceof ProgramError) sayLine(error.line);
  else if (error instanceof UsageError) sayLine(error.message);
  else if (!(error instanceof AlreadySaid)) sayLine(inspect(error));
}
