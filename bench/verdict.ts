// What a measurement says of each figure: whether it kept its budget.

export class Verdict {
  #passed = true;

  /** Whether all figures kept their budgets until now. */
  get passed(): boolean {
    return this.#passed;
  }

  /** Prints a figure's line, with a sign for whether it fits. One that is no number does not. */
  say(fits: boolean, line: string): void {
    this.#passed &&= fits;
    console.log(`${fits ? "✔" : "✘"} ${line}`);
  }
}
