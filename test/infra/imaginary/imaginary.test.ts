// The unit of the service that reads the uploads of strangers.
import { expect, it } from "vitest";
import { renderUnit } from "../../../infra/imaginary/imaginary.ts";

const unit = renderUnit("10.0.40.1");

it("listens only on the private address and returns sizes, as Nextcloud expects", () => {
  expect(unit).toContain("ExecStart=/opt/imaginary/imaginary -a 10.0.40.1 -p 9000 -return-size");
});

it("fetches nothing from addresses", () => {
  expect(unit).not.toContain("-enable-url-source");
});

it("has no secret on its command line", () => {
  expect(unit).not.toMatch(/-key\b/);
});

it.each([
  "DynamicUser=yes",
  "ProtectSystem=strict",
  "NoNewPrivileges=yes",
  "CapabilityBoundingSet=",
  "IPAddressDeny=any",
  "IPAddressAllow=10.0.20.0/24 10.0.21.0/24 10.0.40.1",
])("is confined: %s", (line) => {
  expect(unit.split("\n")).toContain(line);
});

it("is stopped before it uses up the machine's memory", () => {
  expect(unit).toMatch(/^MemoryMax=\d+%$/m);
});
