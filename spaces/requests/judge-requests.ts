// Decides which requests become entries. Ambiguous means refused: a moderator can still add a space by hand. It writes
// nothing, and what it returns of a refused request is only ever printed.
import { checkValue } from "../../validation/wording.ts";
import type { Draft } from "../fleet/edit.ts";
import { entrySchema, type Entry } from "../fleet/entry.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { appearance, ENTRY_LIMITS } from "../fleet/ids.ts";
import { FIELDS, kindOf, QUESTIONS, type Field } from "./form.ts";
import { contactLooksPersonal, nameLooksPersonal } from "./persons.ts";
import { proposeId, sameName } from "./propose-id.ts";
import type { Request } from "./read-requests.ts";
import type { Reason } from "./replies.ts";

export interface Verdicts {
  accepted: {
    request: Request;
    draft: Draft;
    /** What a moderator should look at. */
    notes: string[];
  }[];
  /** Requests of groups that have the same name and contact as a space: they were taken before. */
  present: { request: Request; id: string }[];
  refused: { request: Request; reasons: Reason[] }[];
}

/** What a new space gets besides its own answers. */
export type Defaults = Pick<Draft, "kind" | "plan" | "office" | "wave">;

/** Judges requests in their order: an earlier one has its name, contact and id before a later one. */
export function judgeRequests(
  requests: readonly Request[],
  { environment, tenantsFiles }: Pick<Fleet, "environment" | "tenantsFiles">,
  defaults: Defaults,
): Verdicts {
  const known = new Known();
  for (const { file, entries, at } of tenantsFiles)
    for (const entry of entries) known.add(entry, () => `${file}:${at(entry).line}`);

  const verdicts: Verdicts = { accepted: [], present: [], refused: [] };
  for (const request of requests) {
    const { name = "", contact = "", kind, id: wished } = request.answers;
    const reasons = refuseAnswers(request);
    const same = known.names.get(sameName(name));
    const sameMail = known.contacts.get(mailbox(contact));
    if (reasons.length === 0 && same !== undefined && same === sameMail) {
      verdicts.present.push({ request, id: same.id });
      continue;
    }
    if (name !== "" && same)
      reasons.push({ why: "sameName", field: "name", note: `the name is that of ${same.describe()}` });
    if (contact !== "" && sameMail)
      reasons.push({
        why: "sameContact",
        field: "contact",
        note: `the contact is that of ${sameMail.describe()}`,
      });
    const { id, passedOver } =
      reasons.length > 0
        ? { passedOver: [] }
        : proposeId(
            { name, ...(wished !== undefined && { wished }), domain: environment?.domain ?? "" },
            known.ids,
          );
    if (reasons.length === 0 && id === undefined)
      reasons.push({ why: "noId", field: "id", note: passedOver.join("; ") });
    const draft = {
      ...defaults,
      id: id ?? "",
      name,
      contact,
      kind: (kind === undefined ? undefined : kindOf(kind)) ?? defaults.kind,
    };
    if (reasons.length === 0) reasons.push(...refuseDraft(draft));
    if (reasons.length > 0) {
      verdicts.refused.push({ request, reasons });
      continue;
    }
    known.add(draft, () => request.where);
    const notes = passedOver.map((passed) => `not ${passed}`);
    if (contactLooksPersonal(contact, name) === "perhaps")
      notes.push(`${contact} may be a person's address; ask for one of a role if it is`);
    verdicts.accepted.push({ request, draft, notes });
  }
  return verdicts;
}

interface Owner {
  id: string;
  describe: () => string;
}

/** The names, contacts and ids that are taken. */
class Known {
  readonly names = new Map<string, Owner>();
  readonly contacts = new Map<string, Owner>();
  readonly ids = new Map<string, string>();

  add({ id, name, contact }: Pick<Entry, "id" | "name" | "contact">, where: () => string): void {
    const owner = { id, describe: () => `"${id}" (${where()})` };
    if (!this.names.has(sameName(name))) this.names.set(sameName(name), owner);
    if (!this.contacts.has(mailbox(contact))) this.contacts.set(mailbox(contact), owner);
    this.ids.set(appearance(id), id);
  }
}

/** One mailbox may be written in several ways. */
function mailbox(contact: string): string {
  return contact.toLowerCase().replace(/\+[^@]*@/, "@");
}

/** What is wrong with the answers of one request alone. */
function refuseAnswers({ answers, torn }: Request): Reason[] {
  if (torn) return [{ why: "torn", field: "name" }];
  const reasons = FIELDS.flatMap((field): Reason[] => {
    const answer = answers[field];
    if (answer === undefined) return QUESTIONS[field].needed ? [{ why: "missing", field }] : [];
    const why = refuseText(answer, field);
    return why === undefined ? [] : [{ why, field }];
  });
  if (reasons.length > 0) return reasons;
  const { name = "", contact = "", kind } = answers;
  if (nameLooksPersonal(name)) reasons.push({ why: "person", field: "name" });
  if (!("value" in checkValue(entrySchema.options[0].shape.contact, contact)))
    reasons.push({ why: "noMail", field: "contact" });
  else if (contactLooksPersonal(contact, name) === "yes")
    reasons.push({ why: "personalMail", field: "contact" });
  if (kind !== undefined && kindOf(kind) === undefined) reasons.push({ why: "kind", field: "kind" });
  return reasons;
}

function refuseText(answer: string, field: Field): Reason["why"] | undefined {
  // The longest mail address has 254 characters (RFC 5321, erratum 1690).
  if (answer.length > (field === "contact" ? 254 : ENTRY_LIMITS.textLongest)) return "tooLong";
  // Control characters, those that change the direction of text, and lines.
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(answer)) return "invisible";
  // Nextcloud Forms writes an apostrophe before what a spreadsheet would run.
  if (/^['’]?[=+\-@]/.test(answer)) return "formula";
  if (/[<>`]|\]\(|\{\{|&#?\w+;|:\/\//.test(field === "id" ? answer.replace(/^https?:\/\//i, "") : answer))
    return "markup";
  if (
    /\p{M}{3,}/u.test(answer) ||
    answer
      .split(/[^\p{L}\p{M}]+/u)
      .some((word) => /\p{Script=Latin}/u.test(word) && /[\p{Script=Cyrillic}\p{Script=Greek}]/u.test(word))
  )
    return "alphabets";
  return undefined;
}

/** What the schema of an entry refuses, should no rule above have a better word for it. */
function refuseDraft(draft: Draft): Reason[] {
  const checked = checkValue(entrySchema, { ...draft, state: "active" });
  if ("value" in checked) return [];
  return checked.findings.map(({ path, what }) => ({
    why: what.includes("it looks like a secret") ? "secret" : "unfit",
    field: FIELDS.find((field) => field === path[0]) ?? "name",
    note: what,
  }));
}
