// What the entry of a space may say.
import * as z from "zod";
import { idSchema, ENTRY_LIMITS } from "./ids.ts";

/**
 * Whether a text has a word of 20 characters or more that nobody would write in a name, or a word after "password:".
 */
function looksSecret(text: string): boolean {
  const random =
    /(?=\S*[a-z])(?=\S*[A-Z])(?=\S*[0-9])[A-Za-z0-9+/=_.-]{20,}|[0-9a-f]{32,}|\bAKIA[0-9A-Z]{16}\b/;
  const named =
    /(?:pass(?:word|wd|phrase)?|mot de passe|secret|token|api[-_ ]?key)\s*[:=]\s*\S{4,}|-----BEGIN/i;
  return random.test(text) || named.test(text);
}

/** One line that people read: no control, invisible or direction-changing character, and no space at either end. */
const line = z
  .string()
  .min(1)
  .max(ENTRY_LIMITS.textLongest)
  .regex(
    /^[^\p{C}\p{Zl}\p{Zp}\s](?:[^\p{C}\p{Zl}\p{Zp}]*[^\p{C}\p{Zl}\p{Zp}\s])?$/u,
    "write one line of visible characters, without spaces around it",
  )
  .refine((text) => !looksSecret(text), {
    error:
      "it looks like a secret, and everybody who reads the repository reads it: remove it, and have it changed where it opens something",
    params: { found: "a text with something in it that is not repeated here" },
  });

/** What sort of group a space belongs to. */
export const KINDS = [
  "association",
  "collective",
  "cooperative",
  "federation",
  "local-union",
  "union",
] as const;

const fields = {
  id: idSchema.describe("where the space lives: <id>.<domain>; never changes"),
  name: line.meta({ examples: ["Les Amis du Lotus"] }).describe("as the group writes it"),
  kind: z.enum(KINDS).describe("what sort of group it is"),
  contact: z
    .email()
    .max(254)
    .describe("mail address of a role, not of a person: the first administrator's invitation goes there"),
  plan: z
    .string()
    .meta({ examples: ["standard"] })
    .describe("a plan of spaces/catalog.yaml"),
  office: z
    .string()
    .meta({ examples: ["collabora"] })
    .describe("the office suite that a new space starts with; its administrator may change it"),
  wave: z
    .string()
    .meta({ examples: ["main"] })
    .describe("when the space is upgraded: a wave of spaces/catalog.yaml"),
};

const optional = {
  twoFactor: z
    .literal("required")
    .optional()
    .describe("write required if every member must log in with a second factor; else leave it out"),
};

const stopped = {
  reason: line.meta({ examples: ["its board asked for it"] }).describe("why; visitors do not see it"),
  since: z.iso.date().describe("first day of this state"),
};
const onlyStopped = z.never("remove it, or write state: suspended").optional();

/** One entry of a tenants file. */
export const entrySchema = z.discriminatedUnion("state", [
  z.strictObject({
    ...fields,
    ...optional,
    state: z.literal("active"),
    reason: onlyStopped,
    since: onlyStopped,
  }),
  z.strictObject({ ...fields, ...optional, state: z.literal("suspended"), ...stopped }),
  z.strictObject({ ...fields, ...optional, state: z.literal("archived"), ...stopped }),
]);
export type Entry = z.infer<typeof entrySchema>;
