// Reads the log of events that the Pulumi CLI writes while it works (`--event-log`), one JSON document a line.
import { readFile } from "node:fs/promises";
import * as z from "zod";

const metadata = z.object({
  op: z.string(),
  urn: z.string(),
  type: z.string(),
  /** Names of the properties that differ. */
  diffs: z.array(z.string()).nullish(),
  /** As the state has it. Secrets are hidden. */
  old: z
    .object({ protect: z.boolean().optional(), inputs: z.record(z.string(), z.unknown()).nullish() })
    .nullish(),
});
const eventSchema = z.object({
  resourcePreEvent: z.object({ metadata }).optional(),
  resOutputsEvent: z.object({ metadata }).optional(),
  resOpFailedEvent: z.object({ metadata }).optional(),
  diagnosticEvent: z
    .object({ urn: z.string().optional(), message: z.string(), severity: z.string() })
    .optional(),
  summaryEvent: z.object({ resourceChanges: z.record(z.string(), z.number()) }).optional(),
});

export type EngineEvent = z.infer<typeof eventSchema>;
export type Metadata = z.infer<typeof metadata>;

/** The flag `--event-log` exists only with this variable. The Automation API sets it too. */
export const EVENT_LOG_VARIABLES = { PULUMI_DEBUG_COMMANDS: "true" } as const;

/** The log of one command, read while it grows. */
export class EventLog {
  readonly #file: string;
  #read = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** The events since the last call. It leaves an incomplete line for the next call. */
  async next(): Promise<EngineEvent[]> {
    const text = await readFile(this.#file, "utf8").catch(() => "");
    const whole = text.lastIndexOf("\n") + 1;
    const fresh = text.slice(this.#read, whole);
    this.#read = Math.max(this.#read, whole);
    return fresh.split("\n").flatMap((line) => (line === "" ? [] : [eventSchema.parse(JSON.parse(line))]));
  }
}

/** A message of the engine without its colours, which look like `<{%reset%}>`. */
export function withoutColours(text: string): string {
  return text.replaceAll(/<\{%.*?%\}>/g, "");
}
