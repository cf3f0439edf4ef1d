// Reads an environment's configuration, the catalog and the tenants files, and applies every rule. fleet-checks.ts has
// the rules between spaces. entries.ts reads one file.
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { environmentFile, readEnvironment } from "../../infra/inventory/environment-file.ts";
import { readYaml, type Problem, type Reading } from "../../validation/positions.ts";
import { catalogSchema, type Catalog } from "./catalog.ts";
import { readEntries } from "./entries.ts";
import { entrySchema } from "./entry.ts";
import { CHECKS } from "./fleet-checks.ts";
import { CATALOG_FILE, tenantsFolder, type Fleet, type TenantsFile } from "./fleet.ts";

const TENANTS_FILE_NAME = /\/\d{3}\.yaml$/;

/**
 * Reads and checks an environment's configuration, the catalog and every tenants file. Never throws on bad input.
 * @param drafts Texts of tenants files, by path. They are read instead of the files on disk.
 */
export function loadFleet(
  root: string,
  environmentName: string,
  drafts: ReadonlyMap<string, string> = new Map(),
): Fleet {
  const environment = readEnvironment(root, environmentName);
  const catalog = readCatalog(root);
  const problems = [...environment.problems, ...catalog.problems];
  const tenantsFiles: TenantsFile[] = [];
  for (const file of tenantsFilePaths(root, environmentName, drafts)) {
    const draft = drafts.get(file);
    const what = whyUnread(file, draft === undefined ? join(root, file) : undefined);
    if (what !== undefined) {
      problems.push({ file, line: 1, column: 1, what });
      continue;
    }
    const tenantsFile = readTenantsFile(
      file,
      draft === undefined ? readFileSync(join(root, file)) : Buffer.from(draft),
    );
    tenantsFiles.push(tenantsFile);
    problems.push(...tenantsFile.problems);
  }
  const fleet: Fleet = {
    environmentName,
    ...(environment.value && { environment: environment.value }),
    ...(catalog.value && { catalog: catalog.value }),
    tenantsFiles,
    problems,
    sources: {
      environment: { file: environmentFile(environmentName), at: environment.at },
      catalog: { file: CATALOG_FILE, at: catalog.at },
    },
  };
  for (const check of CHECKS) problems.push(...check(fleet));
  return fleet;
}

function tenantsFilePaths(
  root: string,
  environmentName: string,
  drafts: ReadonlyMap<string, string>,
): string[] {
  const folder = tenantsFolder(environmentName);
  const onDisk = existsSync(join(root, folder))
    ? readdirSync(join(root, folder)).map((name) => `${folder}/${name}`)
    : [];
  return [...new Set([...onDisk, ...drafts.keys()])].sort();
}

/** Why a file is not read as a tenants file; undefined if it is. `path` is where it lies, if it is no draft. */
function whyUnread(file: string, path: string | undefined): string | undefined {
  if (!TENANTS_FILE_NAME.test(file))
    return "this is no tenants file; name it by three digits, such as 002.yaml";
  // No change may make us read, and quote, a file of this machine.
  if (path !== undefined && !lstatSync(path).isFile()) return "this is a link or a folder; write a file";
  return undefined;
}

/** Reads spaces/catalog.yaml. */
export function readCatalog(root: string): Reading<Catalog> {
  return readYaml(CATALOG_FILE, readFileSync(join(root, CATALOG_FILE)), catalogSchema);
}

/** Reads one tenants file. It does not check the rules between spaces. */
export function readTenantsFile(file: string, bytes: Uint8Array): TenantsFile & { problems: Problem[] } {
  const { entries, problems, at } = readEntries(file, bytes, entrySchema);
  const indices = new Map(entries.map(({ value, index }) => [value, index]));
  return {
    name: file.slice(-8, -5),
    file,
    entries: entries.map(({ value }) => value),
    at: (entry, ...path) => at(indices.get(entry) ?? 0, path),
    problems,
  };
}
