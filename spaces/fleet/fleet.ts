// What a space's entry may say, and the reading of an environment's tenants files. The rules between spaces
// are in fleet-checks.ts, the reading of one file in entries.ts.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { environmentFile, readEnvironment } from "../../infra/inventory/environment-file.ts";
import type { Environment } from "../../infra/inventory/environment.ts";
import { UserError } from "../../validation/user-error.ts";
import type { Path } from "../../validation/wording.ts";
import { readYaml, report, type Position, type Problem, type Reading } from "../../validation/positions.ts";
import { catalogSchema, type Catalog } from "./catalog.ts";
import { CHECKS } from "./fleet-checks.ts";
import { readEntries } from "./entries.ts";
import { idSchema, TENANT_LIMITS } from "./ids.ts";

/** A word of 20 characters and more that nobody would write in a name, or what follows "password:". */
function looksSecret(text: string): boolean {
  const random =
    /(?=\S*[a-z])(?=\S*[A-Z])(?=\S*[0-9])[A-Za-z0-9+/=_.-]{20,}|[0-9a-f]{32,}|\bAKIA[0-9A-Z]{16}\b/;
  const named =
    /(?:pass(?:word|wd|phrase)?|mot de passe|secret|token|api[-_ ]?key)\s*[:=]\s*\S{4,}|-----BEGIN/i;
  return random.test(text) || named.test(text);
}

/** One line that people read: no control, invisible or direction-changing character, no space at an end. */
const line = z
  .string()
  .min(1)
  .max(TENANT_LIMITS.textLongest)
  .regex(
    /^[^\p{C}\p{Zl}\p{Zp}\s](?:[^\p{C}\p{Zl}\p{Zp}]*[^\p{C}\p{Zl}\p{Zp}\s])?$/u,
    "write one line of visible characters, without spaces around it",
  )
  .refine((text) => !looksSecret(text), {
    error:
      "it looks like a secret, and everybody who reads the repository reads it: remove it, and have it changed where it opens something",
    params: { found: "a text with something in it that is not repeated here" },
  });

/** What sort of group a space belongs to. */
export const KINDS = [
  "association",
  "collective",
  "cooperative",
  "federation",
  "local-union",
  "union",
] as const;

const fields = {
  id: idSchema.describe("where the space lives: <id>.<domain>; never changes"),
  name: line.describe("as the group writes it"),
  kind: z.enum(KINDS).describe("what sort of group it is"),
  contact: z
    .email()
    .max(254)
    .describe("mail address of a role, not of a person: the first administrator's invitation goes there"),
  plan: z.string().describe("a plan of spaces/catalog.yaml"),
  office: z
    .string()
    .describe("the office suite that a new space starts with; its administrator may change it"),
  wave: z.string().describe("when the space is upgraded: a wave of spaces/catalog.yaml"),
};

const stopped = {
  reason: line.describe("why; visitors do not see it"),
  since: z.iso.date().describe("first day of this state"),
};
const onlyStopped = z.never("remove it, or write state: suspended").optional();

/** One entry of a tenants file. */
export const tenantSchema = z.discriminatedUnion("state", [
  z.strictObject({ ...fields, state: z.literal("active"), reason: onlyStopped, since: onlyStopped }),
  z.strictObject({ ...fields, state: z.literal("suspended"), ...stopped }),
  z.strictObject({ ...fields, state: z.literal("archived"), ...stopped }),
]);
export type Tenant = z.infer<typeof tenantSchema>;

/** The spaces of one tenants file: one Pulumi stack. */
export interface Shard {
  /** `001`, as in `spaces/tenants/<environment>/001.yaml` and `<environment>-spaces-001`. */
  name: string;
  /** Path from the root of the repository. */
  file: string;
  /** In file order; entries with problems of their own are left out. */
  tenants: Tenant[];
  /** Where a space's entry, or one of its values, stands. */
  at: (tenant: Tenant, ...path: Path) => Position;
}

/** Everything that an environment declares, and everything that is wrong with it. */
export interface Fleet {
  environmentName: string;
  /** Absent when its file has problems. */
  environment?: Environment;
  /** Absent when its file has problems. */
  catalog?: Catalog;
  shards: Shard[];
  problems: Problem[];
  /** Where values of the two files stand, for rules that compare them with others. */
  sources: { environment: Source; catalog: Source };
}

