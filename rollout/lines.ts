// What a rollout shows while it works: one line for each stack that has ended, and on a terminal one that tells how far
// the others are.

/** How often the moving line is written again. */
const MILLISECONDS = 500;

/** One stack's place on the terminal. */
export interface Line {
  progress: (resources: number) => void;
  /** Something that people should know, under the stack's name. */
  note: (text: string) => void;
  end: (how: string) => void;
}

export class Lines {
  readonly #total: number;
  readonly #started = performance.now();
  readonly #running = new Map<string, { done: number; resources: number }>();
  readonly #timer: NodeJS.Timeout | undefined;
  #ended = 0;

  /** @param total How many stacks there are. */
  constructor(total: number) {
    this.#total = total;
    if (process.stdout.isTTY) this.#timer = setInterval(() => this.#show(), MILLISECONDS);
  }

  /** @param resources How many resources the stack has. */
  begin(stack: string, resources: number): Line {
    const started = performance.now();
    const state = { done: 0, resources };
    this.#running.set(stack, state);
    return {
      progress: (done) => (state.done = Math.min(done, resources)),
      note: (text) => this.say(`${stack}: ${text}`),
      end: (how) => {
        this.#running.delete(stack);
        this.#ended += 1;
        const seconds = Math.round((performance.now() - started) / 1000);
        this.say(`[${this.#ended}/${this.#total}] ${stack}: ${how} (${duration(seconds)})${this.#left()}`);
      },
    };
  }

  say(text: string): void {
    this.#clear();
    console.log(text);
    this.#show();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#clear();
  }

  /** What is left, of the time that the stacks so far took. */
  #left(): string {
    const left = this.#total - this.#ended;
    if (left === 0) return "";
    const each = (performance.now() - this.#started) / 1000 / this.#ended;
    return `, about ${duration(Math.round(each * left))} left`;
  }

  #show(): void {
    if (!this.#timer || this.#running.size === 0) return;
    const parts = [...this.#running].map(
      ([stack, { done, resources }]) =>
        `${stack} ${resources === 0 ? 0 : Math.floor((done / resources) * 100)} %`,
    );
    process.stdout.write(`\r\u001B[K${parts.join("  ").slice(0, (process.stdout.columns || 80) - 1)}`);
  }

  #clear(): void {
    if (this.#timer) process.stdout.write("\r\u001B[K");
  }
}

/** `41 s`, `12 min`, `3 h 20 min`. */
export function duration(seconds: number): string {
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
