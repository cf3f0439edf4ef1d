// What evaluating the program gives: the resources that it declares, as the engine would be told of them. Secrets keep
// the mark that the engine's own wire format and state files give them.

/** Marks of a secret in the engine's wire format (pulumi/sdk/go/common/resource/properties.go). */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Options that change what the engine does with a resource; those left at their default are absent. */
export interface ResourceOptions {
  ignoreChanges?: string[];
  replaceOnChanges?: string[];
  additionalSecretOutputs?: string[];
  deleteBeforeReplace?: boolean;
  retainOnDelete?: boolean;
  deletedWith?: string;
  import?: string;
  timeouts?: Record<string, string>;
}

export interface Resource {
  type: string;
  /** The logical name, unique among its parent's children of that type. */
  name: string;
  urn: string;
  /** URN; absent for the stack itself. */
  parent?: string;
  /** False for components, which only group others. */
  custom: boolean;
  inputs: Record<string, unknown>;
  /** URNs, sorted. */
  dependencies: string[];
  /** Input → URNs whose outputs went into it. */
  propertyDependencies: Record<string, string[]>;
  protect: boolean;
  /** URN of the provider, where one was given. */
  provider?: string;
  options: ResourceOptions;
}

export interface Graph {
  stack: string;
  /** Sorted by URN. */
  resources: Resource[];
  outputs: Record<string, unknown>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value in plain, marked as secret. */
export function secret(value: unknown): Record<string, unknown> {
  return { [SIGNATURE]: SECRET, value };
}

/** Whether a value, at its top, is marked as secret. */
export function isSecret(value: unknown): value is { value: unknown } {
  return isRecord(value) && value[SIGNATURE] === SECRET;
}

/** Replaces every secret in a value by what `replace` makes of its plain value; the rest is copied. */
export function mapSecrets(value: unknown, replace: (plain: unknown) => unknown): unknown {
  if (isSecret(value)) return replace(value.value);
  if (Array.isArray(value)) return value.map((item) => mapSecrets(item, replace));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapSecrets(item, replace)]));
}

/** A value with its secrets in plain: for those who act on it. Never print what it gives. */
export function reveal(value: unknown): unknown {
  return mapSecrets(value, reveal);
}
