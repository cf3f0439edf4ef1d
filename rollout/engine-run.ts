// One command of the engine on one stack, as a process of its own: its memory goes with it, and its exit status is the
// CLI's.
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname, delimiter } from "node:path";
import type { Project } from "./backend.ts";
import {
  EVENT_LOG_VARIABLES,
  EventLog,
  withoutColours,
  type Metadata,
} from "../spaces/gated-pulumi/event-log.ts";
import { readCommandLine } from "../spaces/gated-pulumi/command-line.ts";

/** After this long, a command is asked to end: the `up` of a new platform takes a fifth of it. */
const MINUTES = 60;
/** An `up` that was asked to end finishes what is under way. Then it is asked again, and gives that up. */
const GRACE_MINUTES = 10;

/** The commands, and what they get besides what `npm run pulumi` adds. */
const FLAGS = {
  up: ["--yes", "--skip-preview"],
  preview: [],
  // Compares the state with what is there, writes nothing and takes no lock.
  refresh: ["--preview-only"],
} as const;

export interface Failure {
  /** URN of the resource. Absent if the whole `up` failed. */
  urn?: string;
  message: string;
}

export interface Outcome {
  ok: boolean;
  /** How many resources were created, changed or removed, or would be. */
  changed: number;
  /** What the engine does, or would do, to each of them. */
  steps: Metadata[];
  failures: Failure[];
  /** All that the CLI printed. */
  output: string;
}

export interface RunOptions {
  project: Project;
  /** More variables for the CLI. */
  environmentVariables?: Readonly<Record<string, string>>;
  /** A folder. Files to write: `<logs>/<stack>.log` and `<logs>/<stack>.events`. */
  logs: string;
  /** How many resources at once. */
  parallel: number;
  /** Called with the number of resources that are finished. */
  onProgress?: (done: number) => void;
  /** Ends the command gently: what is under way is finished. */
  signal: AbortSignal;
}

/** Runs a command, without questions. Never rejects for what the CLI does. */
export async function runEngine(
  command: keyof typeof FLAGS,
  stack: string,
  options: RunOptions,
): Promise<Outcome> {
  const { project, environmentVariables, logs, parallel, onProgress = () => {}, signal } = options;
  const [log, events] = [`${logs}/${stack}.log`, `${logs}/${stack}.events`];
  rmSync(events, { force: true });
  const typed = [command, "--stack", stack, "--config-file", project.configFile, ...FLAGS[command]];
  const { words } = readCommandLine([
    ...typed,
    "--non-interactive",
    "--parallel",
    String(parallel),
    "--event-log",
    events,
  ]);
  const output = openSync(log, "w", 0o600);
  // Not by execa: its output must be a file, so that the CLI goes on if this process is killed.
  const child = spawn(project.cli, words, {
    cwd: project.root,
    // This Node first: the program needs Node 22, and the system's may be older.
    env: {
      ...process.env,
      ...environmentVariables,
      ...EVENT_LOG_VARIABLES,
      PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
    },
    stdio: ["ignore", output, output],
    // In a group of its own, it does not get a terminal's Ctrl-C, which would reach its plug-ins too and end what is
    // under way.
    detached: true,
  });
  closeSync(output);
  const end = () => child.kill("SIGINT");
  signal.addEventListener("abort", end);
  const late = setTimeout(end, MINUTES * 60_000);
  const tooLate = setTimeout(() => child.kill("SIGTERM"), (MINUTES + GRACE_MINUTES) * 60_000);
  const told = new Told(new EventLog(events), onProgress);
  const following = setInterval(() => void told.read(), 500);
  const ok = await ended(child);
  clearInterval(following);
  clearTimeout(late);
  clearTimeout(tooLate);
  signal.removeEventListener("abort", end);
  await told.read();
  const { changed, steps, failures } = told;
  return { ok, changed, steps: [...steps.values()], failures, output: readFileSync(log, "utf8") };
}

/** Whether the process ends with status 0. */
function ended(child: ChildProcess): Promise<boolean> {
  return new Promise((resolve, reject) => {
    child.once("error", reject).once("exit", (status) => resolve(status === 0));
  });
}

/** The engine's words for a resource that stays as it is. */
const UNCHANGED = new Set(["same", "refresh", "read"]);

/** What the events of an `up` have told so far. */
class Told {
  changed = 0;
  /** By URN. A preview with a refresh tells each resource twice; the second time counts. */
  readonly steps = new Map<string, Metadata>();
  readonly failures: Failure[] = [];
  readonly #log: EventLog;
  readonly #onProgress: (done: number) => void;
  #done = 0;

  constructor(log: EventLog, onProgress: (done: number) => void) {
    this.#log = log;
    this.#onProgress = onProgress;
  }

  async read(): Promise<void> {
    for (const { resOutputsEvent, diagnosticEvent, summaryEvent } of await this.#log.next()) {
      if (resOutputsEvent) {
        this.#done += 1;
        const { metadata } = resOutputsEvent;
        if (UNCHANGED.has(metadata.op)) this.steps.delete(metadata.urn);
        else this.steps.set(metadata.urn, metadata);
      }
      if (diagnosticEvent?.severity === "error") {
        const { urn, message } = diagnosticEvent;
        this.failures.push({ ...(urn !== undefined && { urn }), message: withoutColours(message).trim() });
      }
      if (summaryEvent) {
        const { same: _, ...others } = summaryEvent.resourceChanges;
        this.changed = Object.values(others).reduce((sum, number) => sum + number, 0);
      }
    }
    this.#onProgress(this.#done);
  }
}
