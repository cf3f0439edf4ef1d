// What an applicant is told whose request cannot be taken: a mail in the language of the form, without our words.
import { KINDS } from "../fleet/entry.ts";
import { ENTRY_LIMITS } from "../fleet/ids.ts";
import { KIND_ANSWERS, QUESTIONS, type Answers, type Field, type Language } from "./form.ts";

type Sentence = Record<Language, (question: string) => string>;

/** Every reason to refuse a request, as a sentence about the answer to a question. */
const SENTENCES = {
  missing: {
    fr: (question) => `La réponse à « ${question} » manque.`,
    en: (question) => `The answer to "${question}" is missing.`,
  },
  torn: {
    fr: () => "Votre demande nous est arrivée abîmée : ses réponses sont décalées. Merci de la refaire.",
    en: () => "Your request reached us damaged: its answers are out of place. Please send it again.",
  },
  tooLong: {
    fr: (question) =>
      `La réponse à « ${question} » est trop longue : ${ENTRY_LIMITS.textLongest} signes au plus.`,
    en: (question) =>
      `The answer to "${question}" is too long: at most ${ENTRY_LIMITS.textLongest} characters.`,
  },
  invisible: {
    fr: (question) =>
      `La réponse à « ${question} » a plusieurs lignes ou des signes invisibles. Tapez-la au clavier, sur une seule ligne.`,
    en: (question) =>
      `The answer to "${question}" has several lines or invisible characters. Type it on one line, rather than pasting it.`,
  },
  formula: {
    fr: (question) =>
      `La réponse à « ${question} » commence par un signe (=, +, - ou @) qui en fait une formule dans un tableur. Commencez par une lettre ou un chiffre.`,
    en: (question) =>
      `The answer to "${question}" begins with a sign (=, +, - or @) that spreadsheets take for a formula. Begin with a letter or a digit.`,
  },
  markup: {
    fr: (question) =>
      `La réponse à « ${question} » contient du code ou un lien. Écrivez du texte simple, sans < ni >.`,
    en: (question) => `The answer to "${question}" holds code or a link. Write plain text, without < or >.`,
  },
  alphabets: {
    fr: (question) =>
      `La réponse à « ${question} » mêle dans un mot des lettres de plusieurs alphabets, ou entasse des accents. Tapez-la au clavier.`,
    en: (question) =>
      `The answer to "${question}" mixes letters of several alphabets in one word, or piles up accents. Please type it again.`,
  },
  secret: {
    fr: (question) =>
      `La réponse à « ${question} » ressemble à un mot de passe. Ne nous en envoyez jamais, et changez-le si c'en est un.`,
    en: (question) =>
      `The answer to "${question}" looks like a password. Never send us one, and change it if it is one.`,
  },
  noMail: {
    fr: () =>
      "L'adresse mail a une faute ou n'est pas complète. Une bonne adresse ressemble à bureau@mon-association.fr.",
    en: () => "The mail address has a mistake or is not complete. A good one looks like board@my-group.org.",
  },
  personalMail: {
    fr: () =>
      "L'adresse mail semble être celle d'une personne. Indiquez celle d'une fonction (bureau, contact, secrétariat…), qui reste quand la personne s'en va : d'autres que nous peuvent lire cette adresse.",
    en: () =>
      "The mail address seems to be a person's. Give the address of a role (board, contact, office…), which stays when the person leaves: others than us can read it.",
  },
  person: {
    fr: () =>
      "Le nom du groupe contient un titre, un téléphone ou une adresse, comme pour une personne. Écrivez seulement le nom du groupe.",
    en: () =>
      "The name of the group holds a title, a telephone number or an address, as for a person. Write the name of the group alone.",
  },
  kind: {
    fr: (question) =>
      `Nous ne connaissons pas la réponse à « ${question} ». Choisissez parmi : ${KINDS.map((kind) => KIND_ANSWERS[kind].fr).join(", ")}.`,
    en: (question) =>
      `We do not know the answer to "${question}". Choose one of: ${KINDS.map((kind) => KIND_ANSWERS[kind].en).join(", ")}.`,
  },
  noId: {
    fr: () =>
      `Nous ne pouvons pas former d'adresse web avec ce nom. Proposez-en une dans « ${QUESTIONS.id.fr} » : de ${ENTRY_LIMITS.idShortest} à ${ENTRY_LIMITS.idLongest} lettres sans accent, chiffres et traits d'union.`,
    en: () =>
      `We cannot make a web address of this name. Propose one in "${QUESTIONS.id.en}": ${ENTRY_LIMITS.idShortest} to ${ENTRY_LIMITS.idLongest} letters without accents, digits and hyphens.`,
  },
  sameName: {
    fr: () =>
      "Un groupe du même nom a déjà un espace, ou vient d'en demander un. Si c'est le vôtre, il n'y a rien à refaire : écrivez-nous. Si c'en est un autre, ajoutez votre commune au nom.",
    en: () =>
      "A group of the same name has a space already, or has just asked for one. If it is yours, there is nothing to do again: write to us. If it is another one, add your town to the name.",
  },
  sameContact: {
    fr: () =>
      "Un espace existe déjà pour cette adresse mail, ou vient d'être demandé. Si vous en voulez un autre, écrivez-nous ou indiquez une autre adresse.",
    en: () =>
      "There is a space for this mail address already, or one was just asked for. If you want another one, write to us or give another address.",
  },
  unfit: {
    fr: (question) => `La réponse à « ${question} » ne convient pas : nous ne pouvons pas l'enregistrer.`,
    en: (question) => `The answer to "${question}" does not fit: we cannot record it.`,
  },
} satisfies Record<string, Sentence>;

export interface Reason {
  why: keyof typeof SENTENCES;
  field: Field;
  /** What a moderator should know besides, such as the space that has this name. It is not sent. */
  note?: string;
}

/** The mail to an applicant. It repeats no answer: what was refused may be anything. */
export function renderReply(
  reasons: readonly Reason[],
  { asked, language }: { asked: Answers; language: Language },
): string {
  const sentences = reasons.map(({ why, field }) =>
    SENTENCES[why][language](asked[field] ?? QUESTIONS[field][language]),
  );
  const [before, after] =
    language === "fr"
      ? [
          "Bonjour,\n\nMerci de votre demande. Nous ne pouvons pas encore ouvrir cet espace :",
          "Vous pouvez refaire la demande quand vous voulez. Nous n'avons rien gardé de celle-ci.\n\nBien à vous,",
        ]
      : [
          "Hello,\n\nThank you for your request. We cannot open this space yet:",
          "You can make the request again whenever you like. We have kept nothing of this one.\n\nKind regards,",
        ];
  return [before, "", ...new Set(sentences.map((text) => `- ${text}`)), "", after].join("\n");
}
