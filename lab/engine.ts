// What both engines have in common: given a stack, they bring the lab to what it declares.
import type { LabConfiguration } from "./configuration.ts";
import type { Lab } from "./lab.ts";
import type { Progress } from "./progress.ts";

/** What an engine works with. */
export interface Task {
  lab: Lab;
  configuration: LabConfiguration;
  progress: Progress;
  /** Names of all machines, to tell whose step a resource is. */
  machines: readonly string[];
}

/** How many resources an `up` found as declared, and how many it had to change. */
export interface Outcome {
  resources: number;
  changed: number;
}

export interface Engine {
  readonly name: string;
  /** Brings one stack up. Rejects with a UserError where a step failed. */
  up(stack: string, task: Task): Promise<Outcome>;
}
