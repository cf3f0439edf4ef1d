// Everything that an environment declares, and everything that is wrong with it, as one report.
import type { Environment } from "../../infra/inventory/environment.ts";
import { inOrder, report, type Position, type Problem } from "../../validation/positions.ts";
import { UserError } from "../../validation/user-error.ts";
import type { Path } from "../../validation/wording.ts";
import type { Catalog } from "./catalog.ts";
import type { Entry } from "./entry.ts";

/** The spaces of one tenants file: one Pulumi stack. */
export interface TenantsFile {
  /** `001`, as in `spaces/tenants/<environment>/001.yaml` and `<environment>-spaces-001`. */
  name: string;
  /** Path from the root of the repository. */
  file: string;
  /** In the order of the file, without the entries that have problems of their own. */
  entries: Entry[];
  /** Position of a space's entry, or of one of its values. */
  at: (entry: Entry, ...path: Path) => Position;
}

/** Everything that an environment declares, and everything that is wrong with it. */
export interface Fleet {
  environmentName: string;
  /** Absent when its file has problems. */
  environment?: Environment;
  /** Absent when its file has problems. */
  catalog?: Catalog;
  tenantsFiles: TenantsFile[];
  problems: Problem[];
  /** Positions of values in the two files, for rules that compare these values with others. */
  sources: { environment: Source; catalog: Source };
}

/** A file, and the position of each of its values. */
export interface Source {
  file: string;
  at: (path: Path) => Position;
}

/** Paths from the root of the repository. */
export const CATALOG_FILE = "spaces/catalog.yaml";
export const TENANTS_FOLDER = "spaces/tenants";
export const tenantsFolder = (environmentName: string): string => `${TENANTS_FOLDER}/${environmentName}`;

/** Whether a path from the root of the repository is a tenants file's. Such a file is data: nothing of it runs. */
export function isTenantsFile(path: string): boolean {
  return /^spaces\/tenants\/[a-z][a-z0-9]*\/\d{3}\.yaml$/.test(path);
}

/** Throws a UserError unless the fleet may be built. The message has every problem, and `note` after them. */
export function assertValid(
  fleet: Fleet,
  note = "",
): asserts fleet is Fleet & Required<Pick<Fleet, "environment" | "catalog">> {
  if (fleet.problems.length > 0 || !fleet.environment || !fleet.catalog)
    throw new UserError(`${reportFleet(fleet)}${note}`);
}

/** The report of everything that is wrong with an environment. */
export function reportFleet(fleet: Fleet): string {
  return reportFleets([fleet]);
}

/** The same report for several environments. It says a problem that they share once. */
export function reportFleets(fleets: readonly Fleet[]): string {
  const faulty = fleets.filter(({ problems }) => problems.length > 0);
  const names = faulty.map(({ environmentName }) => environmentName).join(", ");
  const title = faulty.length === 1 ? `Environment ${names} is` : `Environments ${names} are`;
  return report(title, problemsOf(faulty));
}

/** The problems of several environments, each once, in the order of the files. */
export function problemsOf(fleets: readonly Fleet[]): Problem[] {
  const all = fleets.flatMap(({ problems }) => problems);
  return inOrder([...new Map(all.map((problem) => [JSON.stringify(problem), problem])).values()]);
}