/** A file whose values can be pointed at. */
export interface Source {
  file: string;
  at: (path: Path) => Position;
}

/** Paths from the root of the repository. */
export const CATALOG_FILE = "spaces/catalog.yaml";
export const TENANTS_FOLDER = "spaces/tenants";
export const tenantsFolder = (environmentName: string): string => `${TENANTS_FOLDER}/${environmentName}`;
const SHARD_FILE = /\/\d{3}\.yaml$/;

/**
 * Reads and checks an environment's configuration, the catalog and every tenants file. Never throws on bad
 * input. `drafts` are texts of tenants files (by path) to be read instead of what is on disk.
 */
export function loadFleet(
  root: string,
  environmentName: string,
  drafts: ReadonlyMap<string, string> = new Map(),
): Fleet {
  const environment = readEnvironment(root, environmentName);
  const catalog = readCatalog(root);
  const problems = [...environment.problems, ...catalog.problems];
  const shards: Shard[] = [];
  for (const file of tenantsFiles(root, environmentName, drafts)) {
    if (!SHARD_FILE.test(file)) {
      problems.push({
        file,
        line: 1,
        column: 1,
        what: "this is no tenants file; name it by three digits, such as 002.yaml",
      });
      continue;
    }
    const draft = drafts.get(file);
    const shard = readShard(file, draft === undefined ? readFileSync(join(root, file)) : Buffer.from(draft));
    shards.push(shard);
    problems.push(...shard.problems);
  }
  const fleet: Fleet = {
    environmentName,
    ...(environment.value && { environment: environment.value }),
    ...(catalog.value && { catalog: catalog.value }),
    shards,
    problems,
    sources: {
      environment: { file: environmentFile(environmentName), at: environment.at },
      catalog: { file: CATALOG_FILE, at: catalog.at },
    },
  };
  for (const check of CHECKS) problems.push(...check(fleet));
  return fleet;
}

function tenantsFiles(root: string, environmentName: string, drafts: ReadonlyMap<string, string>): string[] {
  const folder = tenantsFolder(environmentName);
  const onDisk = existsSync(join(root, folder))
    ? readdirSync(join(root, folder)).map((name) => `${folder}/${name}`)
    : [];
  return [...new Set([...onDisk, ...drafts.keys()])].sort();
}

/** Reads spaces/catalog.yaml. */
export function readCatalog(root: string): Reading<Catalog> {
  return readYaml(CATALOG_FILE, readFileSync(join(root, CATALOG_FILE)), catalogSchema);
}

/** Reads one tenants file; rules between spaces are not checked. */
export function readShard(file: string, bytes: Uint8Array): Shard & { problems: Problem[] } {
  const { entries, problems, at } = readEntries(file, bytes, tenantSchema);
  const indices = new Map(entries.map(({ value, index }) => [value, index]));
  return {
    name: file.slice(-8, -5),
    file,
    tenants: entries.map(({ value }) => value),
    at: (tenant, ...path) => at(indices.get(tenant) ?? 0, path),
    problems,
  };
}

/** Throws a UserError, with every problem in its message and `note` after them, unless the fleet may be built. */
export function assertValid(
  fleet: Fleet,
  note = "",
): asserts fleet is Fleet & Required<Pick<Fleet, "environment" | "catalog">> {
  if (fleet.problems.length > 0 || !fleet.environment || !fleet.catalog)
    throw new UserError(`${reportFleet(fleet)}${note}`);
}

/** The one text for everything that is wrong with an environment. */
export function reportFleet(fleet: Fleet): string {
  return reportFleets([fleet]);
}

/** The same for several environments, what they share said once. */
export function reportFleets(fleets: readonly Fleet[]): string {
  const faulty = fleets.filter(({ problems }) => problems.length > 0);
  const names = faulty.map(({ environmentName }) => environmentName).join(", ");
  const problems = new Map(
    faulty.flatMap((fleet) => fleet.problems).map((problem) => [JSON.stringify(problem), problem]),
  );
  return report(faulty.length === 1 ? `Environment ${names} is` : `Environments ${names} are`, [
    ...problems.values(),
  ]);
}
