// How a program of ops-1 begins and ends.
import { AlreadySaid, ProgramError, UsageError } from "./program-error.ts";

/** What a program prints, and its exit status. */
export interface Result {
  output: string;
  status: number;
}

/** Runs a program, and prints what it gives, or what is wrong. */
export async function runProgram(program: () => Promise<Result>): Promise<void> {
  process.env["LC_ALL"] = "C.UTF-8";
  process.umask(0o027);
  try {
    const { output, status } = await program();
    process.stdout.write(output);
    process.exitCode = status;
  } catch (error) {
    sayError(error);
    process.exitCode = error instanceof ProgramError || error instanceof AlreadySaid ? error.status : 1;
  }
}

/** Tells people why a program failed. */
export function sayError(error: unknown): void {
  if (error instanceof ProgramError) console.error(error.line);
  else if (error instanceof UsageError) console.error(error.message);
  else if (!(error instanceof AlreadySaid)) console.error(error);
}
