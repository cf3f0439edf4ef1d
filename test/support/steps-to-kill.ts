// At which of its steps a program is killed. All of them take minutes, so a run takes every sixth, from another one on
// each time. FRAMASPACE_EVERY_STEP=1 takes all.
const EACH = process.env.FRAMASPACE_EVERY_STEP === undefined ? 6 : 1;

/** The numbers of the steps, from 1 to `count`, that are tried. */
export function stepsToKill(count: number): number[] {
  const offset = Math.floor(Math.random() * EACH);
  return Array.from({ length: count }, (_, index) => index + 1).filter((step) => step % EACH === offset);
}
