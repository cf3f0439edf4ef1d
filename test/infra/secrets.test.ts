import { expect, test } from "vitest";
import { Secrets } from "../../infra/secrets.ts";

const secrets = new Secrets("master", "prod", {});
const hex = (one: Secrets, owner = "lotus", purpose = "postgres") => one.seed(owner, purpose).toString("hex");

test("one secret is the same whenever it is derived", () =>
  expect(hex(new Secrets("master", "prod", {}))).toBe(hex(secrets)));

test.each([
  ["another master secret", hex(new Secrets("other", "prod", {}))],
  ["another environment", hex(new Secrets("master", "lab", {}))],
  ["another owner", hex(secrets, "iris")],
  ["another purpose", hex(secrets, "lotus", "redis")],
  ["its next generation", hex(new Secrets("master", "prod", { "lotus/postgres": 2 }))],
])("is another one for %s", (_, other) => expect(other).not.toBe(hex(secrets)));

test("raising one generation changes no other secret", () => {
  const raised = new Secrets("master", "prod", { "lotus/postgres": 2 });
  expect(hex(raised, "lotus", "redis")).toBe(hex(secrets, "lotus", "redis"));
  expect(hex(raised, "iris")).toBe(hex(secrets, "iris"));
});
