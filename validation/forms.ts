// What a schema wants, in words and mostly with an example, for whoever left a value out or wrote something else.
import * as z from "zod";

const FORMATS: Readonly<Record<string, string>> = {
  email: "a mail address such as contact@example.org",
  url: "an address such as https://example.org/file",
  date: "a date such as 2026-11-30",
};

/** `one of a, b`, from the allowed names. */
export function oneOf(allowed: readonly string[]): string {
  return allowed.length === 1 ? `${allowed[0]}` : `one of ${allowed.join(", ")}`;
}

/** What a format of text looks like: `a date such as 2026-11-30`. Undefined for formats without a name. */
export function formatInWords(format: string | undefined): string | undefined {
  return FORMATS[format ?? ""];
}

/** What a schema wants, as it follows "write": `a whole number from 1 to 16`. Undefined if only a type can be said. */
export function formOf(schema: unknown): string | undefined {
  if (schema instanceof z.ZodOptional) return formOf(schema.unwrap());
  if (schema instanceof z.ZodEnum) return oneOf(schema.options.map(String));
  if (schema instanceof z.ZodNumber) return numberForm(schema);
  if (schema instanceof z.ZodArray) return `a list${ofEach("entry", schema.element)}`;
  if (schema instanceof z.ZodRecord) return `a mapping${ofEach("key", schema.valueType)}`;
  if (schema instanceof z.ZodObject) return `a mapping with the keys ${Object.keys(schema.shape).join(", ")}`;
  if (schema instanceof z.ZodString || schema instanceof z.ZodStringFormat) return textForm(schema);
  return undefined;
}

function ofEach(part: string, schema: unknown): string {
  const form = formOf(schema);
  return form === undefined ? "" : `; for each ${part}, ${form}`;
}

const WRITE = "write ";

function textForm(schema: z.ZodString | z.ZodStringFormat): string | undefined {
  const examples: unknown = z.globalRegistry.get(schema)?.examples;
  if (Array.isArray(examples) && examples.length > 0) return `text such as ${String(examples[0])}`;
  // A schema's own messages, about a text that is surely wrong.
  const own = schema.safeParse("\0").error?.issues.find(({ message }) => message.startsWith(WRITE));
  return own ? own.message.slice(WRITE.length) : formatInWords(schema.format ?? undefined);
}

function numberForm(schema: z.ZodNumber): string {
  const bag: { exclusiveMinimum?: unknown } = schema._zod.bag;
  const { minValue: least, maxValue: most } = schema;
  const kind = schema.format?.includes("int") ? "a whole number" : "a number";
  if (typeof bag.exclusiveMinimum === "number") return `${kind} above ${bag.exclusiveMinimum}`;
  if (least === null || least < -1e9) return kind;
  return most !== null && most < 1e9 ? `${kind} from ${least} to ${most}` : `${kind}, at least ${least}`;
}
