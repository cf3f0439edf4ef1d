import fc from "fast-check";
import { expect, it } from "vitest";
import { spaceNames } from "../../../infra/inventory/names.ts";
import { refuseId, ENTRY_LIMITS } from "../../../spaces/fleet/ids.ts";

const id = fc
  .stringMatching(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, { maxLength: ENTRY_LIMITS.idLongest })
  .filter((candidate) => refuseId(candidate) === undefined);

it("names fit the limits of their systems without truncation", () => {
  fc.assert(
    fc.property(id, (one) => {
      const names = spaceNames(one, "example.org");
      expect(names.host).toBe(`${one}.example.org`);
      // S3: 3 to 63 lower-case letters, digits and hyphens. PostgreSQL: 63 bytes.
      expect(names.bucket).toMatch(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/);
      expect(names.bucket).toBe(`space-${one}`);
      expect(names.database.length).toBeLessThanOrEqual(63);
      expect([names.database, names.role, names.s3User]).toEqual([one, one, one]);
    }),
  );
});

it("no keys of a space in Redis begin with the prefix of another space", () => {
  fc.assert(
    fc.property(id, id, (one, other) => {
      fc.pre(one !== other);
      const [a, b] = [spaceNames(one, "d.example").redisPrefix, spaceNames(other, "d.example").redisPrefix];
      expect(a.startsWith(b) || b.startsWith(a)).toBe(false);
    }),
  );
});
