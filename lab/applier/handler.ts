// How the applier handles one type of resource.
import type * as z from "zod";
import type { Task } from "../engine.ts";

export interface Handled {
  id: string;
  /** Outputs that are not inputs. */
  outputs?: Record<string, unknown>;
  changed: boolean;
  /** What there is to say when it is done. */
  detail?: string;
}

export interface Context extends Task {
  /** The resource's logical name. */
  name: string;
}

/** Makes a resource be there as declared. Inputs have their secrets in plain. */
export type Handler = (inputs: unknown, context: Context) => Promise<Handled>;

/** A handler that reads its inputs by a schema. */
export function handler<T>(
  schema: z.ZodType<T>,
  handle: (inputs: T, context: Context) => Promise<Handled>,
): Handler {
  return (inputs, context) => handle(schema.parse(inputs), context);
}
