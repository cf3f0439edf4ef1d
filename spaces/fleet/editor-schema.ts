// spaces/tenants.schema.json: what editors know of a tenants file. Generated from the schema that checks the file.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { UserError } from "../../validation/user-error.ts";
import type { Catalog } from "./catalog.ts";
import { ENTRY_LIMITS } from "./ids.ts";
import { readCatalog } from "./load-fleet.ts";
import { entrySchema } from "./entry.ts";

/** Path of the schema from the root of the repository. */
export const EDITOR_SCHEMA_FILE = "spaces/tenants.schema.json";

/** The JSON Schema of a tenants file, with the names of the catalog filled in. */
export function editorSchema(catalog: Catalog): unknown {
  const names: Record<string, string[]> = {
    plan: Object.keys(catalog.plans),
    office: Object.keys(catalog.officeSuites),
    wave: Object.keys(catalog.waves),
  };
  return z.toJSONSchema(z.array(entrySchema).min(1).max(ENTRY_LIMITS.spacesPerFile), {
    override: ({ jsonSchema, path }) => {
      const known = names[String(path.at(-1))];
      if (known && path.at(-2) === "properties") jsonSchema.enum = known;
    },
  });
}

/** Writes the file again from the repository's catalog. Throws a UserError if the catalog has problems. */
export function writeEditorSchema(root: string): void {
  const { value, problems } = readCatalog(root);
  if (!value)
    throw new UserError(`The catalog has ${problems.length} problems; run \`npm run check -- tenants\`.`);
  writeFileSync(join(root, EDITOR_SCHEMA_FILE), `${JSON.stringify(editorSchema(value), undefined, 2)}\n`);
}
