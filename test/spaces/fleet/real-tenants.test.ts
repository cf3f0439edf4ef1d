// Checks the committed data, not a copy: what is merged is deployed.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { environmentNames } from "../../../infra/inventory/environment-file.ts";
import { EDITOR_SCHEMA_FILE, editorSchema } from "../../../spaces/fleet/editor-schema.ts";
import { loadFleet } from "../../../spaces/fleet/load-fleet.ts";
import { reportFleet } from "../../../spaces/fleet/fleet.ts";

const ROOT = join(import.meta.dirname, "../../..");

test("the environments are prod and lab", () => {
  expect(environmentNames(ROOT)).toEqual(["lab", "prod"]);
});

test.each(environmentNames(ROOT))("%s is valid", (name) => {
  const fleet = loadFleet(ROOT, name);
  expect(fleet.problems, reportFleet(fleet)).toEqual([]);
});

test("the schema for editors is up to date", () => {
  const { catalog } = loadFleet(ROOT, "prod");
  expect(JSON.parse(readFileSync(join(ROOT, EDITOR_SCHEMA_FILE), "utf8"))).toEqual(
    JSON.parse(JSON.stringify(editorSchema(catalog!))),
  );
});
