// How far long work is, as a line every minute on standard error, which the journal keeps.

export class Progress {
  readonly #who: string;
  readonly #total: number;
  readonly #begun = performance.now();
  readonly #timer: NodeJS.Timeout;
  #said = false;
  #done = 0;
  #failed = 0;

  /** @param who The program. Work that takes less than `everySeconds` says nothing. */
  constructor(who: string, total: number, everySeconds: number) {
    this.#who = who;
    this.#total = total;
    this.#timer = setInterval(() => {
      this.#say();
    }, everySeconds * 1000);
  }

  count(how: "done" | "failed"): void {
    if (how === "done") this.#done += 1;
    else this.#failed += 1;
  }

  end(): void {
    clearInterval(this.#timer);
    if (this.#said) this.#say();
  }

  #say(): void {
    this.#said = true;
    const ended = this.#done + this.#failed;
    const left = this.#total - ended;
    const minutes = Math.ceil((((performance.now() - this.#begun) / 60_000) * left) / ended);
    const rest = left > 0 && ended > 0 ? `, for about ${minutes} min` : "";
    console.error(
      `${this.#who}: ${this.#total} spaces: ${this.#done} done, ${this.#failed} failed, ${left} left${rest}`,
    );
  }
}
