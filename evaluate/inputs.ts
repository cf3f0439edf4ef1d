// Which files of the repository stacks are made from.
import { CATALOG_FILE, TENANTS_FOLDER } from "../spaces/fleet/fleet.ts";

/** Files that no stack reads. Every other file counts as part of the program. */
const NO_INPUT =
  /^(docs|test|evaluate|plan|rollout|release|check|review|lab|bench|bin|policies)\/|^\.|^[^/]*\.md$|^(LICENSE|CODEOWNERS|tsconfig\.json|vitest\.config\.ts|renovate\.json|spaces\/tenants\.schema\.json)$/;
const CONFIGURATION = /^Pulumi\.[a-z][a-z0-9]*\.yaml$/;

/** Whether a stack may be made from a file. */
export function isInput(file: string): boolean {
  return !NO_INPUT.test(file);
}

/** Whether an input is data, not program: the catalog, a configuration, a tenants file. */
export function isData(file: string): boolean {
  return file === CATALOG_FILE || CONFIGURATION.test(file) || file.startsWith(`${TENANTS_FOLDER}/`);
}
