// What platform-health knows while it looks, and how it asks.
import { run, type CommandOptions, type Ended } from "../../machine/programs/run-command.ts";
import type { HealthSettings } from "./health-settings.ts";

export interface LookedAt {
  /** The folder in the machine's place; on the machine "". */
  readonly root: string;
  readonly settings: HealthSettings;
  /** Seconds by which a clock may be wrong. */
  readonly clockSeconds: number;
  readonly certificateDays: number;
}

/** From which percentage on a memory or a number of connections is full. machine-health checks disks. */
export const FULL = 80;

/** Runs a command that gets some seconds. Its status is 124 then, as timeout(1) says. */
export const ask = (
  seconds: number,
  command: string,
  words: readonly string[],
  options: CommandOptions = {},
): Promise<Ended> => run("timeout", [String(seconds), command, ...words], options);

export const linesIn = (text: string | undefined): string[] => (text ?? "").split("\n").filter(Boolean);
