// Ctrl-C and kill, where a program must not end without having put something in order: a space that it has shut.

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
let asked: string | undefined;

/**
 * Does the work and then the end, whether the work fails or not. A signal makes the work fail at its next command.
 * Rejects with the first error; `tell` gets it where the end fails, too.
 */
export async function endingWith<Result>(
  work: () => Promise<Result>,
  end: () => Promise<void>,
  tell: (error: unknown) => void,
): Promise<Result> {
  const note = (signal: string) => (asked = signal);
  for (const signal of SIGNALS) process.on(signal, note);
  try {
    return await alwaysThen(work, end, tell);
  } finally {
    for (const signal of SIGNALS) process.off(signal, note);
    asked = undefined;
  }
}

async function alwaysThen<Result>(
  work: () => Promise<Result>,
  end: () => Promise<void>,
  tell: (error: unknown) => void,
): Promise<Result> {
  let result: Result;
  try {
    result = await work();
  } catch (error) {
    asked = undefined;
    await end().catch((another: unknown) => {
      tell(another);
    });
    throw error;
  }
  const signal = asked;
  asked = undefined;
  await end();
  if (signal !== undefined) throw stopped(signal);
  return result;
}

/** Throws an Error once a signal has asked the program to end. */
export function refuseIfStopped(): void {
  if (asked !== undefined) throw stopped(asked);
}

const stopped = (signal: string) => new Error(`it was stopped (${signal})`);
