// Checks only the data, without Pulumi, in well under a second.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { environmentNames } from "../infra/inventory/environment-file.ts";
import { EDITOR_SCHEMA_FILE, editorSchema } from "../spaces/fleet/editor-schema.ts";
import { loadFleet } from "../spaces/fleet/load-fleet.ts";
import { problemsOf, reportFleets, TENANTS_FOLDER, type Fleet } from "../spaces/fleet/fleet.ts";
import { unpinnedOf } from "../spaces/fleet/unpinned.ts";
import { count, sayProblem } from "../validation/positions.ts";
import type { Outcome } from "./tool.ts";

/** Checks configuration, catalog and tenants of every environment, and the editors' schema. */
export function checkTenants(root: string): Outcome {
  const fleets = loadAll(root);
  const [catalog] = fleets.flatMap((fleet) => fleet.catalog ?? []);
  const stale = catalog && readEditorSchema(root) !== JSON.stringify(editorSchema(catalog));
  const texts = [
    ...(fleets.some(({ problems }) => problems.length > 0) ? [reportFleets(fleets)] : []),
    ...(stale
      ? [`${EDITOR_SCHEMA_FILE} is not what the catalog and the code say; run \`npm run space -- schema\`.`]
      : []),
  ];
  if (texts.length > 0) return { state: "failed", text: texts.join("\n") };
  const sizes = fleets.map(
    ({ environmentName, tenantsFiles }) =>
      `${environmentName} ${count(tenantsFiles.flatMap(({ entries }) => entries).length, "space")}`,
  );
  // No fault of the files, so no failure: but who brings the platform up should know now.
  const notes = problemsOf(fleets.map((fleet) => ({ ...fleet, problems: unpinnedOf(fleet) }))).map(
    (note) => `\n  ${note.file}:${note.line}:${note.column}  ${sayProblem(note)}`,
  );
  return { state: "passed", text: `${sizes.join(", ")}${notes.join("")}` };
}

/** The fleets of all environments, with everything that is wrong with each. */
export function loadAll(root: string): Fleet[] {
  return allEnvironments(root).map((name) => loadFleet(root, name));
}

/** The schema without its formatting, which is prettier's task; undefined if it is missing or broken. */
function readEditorSchema(root: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(readFileSync(join(root, EDITOR_SCHEMA_FILE), "utf8")));
  } catch {
    return undefined;
  }
}

/** Includes environments with tenants and no configuration: loading one reports that error. */
function allEnvironments(root: string): string[] {
  return [...new Set([...environmentNames(root), ...readdirSync(join(root, TENANTS_FOLDER))])].sort();
}
