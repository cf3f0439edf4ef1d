// How the applier realises one type of resource.
import type * as z from "zod";
import type { Task } from "../engine.ts";

export interface Realised {
  id: string;
  /** Outputs that are not inputs. */
  outputs?: Record<string, unknown>;
  changed: boolean;
  /** What there is to say when it is done. */
  detail?: string;
}

export interface Surroundings extends Task {
  /** The resource's logical name. */
  name: string;
}

/** Makes a resource be there as declared. Inputs have their secrets in plain. */
export type Realiser = (inputs: unknown, surroundings: Surroundings) => Promise<Realised>;

/** A realiser that reads its inputs by a schema. */
export function realiser<T>(
  schema: z.ZodType<T>,
  realise: (inputs: T, surroundings: Surroundings) => Promise<Realised>,
): Realiser {
  return (inputs, surroundings) => realise(schema.parse(inputs), surroundings);
}
