// For whom a program works. What it says goes to its standard error, or, if it works for several callers at once, to
// each what concerns it.
import { AsyncLocalStorage } from "node:async_hooks";

/** Hears what is said: text, of any length, not cut at lines. */
export type Caller = (text: string) => void;

const callers = new AsyncLocalStorage<Caller>();

/** Works for a caller, who hears what this and the commands that it runs would say on standard error. */
export const workingFor = <Done>(caller: Caller, work: () => Promise<Done>): Promise<Done> =>
  callers.run(caller, work);

/** Undefined in a program that has standard error for itself. */
export const currentCaller = (): Caller | undefined => callers.getStore();

/** Says a line. */
export function sayLine(line: string): void {
  const caller = currentCaller();
  if (caller) caller(`${line}\n`);
  else console.error(line);
}
