// A small valid fleet on disk (test/support/fleet, environment "demo"), for tests that break it.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { EDITOR_SCHEMA_FILE, editorSchema } from "../../spaces/fleet/editor-schema.ts";
import { readCatalog } from "../../spaces/fleet/load-fleet.ts";

export const TENANTS_1 = "spaces/tenants/demo/001.yaml";
export const TENANTS_2 = "spaces/tenants/demo/002.yaml";
export const CATALOG = "spaces/catalog.yaml";
export const CONFIGURATION = "Pulumi.demo.yaml";

/** Copies the fleet. The copy is removed after the test. */
export function copyFleet(): string {
  const root = mkdtempSync(join(tmpdir(), "framaspace-test-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  cpSync(join(import.meta.dirname, "fleet"), root, { recursive: true });
  // The schema that the code generates from this fleet's catalog, so that no test has to update it.
  const { value } = readCatalog(root);
  writeFileSync(join(root, EDITOR_SCHEMA_FILE), JSON.stringify(value && editorSchema(value)));
  return root;
}

/** Replaces one text in one file. Throws if the text is not there, so that no test passes without a fault. */
export function replaceIn(root: string, file: string, from: string | RegExp, to: string): void {
  const before = readFileSync(join(root, file), "utf8");
  const after = before.replace(from, () => to);
  if (after === before) throw new Error(`${file} does not hold ${String(from)}`);
  writeFileSync(join(root, file), after);
}
