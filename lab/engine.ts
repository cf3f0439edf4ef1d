// What both engines share: they make the lab match what a stack declares.
import type { LabConfiguration } from "./configuration.ts";
import type { Lab } from "./lab.ts";
import type { Progress } from "./progress.ts";

/** What an engine works with. */
export interface Task {
  lab: Lab;
  configuration: LabConfiguration;
  progress: Progress;
  /** Names of all machines, to find the machine of a step. */
  machines: readonly string[];
}

/** How many resources a stack has, and how many of them `up` changed. */
export interface Outcome {
  resources: number;
  changed: number;
}

export interface Engine {
  readonly name: string;
  /** Brings one stack up. Rejects with a UserError if a step failed. */
  up(stack: string, task: Task): Promise<Outcome>;
}
