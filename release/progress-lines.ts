// What people see while a release is made: one line for each event, with the time since the start.

export type Say = (text: string) => void;

/** Lines with the seconds since now. */
export function linesSinceNow(print: (line: string) => void = console.log): Say {
  const start = performance.now();
  return (text) => print(`[${((performance.now() - start) / 1000).toFixed(1)}s] ${text}`);
}
