// The one error for people, and what a command of bin/ does with it.

/** What a person can put right: its message says where, who, what was found, and what to write or run next. No stack is shown. */
export class UserError extends Error {}

/**
 * Runs a command of bin/. A UserError ends it with exit status 1 and its message, after `before`, on standard error;
 * any other error is a fault of the program, and rejects.
 */
export async function runMain(act: () => Promise<unknown>, before = ""): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`${before}${error.message}`);
    process.exitCode = 1;
  }
}
