// The messages of a lab while it works: one line for each event, with the time since the start.

/** A step as people see it: the machine, and what happens on it. */
export interface Step {
  machine: string;
  step: string;
}

/** A running step is mentioned again each time this many seconds have passed. */
const HEARTBEAT_SECONDS = 20;

export class Progress {
  readonly #start = performance.now();
  readonly #running = new Map<string, { started: number; mentioned: number }>();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#mention(), 1000);
    this.#timer.unref();
  }

  /** Seconds since the start. */
  get seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  say(text: string): void {
    console.log(`[${this.seconds.toFixed(1)}s] ${text}`);
  }

  begin({ machine, step }: Step): void {
    this.#running.set(`${machine}: ${step}`, { started: this.seconds, mentioned: this.seconds });
  }

  done({ machine, step }: Step, detail = ""): void {
    this.#end(`${machine}: ${step}`, `done${detail === "" ? "" : `, ${detail}`}`);
  }

  failed({ machine, step }: Step): void {
    this.#end(`${machine}: ${step}`, "FAILED");
  }

  /** Runs an action as a step. */
  async step<T>(step: Step, act: () => Promise<T>): Promise<T> {
    this.begin(step);
    try {
      const result = await act();
      this.done(step);
      return result;
    } catch (error) {
      this.failed(step);
      throw error;
    }
  }

  #end(key: string, how: string): void {
    const began = this.#running.get(key)?.started ?? this.seconds;
    this.#running.delete(key);
    this.say(`${key} … ${how} (${(this.seconds - began).toFixed(1)}s)`);
  }

  #mention(): void {
    for (const [key, step] of this.#running)
      if (this.seconds - step.mentioned >= HEARTBEAT_SECONDS) {
        step.mentioned = this.seconds;
        this.say(`${key} … still at it (${Math.round(this.seconds - step.started)}s)`);
      }
  }
}

/** A resource as a step: of the machine whose name it begins with; otherwise `lotus-role` becomes `lotus: role`. */
export function stepOf(type: string, name: string, machines: readonly string[]): Step {
  const machine = machines.find((one) => name === one || name.startsWith(`${one}-`));
  if (type === "hcloud:index/server:Server") return { machine: name, step: "boot" };
  if (machine !== undefined) return { machine, step: name.slice(machine.length + 1) || "machine" };
  const cut = name.lastIndexOf("-");
  return cut < 0
    ? { machine: name, step: "resource" }
    : { machine: name.slice(0, cut), step: name.slice(cut + 1) };
}
