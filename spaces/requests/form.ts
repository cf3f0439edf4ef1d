// What a request for a space is asked. This is the one place of the form's questions: the reader finds answers by them,
// the forms of .github and .gitlab ask them, and docs/add-a-space.md lists them (test/spaces/requests/form.test.ts).
import { KINDS } from "../fleet/entry.ts";

export type Field = "name" | "contact" | "kind" | "id";
export type Language = "fr" | "en";
export type Answers = Partial<Record<Field, string>>;

interface Question extends Record<Language, string> {
  /** Other headings of the same answer, as forms in use have them. */
  also: readonly string[];
  /** Whether a request without an answer is refused. */
  needed: boolean;
}

/**
 * The questions. A heading that is none of these is never read, so "Nom du demandeur" or "Téléphone" cannot reach git.
 * For the same reason bare "Nom", "Name" and "E-mail" are not read: they may be a person's.
 */
export const QUESTIONS: Readonly<Record<Field, Question>> = {
  name: {
    fr: "Nom du groupe",
    en: "Name of the group",
    also: [
      "Nom de l'association",
      "Nom de l'asso",
      "Nom du collectif",
      "Nom de la structure",
      "Nom de l'organisation",
      "Name of the association",
      "Association name",
      "Group name",
      "Organisation name",
      "Organization name",
    ],
    needed: true,
  },
  contact: {
    fr: "Adresse mail du groupe",
    en: "Mail address of the group",
    also: [
      "Adresse mail de l'association",
      "Adresse mail de la structure",
      "Adresse mail de contact",
      "Adresse de contact",
      "Mail de l'association",
      "Mail du groupe",
      "Mail de contact",
      "Contact",
      "Contact mail",
      "Contact address",
      "Mail address of the association",
      "Group mail address",
      "Association mail",
    ],
    needed: true,
  },
  kind: {
    fr: "Type de groupe",
    en: "Kind of group",
    also: ["Type de structure", "Type d'organisation", "Kind", "Type of group", "Type of organisation"],
    needed: false,
  },
  id: {
    fr: "Adresse web souhaitée",
    en: "Wished web address",
    also: ["Adresse souhaitée", "Sous-domaine souhaité", "Sous-domaine", "Wished address", "Subdomain"],
    needed: false,
  },
};

export const FIELDS = ["name", "contact", "kind", "id"] as const satisfies Field[];

/** The answers to the question about the kind, in the order in which a form offers them. */
export const KIND_ANSWERS: Readonly<Record<(typeof KINDS)[number], Record<Language, string>>> = {
  association: { fr: "Association", en: "Association" },
  collective: { fr: "Collectif", en: "Collective" },
  cooperative: { fr: "Coopérative", en: "Cooperative" },
  federation: { fr: "Fédération", en: "Federation" },
  "local-union": { fr: "Union locale", en: "Local union" },
  union: { fr: "Syndicat", en: "Union" },
};

/** The question that a heading asks, and in which language. */
export function questionOf(heading: string): { field: Field; language: Language } | undefined {
  return HEADINGS.get(heard(heading));
}

/** The kind that an answer names in French or English. */
export function kindOf(answer: string): (typeof KINDS)[number] | undefined {
  return KINDS.find((kind) =>
    [kind, ...Object.values(KIND_ANSWERS[kind])].some((name) => heard(name) === heard(answer)),
  );
}

/** A text without capitals, accents, punctuation and what stands in brackets; mail has many names. */
function heard(text: string): string {
  return text
    .normalize("NFD")
    .replaceAll(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll(/\([^()]*\)/g, " ")
    .replaceAll(/[^a-z0-9]+/g, " ")
    .replaceAll(/\b(?:e ?mail|courriel|mel)\b/g, "mail")
    .trim();
}

const HEADINGS: ReadonlyMap<string, { field: Field; language: Language }> = new Map(
  FIELDS.flatMap((field) => {
    const { fr, en, also } = QUESTIONS[field];
    return [fr, en, ...also].map(
      (heading) => [heard(heading), { field, language: languageOf(heading, en) }] as const,
    );
  }),
);

/** Of words that both languages have, such as "Contact", nothing is concluded: French, the language of the host. */
function languageOf(heading: string, english: string): Language {
  return heading === english || /\b(?:of|name|group|address|kind|wished|subdomain)\b/i.test(heading)
    ? "en"
    : "fr";
}
