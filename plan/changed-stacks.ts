// Finds the stacks that a change can concern. The inputs of a stack are the program's files, the configuration of its
// environment, the catalog, and, for a stack of spaces, its tenants file. A stack whose inputs are all unchanged is not
// evaluated.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { environmentNames } from "../infra/inventory/environment-file.ts";
import { CATALOG_FILE, tenantsFolder, TENANTS_FOLDER } from "../spaces/fleet/fleet.ts";

export interface Stack {
  name: string;
  environment: string;
  /** The tenants file, for stacks of spaces. */
  tenantsFile?: string;
  inBase: boolean;
  inHead: boolean;
}

/** Files that no stack reads. Every other file counts as part of the program. */
const NO_INPUT =
  /^(docs|test|evaluate|plan|check|review|lab|bench|bin|policies)\/|^\.|^[^/]*\.md$|^(LICENSE|CODEOWNERS|tsconfig\.json|vitest\.config\.ts|renovate\.json|spaces\/tenants\.schema\.json)$/;
/** What neither runs nor says what runs: data that its own rules check, and texts. */
const NO_CODE = /^spaces\/tenants\/|^docs\/|^[^/]*\.md$|^LICENSE$/;
const CONFIGURATION = /^Pulumi\.[a-z][a-z0-9]*\.yaml$/;

/**
 * What a plan reads of a base that has the same program as the work tree. Extracting only these files saves most of the
 * time that extracting the whole base takes.
 */
export const DATA = ["*.yaml"];

function isData(file: string): boolean {
  return file === CATALOG_FILE || CONFIGURATION.test(file) || file.startsWith(`${TENANTS_FOLDER}/`);
}

/** Whether a change may concern more than data. A file counts even if only its comments changed. */
export function mayChangeProgram(changed: readonly string[]): boolean {
  return changed.some((file) => !NO_INPUT.test(file) && !isData(file));
}

/** The stacks of both versions that may differ, and the number of all stacks. */
export function changedStacks(
  changed: readonly string[],
  base: string,
  head: string,
): { changed: Stack[]; total: number; programChanged: boolean } {
  const differing = new Set(changed.filter((file) => !NO_INPUT.test(file) && differs(file, base, head)));
  const programChanged = [...differing].some((file) => !isData(file));
  const everything = programChanged || differing.has(CATALOG_FILE);
  const stacks = allStacks(base, head);
  return {
    changed: stacks.filter(
      ({ environment, tenantsFile }) =>
        everything ||
        differing.has(`Pulumi.${environment}.yaml`) ||
        (tenantsFile !== undefined && differing.has(tenantsFile)),
    ),
    total: stacks.length,
    programChanged,
  };
}

/** The files of a change that a moderator may not approve alone. */
export function codeIn(changed: readonly string[]): string[] {
  return changed.filter((file) => !NO_CODE.test(file)).sort();
}

/** YAML files with equal data do not differ: a corrected comment is no change. */
function differs(file: string, base: string, head: string): boolean {
  const [before, after] = [base, head].map((root) => join(root, file));
  if (!file.endsWith(".yaml") || !before || !after || !existsSync(before) || !existsSync(after)) return true;
  // Parsing is slow, so it is done only where the files are equal apart from comments and blank lines.
  const bare = (path: string) => readFileSync(path, "utf8").replaceAll(/^\s*(#.*)?\n/gm, "");
  return (
    bare(before) !== bare(after) ||
    JSON.stringify(readLeniently(before)) !== JSON.stringify(readLeniently(after))
  );
}

/** The data of a YAML file. A file that cannot be parsed gives an object with its text, which equals no valid data. */
export function readLeniently(path: string): unknown {
  const text = readFileSync(path, "utf8");
  try {
    return parse(text, { maxAliasCount: 0 });
  } catch {
    return { unreadable: text };
  }
}

function allStacks(base: string, head: string): Stack[] {
  const [inBase, inHead] = [stacksOf(base), stacksOf(head)];
  return [...new Map([...inBase, ...inHead])]
    .map(([name, stack]) => ({ ...stack, name, inBase: inBase.has(name), inHead: inHead.has(name) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function stacksOf(root: string): Map<string, Pick<Stack, "environment" | "tenantsFile">> {
  const stacks = new Map<string, Pick<Stack, "environment" | "tenantsFile">>();
  for (const environment of environmentNames(root)) {
    stacks.set(`${environment}-platform`, { environment });
    const folder = tenantsFolder(environment);
    if (!existsSync(join(root, folder))) continue;
    for (const name of readdirSync(join(root, folder))) {
      const tenantsFile = /^(\d{3})\.yaml$/.exec(name)?.[1];
      if (tenantsFile !== undefined)
        stacks.set(`${environment}-spaces-${tenantsFile}`, { environment, tenantsFile: `${folder}/${name}` });
    }
  }
  return stacks;
}
