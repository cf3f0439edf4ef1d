// Says in words what a schema refuses: the value found, and what to write instead. A schema's own message is
// the second half alone ("write 64 hexadecimal digits"). Knows nothing of files: positions.ts adds positions.
import * as z from "zod";
import { formatInWords, formOf, oneOf } from "./forms.ts";

export type Path = readonly PropertyKey[];

/** Something to fix in a value. */
export interface Finding {
  path: Path;
  /** The key under `path`, if the key itself is wrong and not its value. */
  key?: string;
  what: string;
}

/** Checks a value. Returns the parsed value, or every finding. */
export function checkValue<T>(schema: z.ZodType<T>, value: unknown): { value: T } | { findings: Finding[] } {
  const parsed = schema.safeParse(value, { error: hint, reportInput: true });
  return parsed.success ? { value: parsed.data } : { findings: explain(schema, parsed.error.issues) };
}

/** A value as one short line. */
export function inOneLine(value: unknown): string {
  // A key without a value is null to YAML.
  const text = value === undefined ? "nothing" : value === null ? "empty" : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** The most similar of the names, if it is similar enough for a typing mistake. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const [best] = names
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.ceil(candidate.length / 3))
    .sort((a, b) => a.distance - b.distance);
  return best?.candidate;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min(
          (row[j] ?? 0) + 1,
          (next[j - 1] ?? 0) + 1,
          (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      );
    row = next;
  }
  return row[b.length] ?? 0;
}

const TYPES: Record<string, string> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping of keys to values",
  record: "a mapping of keys to values",
};

/** What to write, for issues whose schema has no own message. */
function hint(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return wantedType(issue);
    case "invalid_value":
      return `write ${oneOf(issue.values.map(String))}`;
    case "invalid_union":
      return Array.isArray(issue.options)
        ? `write ${oneOf(issue.options.map(String))}`
        : "write what the schema allows";
    case "invalid_format":
      return `write ${formatInWords(issue.format) ?? `what matches ${issue.pattern}`}`;
    case "too_big":
      return issue.origin === "string"
        ? `write at most ${issue.maximum} characters`
        : `write ${amount(issue.origin, "at most", issue.maximum)}`;
    case "too_small":
      return issue.minimum === 1 && issue.origin === "string"
        ? "write some text"
        : `write ${amount(issue.origin, issue.inclusive === false ? "more than" : "at least", issue.minimum)}`;
    default:
      return "write what the schema allows";
  }
}

function wantedType({ inst, input, expected }: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidType>): string {
  const form = formOf(inst) ?? TYPES[expected] ?? expected;
  // A number, true and false are text once they stand in quotes.
  const [, example] = /^text such as (.*)$/.exec(form) ?? [];
  return example !== undefined && (typeof input === "number" || typeof input === "boolean")
    ? `write text in quotes, such as "${example}"`
    : `write ${form}`;
}

function amount(origin: string, bound: string, figure: number | bigint): string {
  const unit = origin === "string" ? " characters" : origin === "array" ? " entries" : "";
  return `${bound} ${figure}${unit}`;
}

/** Turns issues into findings. A mistyped key is both unknown and missing, and becomes one finding. */
function explain(schema: z.ZodType, issues: readonly z.core.$ZodIssue[]): Finding[] {
  const findings: Finding[] = [];
  const explained = new Set<string>();
  for (const issue of issues) {
    if (issue.code !== "unrecognized_keys") continue;
    const shape = shapeAt(schema, issue.path);
    const present = Object.keys(z.record(z.string(), z.unknown()).safeParse(issue.input).data ?? {});
    const free = Object.keys(shape).filter((key) => !present.includes(key));
    const missing = issues.filter(
      (other) => isMissing(other) && samePath(other.path.slice(0, -1), issue.path),
    );
    for (const key of issue.keys) {
      // One unknown key and one missing key are the same key under a wrong name, even if the names are very different.
      const only = issue.keys.length === 1 && missing.length === 1 ? missing[0]?.path.at(-1) : undefined;
      const meant = nearest(key, free) ?? (only === undefined ? undefined : String(only));
      if (meant !== undefined) explained.add(pathKey([...issue.path, meant]));
      findings.push({
        path: issue.path,
        key,
        what: `unknown key \`${key}\`; ${meant === undefined ? `remove it, or write ${oneOf(free.length > 0 ? free : Object.keys(shape))}` : `did you mean \`${meant}\`?`}`,
      });
    }
  }
  for (const issue of issues)
    if (issue.code !== "unrecognized_keys" && !explained.has(pathKey(issue.path)))
      findings.push({ path: issue.path, what: describe(schema, issue) });
  return findings;
}

function describe(schema: z.ZodType, issue: z.core.$ZodIssue): string {
  const name = pathName(issue.path);
  const input = inputOf(issue);
  if (isMissing(issue)) {
    const meaning = shapeAt(schema, issue.path.slice(0, -1))[String(issue.path.at(-1))]?.description;
    return `${name} is missing; ${issue.message}${meaning === undefined ? "" : ` (${meaning})`}`;
  }
  if (issue.code === "invalid_key")
    return `${name} is not a key that fits; ${issue.issues[0]?.message ?? issue.message}`;
  // If the message must not repeat the value, the schema itself says what was found.
  const found: unknown = issue.code === "custom" ? issue.params?.["found"] : undefined;
  return `${name} is ${typeof found === "string" ? found : inOneLine(input)}; ${issue.message}`;
}

/** The value at fault. For an unknown discriminator, the issue holds the whole object. */
function inputOf(issue: z.core.$ZodIssue): unknown {
  if (issue.code !== "invalid_union" || issue.discriminator === undefined) return issue.input;
  return z.record(z.string(), z.unknown()).safeParse(issue.input).data?.[issue.discriminator];
}

function isMissing(issue: z.core.$ZodIssue): boolean {
  return inputOf(issue) === undefined && issue.path.length > 0 && issue.code !== "unrecognized_keys";
}

function samePath(a: Path, b: Path): boolean {
  return pathKey(a) === pathKey(b);
}

function pathKey(path: Path): string {
  return path.map(String).join("\0");
}

/** `servers[2].name`; `this` for the whole value. */
export function pathName(path: Path): string {
  if (path.length === 0) return "this";
  return path.reduce<string>((name, part) => {
    if (typeof part === "number") return `${name}[${part}]`;
    return name === "" ? String(part) : `${name}.${String(part)}`;
  }, "");
}

/** The keys that a schema allows at a path. Looks through lists, optional values and unions. */
function shapeAt(schema: z.core.$ZodType, path: Path): Readonly<Record<string, z.ZodType>> {
  if (schema instanceof z.ZodOptional) return shapeAt(schema.unwrap(), path);
  if (schema instanceof z.ZodUnion)
    return Object.assign({}, ...schema.options.map((option) => shapeAt(option, path))) as Record<
      string,
      z.ZodType
    >;
  const [head, ...rest] = path;
  if (schema instanceof z.ZodArray) return head === undefined ? {} : shapeAt(schema.element, rest);
  if (schema instanceof z.ZodRecord) return head === undefined ? {} : shapeAt(schema.valueType, rest);
  if (!(schema instanceof z.ZodObject)) return {};
  if (head === undefined) return schema.shape;
  const next: z.ZodType | undefined = schema.shape[String(head)];
  return next ? shapeAt(next, rest) : {};
}
