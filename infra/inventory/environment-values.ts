// An environment's values as the engine hands them over: text by key.
import { environmentSchema } from "./environment.ts";

/**
 * The values of an environment that are set, by key, not checked yet. `textOf` gives the engine's text of a key without
 * its prefix: JSON for a structured value, a string as it is.
 */
export function environmentValues(textOf: (key: string) => string | undefined): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(environmentSchema.shape).flatMap((key) => {
      const text = textOf(key);
      return text === undefined ? [] : [[key, parseValue(text)]];
    }),
  );
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
