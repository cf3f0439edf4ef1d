import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { crossChecks } from "../../../infra/inventory/environment-checks.ts";
import type { SpaceSecret } from "../../../infra/inventory/secret-names.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const secrets = new Secrets("master", "prod", {});
const hex = (one: Secrets, id = "lotus", purpose: SpaceSecret = "postgres") =>
  one.spaceSeed(id, purpose).toString("hex");

test("a secret is the same each time it is derived", () =>
  expect(hex(new Secrets("master", "prod", {}))).toBe(hex(secrets)));

test.each([
  ["another master secret", hex(new Secrets("other", "prod", {}))],
  ["another environment", hex(new Secrets("master", "lab", {}))],
  ["another owner", hex(secrets, "iris")],
  ["another purpose", hex(secrets, "lotus", "redis")],
  ["its next generation", hex(new Secrets("master", "prod", { "lotus/postgres": 2 }))],
])("a secret differs for %s", (_, other) => expect(other).not.toBe(hex(secrets)));

test("raising one generation changes no other secret", () => {
  const raised = new Secrets("master", "prod", { "lotus/postgres": 2 });
  expect(hex(raised, "lotus", "redis")).toBe(hex(secrets, "lotus", "redis"));
  expect(hex(raised, "iris")).toBe(hex(secrets, "iris"));
});

test("every key on the page about rotation can rotate", () => {
  const page = readFileSync("docs/runbooks/rotate-a-secret.md", "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("|"));
  const keys = rows.flatMap((row) => [...row.matchAll(/`([^` ]+\/[^` ]+)`/g)].map(([, key = ""]) => key));
  expect(keys.length).toBeGreaterThan(15);
  const real = keys.map((key) => key.replace("<id>", "lotus").replace("<machine>", "storage-a1"));
  const generations = Object.fromEntries(real.map((key) => [key, 2]));
  expect(crossChecks({ ...exampleEnvironment("prod"), generations })).toEqual([]);
});
