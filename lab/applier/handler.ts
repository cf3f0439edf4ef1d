// How the applier handles one type of resource.
import type * as z from "zod";
import type { Task } from "../engine.ts";

export interface Handled {
  id: string;
  /** Outputs that are not inputs. */
  outputs?: Record<string, unknown>;
  changed: boolean;
  /** What to show when it is done. */
  detail?: string;
}

export interface Context extends Task {
  /** The resource's logical name. */
  name: string;
}

/** Creates or updates a resource as declared. The secrets among its inputs are in plain text. */
export type Handler = (inputs: unknown, context: Context) => Promise<Handled>;

/** A handler that parses its inputs by a schema. */
export function handler<T>(
  schema: z.ZodType<T>,
  handle: (inputs: T, context: Context) => Promise<Handled>,
): Handler {
  return (inputs, context) => handle(schema.parse(inputs), context);
}
