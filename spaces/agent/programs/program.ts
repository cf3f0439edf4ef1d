// How a program of ops-1 begins and ends.
import { AlreadySaid, SpaceError, UnexpectedError, UsageError } from "./space-error.ts";

/** Runs a program, and prints what it gives, or what is wrong. */
export async function runProgram(program: () => Promise<string>): Promise<void> {
  process.env["LC_ALL"] = "C.UTF-8";
  process.umask(0o027);
  try {
    process.stdout.write(await program());
  } catch (error) {
    sayError(error);
    process.exitCode = error instanceof UnexpectedError ? error.status : 1;
  }
}

/** Tells people why a program failed. */
export function sayError(error: unknown): void {
  if (error instanceof SpaceError) console.error(error.line);
  else if (error instanceof UsageError) console.error(error.message);
  else if (!(error instanceof AlreadySaid)) console.error(error);
}
