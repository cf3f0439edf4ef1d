import { expect, it } from "vitest";
import { renderReleases } from "../../../spaces/agent/agent.ts";
import { assertPinned, unpinned } from "../../../spaces/fleet/unpinned.ts";

const url = "https://artifacts.example.org/x";
const sha256 = "a".repeat(64);
const releases = {
  "34.0.4": { url, sha256, state: "current" as const },
  "35.0.2": { state: "current" as const },
};

it("names what has no checksum, and `up` refuses to begin", () => {
  expect(unpinned({ imaginary: { url } }, { releases }).map(({ who }) => who)).toEqual([
    "imaginary",
    "release 35.0.2",
  ]);
  expect(() => assertPinned({ imaginary: { url } }, { releases })).toThrow(
    /^The platform cannot be built yet\.\n {2}imaginary has no checksum yet.*\n {2}release 35\.0\.2 has no archive yet.*\.$/,
  );
});

it("says nothing where all is pinned", () => {
  const { "34.0.4": built } = releases;
  expect(() => assertPinned({ imaginary: { url, sha256 } }, { releases: { "34.0.4": built } })).not.toThrow();
});

it("machines are told which release has no archive", () => {
  expect(renderReleases({ releases })).toBe(`34.0.4 ${sha256} ${url}\n35.0.2 unbuilt\n`);
});
