// The result of an evaluation: the resources that the program declares, as the engine would receive them. Secrets carry
// the marker that the engine's wire format and state files use.

/** Marker of a secret in the engine's wire format (pulumi/sdk/go/common/resource/properties.go). */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Options that change what the engine does with a resource. Options at their default are absent. */
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
  /** Input → URNs of the resources whose outputs it uses. */
  propertyDependencies: Record<string, string[]>;
  protect: boolean;
  /** URN of the explicit provider, if there is one. */
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

/** Marks a plain value as secret. */
export function secret(value: unknown): Record<string, unknown> {
  return { [SIGNATURE]: SECRET, value };
}

/** A secret as state files have it while it is not encrypted: `pulumi stack import` reads it, and encrypts it. */
export function stateSecret(plain: unknown): Record<string, unknown> {
  return { [SIGNATURE]: SECRET, plaintext: JSON.stringify(plain) };
}

/** Tells whether a value itself is marked as secret. Does not look inside it. */
export function isSecret(value: unknown): value is { value: unknown } {
  return isRecord(value) && value[SIGNATURE] === SECRET;
}

/** Copies a value and replaces each secret in it by the result of `replace`, called with the plain value. */
export function mapSecrets(value: unknown, replace: (plain: unknown) => unknown): unknown {
  if (isSecret(value)) return replace(value.value);
  if (Array.isArray(value)) return value.map((item) => mapSecrets(item, replace));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapSecrets(item, replace)]));
}

/** Copies a value with its secrets in plain text, for code that needs them. Never print the result. */
export function reveal(value: unknown): unknown {
  return mapSecrets(value, reveal);
}
