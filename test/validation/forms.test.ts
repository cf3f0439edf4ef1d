// Whoever forgets a field, or writes something else there, is told the form that is wanted, and mostly an example.
import { expect, test } from "vitest";
import * as z from "zod";
import { environmentSchema } from "../../infra/inventory/environment.ts";
import { catalogSchema } from "../../spaces/fleet/catalog.ts";
import { entrySchema } from "../../spaces/fleet/entry.ts";
import { checkValue } from "../../validation/wording.ts";

/** Every field under a schema, with its path. */
function fields(schema: z.core.$ZodType, path: string): [path: string, schema: z.core.$ZodType][] {
  if (schema instanceof z.ZodOptional) return fields(schema.unwrap(), path);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => fields(option, path));
  const below =
    schema instanceof z.ZodObject
      ? Object.entries<z.core.$ZodType>(schema.shape).flatMap(([key, value]) =>
          fields(value, `${path}.${key}`),
        )
      : schema instanceof z.ZodArray
        ? fields(schema.element, `${path}[]`)
        : schema instanceof z.ZodRecord
          ? [...fields(schema.valueType, `${path}.*`), ...fields(schema.keyType, `${path} (key)`)]
          : [];
  return [[path, schema], ...below];
}

/** An example, a choice, bounds, or the parts that are wanted. */
const FORM =
  /; (?:remove it|write .*(?:such as \S|one of \S|\ba (?:whole )?number(?: from|,| above) |with the keys \S|EUR|true|active|suspended|archived|required|collabora|64 hexadecimal digits|`ssh-ed25519 AAAA…`|storage-a1 …|postgres-1 or))/;

test.each([
  ...fields(entrySchema, "entry"),
  ...fields(catalogSchema, "catalog"),
  ...fields(environmentSchema, "environment"),
])("%s", (_path, field) => {
  const schema = z.strictObject({ x: field as z.ZodType });
  const say = (value: object) => {
    const checked = checkValue(schema, value);
    return "findings" in checked ? checked.findings.map(({ what }) => what) : [];
  };
  const another = field instanceof z.ZodNumber ? "§" : 7.5;
  const said = [{}, { x: null }, { x: another }].flatMap(say);
  expect(said).toHaveLength(3);
  expect(said.filter((what) => !FORM.test(what))).toEqual([]);
  expect(say({ x: "§" }).filter((what) => what.includes("what matches"))).toEqual([]);
});
