// A small valid fleet on disk (test/support/fleet, environment "demo"), for tests that break it.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { EDITOR_SCHEMA_FILE, editorSchema } from "../../spaces/fleet/editor-schema.ts";
import { readCatalog } from "../../spaces/fleet/fleet.ts";

export const TENANTS_1 = "spaces/tenants/demo/001.yaml";
export const TENANTS_2 = "spaces/tenants/demo/002.yaml";
export const CATALOG = "spaces/catalog.yaml";
export const CONFIGURATION = "Pulumi.demo.yaml";

/** A copy of the fleet, removed after the test. */
export function copyFleet(): string {
  const root = mkdtempSync(join(tmpdir(), "framaspace-test-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  cpSync(join(import.meta.dirname, "fleet"), root, { recursive: true });
  // What the code makes of the fleet's own catalog, so that no test has to bless it.
  const { value } = readCatalog(root);
  writeFileSync(join(root, EDITOR_SCHEMA_FILE), JSON.stringify(value && editorSchema(value)));
  return root;
}

/** Replaces one text in one file; throws if it is not there, so that no test passes by breaking nothing. */
export function replaceIn(root: string, file: string, from: string | RegExp, to: string): void {
  const before = readFileSync(join(root, file), "utf8");
  const after = before.replace(from, () => to);
  if (after === before) throw new Error(`${file} does not hold ${String(from)}`);
  writeFileSync(join(root, file), after);
}
