import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CLOUD_ROLES } from "../../../infra/inventory/environment.ts";
import { spaceNames } from "../../../infra/inventory/names.ts";
import { appearance, MACHINE_NAME, refuseId, RESERVED_IDS, ENTRY_LIMITS } from "../../../spaces/fleet/ids.ts";

const id = fc
  .stringMatching(/^[a-z][a-z0-9]{0,15}(-[a-z0-9]{1,15})?$/)
  .filter((text) => refuseId(text) === undefined);

test("two ids never give the same name, nor a name that another system refuses", () => {
  fc.assert(
    fc.property(id, id, (one, other) => {
      const names = spaceNames(one, "example.org");
      const others = new Set(one === other ? [] : Object.values(spaceNames(other, "example.org")));
      expect(Object.values(names).filter((name) => others.has(name))).toEqual([]);
      expect(names.host).toMatch(/^[a-z0-9-]{1,63}\.example\.org$/);
      expect(names.database).toMatch(/^[a-z][a-z0-9-]{0,62}$/);
      expect(names.bucket).toMatch(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/);
      expect(names.s3User.length).toBeGreaterThanOrEqual(3);
    }),
  );
});

describe("ids", () => {
  test.each(["lotus", "abc", "a1b", "amap-du-vallon", "x".repeat(ENTRY_LIMITS.idLongest)])(
    "accepts %s",
    (good) => {
      expect(refuseId(good)).toBeUndefined();
    },
  );

  test.each([
    ["", "write at least 3 characters"],
    ["ab", "write at least 3 characters"],
    ["x".repeat(33), "write at most 32 characters (these are 33)"],
    ["1lotus", /beginning with a letter$/],
    ["xn--bcher-kva", /single hyphens/],
    ["lotus-", /single hyphens/],
    ["lotus.fr", /lower-case letters/],
    ["lötus", /lower-case letters/],
    ["lotus\n", /lower-case letters/],
    ["web-12", "machines are named so; choose another"],
    ["storage-b5", "machines are named so; choose another"],
    ["postgres", "it is reserved; choose another"],
    ["0ps", /beginning with a letter$/],
    ["w-w-w", 'it looks like the reserved "www"; choose another'],
    ["postmaster", "it is reserved; choose another"],
    ["c0ntact", 'it looks like the reserved "contact"; choose another'],
  ])("%j: %s", (bad, why) => {
    expect(refuseId(bad)).toMatch(why);
  });

  test("the name of every role and the names of its machines are reserved", () => {
    for (const role of [...CLOUD_ROLES, "storage", "worker"]) {
      expect(`${role}-1`).toMatch(MACHINE_NAME);
      expect(RESERVED_IDS).toContain(role);
    }
  });

  test("ids that look alike have the same appearance", () => {
    expect(new Set(["lotus", "l0tus", "1otus", "lo-tus"].map(appearance)).size).toBe(1);
    expect(appearance("iris")).not.toBe(appearance("lris"));
  });
});
