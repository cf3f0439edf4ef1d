// What is declared without a checksum. No machine installs it, so the platform cannot be brought up.
import { artifactsOf, type Environment } from "../../infra/inventory/environment.ts";
import type { Problem } from "../../validation/positions.ts";
import { UserError } from "../../validation/user-error.ts";
import type { Path } from "../../validation/wording.ts";
import { catalogOf, type Catalog } from "./catalog.ts";
import type { Fleet } from "./fleet.ts";

interface Unpinned {
  in: "environment" | "catalog";
  /** In the environment, it begins with a key without its prefix. */
  path: Path;
  who: string;
  what: string;
}

/** Releases of the catalog and artifacts of the environment that have no checksum. */
export function unpinned(
  environment: Pick<Environment, "storage" | "imaginary" | "releases">,
  { releases }: Pick<Catalog, "releases">,
): Unpinned[] {
  const artifacts = artifactsOf(environment)
    .filter(({ artifact: { sha256 } }) => sha256 === undefined)
    .map(({ name, path }) => ({
      in: "environment" as const,
      path,
      who: path.join("."),
      what: `has no checksum yet, so no machine installs it; \`npm run release -- pin ${name}\` checks it, and writes its checksum`,
    }));
  const archives = Object.entries(releases)
    .filter(([, { sha256 }]) => sha256 === undefined)
    .map(([version]) => ({
      in: environment.releases ? ("environment" as const) : ("catalog" as const),
      path: ["releases", version],
      who: `release ${version}`,
      what: `has no archive yet, so no machine installs it; \`npm run release -- build ${version}\` makes it, and writes its address and checksum`,
    }));
  return [...artifacts, ...archives];
}

/** Throws a UserError that names everything without a checksum. */
export function assertPinned(...declared: Parameters<typeof unpinned>): void {
  const found = unpinned(...declared).map(({ who, what }) => `\n  ${who} ${what}.`);
  if (found.length > 0) throw new UserError(`The platform cannot be built yet.${found.join("")}`);
}

/** The same with positions, for people who look at the files. */
export function unpinnedOf({ environment, catalog, sources }: Fleet): Problem[] {
  if (!environment || !catalog) return [];
  return unpinned(environment, catalogOf(catalog, environment)).map(({ in: where, path, who, what }) => ({
    file: sources[where].file,
    ...sources[where].at(path),
    who,
    what,
  }));
}
