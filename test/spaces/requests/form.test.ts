import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { FIELDS, KIND_ANSWERS, kindOf, questionOf, QUESTIONS } from "../../../spaces/requests/form.ts";
import { readRequests } from "../../../spaces/requests/read-requests.ts";

const ROOT = join(import.meta.dirname, "../../..");
const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
const inFrench = FIELDS.map((field) => QUESTIONS[field].fr);

describe("the form of GitHub and Forgejo", () => {
  const { body } = parse(read(".github/ISSUE_TEMPLATE/space.yml")) as {
    body: {
      type: string;
      attributes: { label: string; value?: string; options?: string[] };
      validations?: { required: boolean };
    }[];
  };
  const questions = body.filter(({ type }) => type !== "markdown");

  test("asks what the reader knows", () => {
    expect(questions.map(({ attributes }) => attributes.label)).toEqual(inFrench);
    expect(questions.map(({ validations }) => validations?.required ?? false)).toEqual(
      FIELDS.map((field) => QUESTIONS[field].needed),
    );
    expect(questions.flatMap(({ attributes }) => attributes.options ?? [])).toEqual(
      Object.values(KIND_ANSWERS).map(({ fr }) => fr),
    );
  });

  test("says that it is public", () =>
    expect(body[0]?.attributes.value).toContain("Cette page est publique"));
});

describe("the form of GitLab", () => {
  const template = read(".gitlab/issue_templates/Demander-un-espace.md");

  test("asks what the reader knows, and says that it is public", () => {
    expect([...template.matchAll(/^### (.+)$/gm)].map(([, heading]) => heading)).toEqual(inFrench);
    expect(template).toMatch(/^<!-- Cette page est publique/);
  });

  test("is read with the answers that people write into it, and none as none", () => {
    const filled = ["Kiwi", "bureau@kiwi.example", "Union locale", "kiwi"].reduce(
      (text, answer, index) =>
        text.replace(`### ${inFrench[index]}\n`, `### ${inFrench[index]}\n\n${answer}\n`),
      template,
    );
    const answers = (text: string) =>
      readRequests("issue.md", Buffer.from(text)).map((request) => request.answers);
    expect(answers(filled)).toEqual([
      { name: "Kiwi", contact: "bureau@kiwi.example", kind: "Union locale", id: "kiwi" },
    ]);
    expect(answers(template)).toEqual([{}]);
  });
});

test.each(["docs/add-a-space.md", "docs/add-a-space.fr.md"])("%s lists the headings", (page) => {
  for (const field of FIELDS)
    for (const heading of [QUESTIONS[field].fr, QUESTIONS[field].en]) expect(read(page)).toContain(heading);
});

test.each([
  ["NOM DE L’ASSOCIATION *", "name"],
  ["Courriel de contact", "contact"],
  ["Adresse e-mail du groupe (bureau@, contact@)", "contact"],
  ["Type de structure :", "kind"],
  ["Nom", undefined],
  ["Nom du demandeur", undefined],
  ["E-mail", undefined],
  ["Adresse", undefined],
  ["Contact téléphonique", undefined],
])("%s asks for the %s", (heading, field) => expect(questionOf(heading)?.field).toBe(field));

test("no heading asks two questions", () => {
  for (const field of FIELDS)
    for (const heading of [QUESTIONS[field].fr, QUESTIONS[field].en, ...QUESTIONS[field].also])
      expect(questionOf(heading)?.field, heading).toBe(field);
});

test.each([
  ["union locale", "local-union"],
  ["SYNDICAT", "union"],
  ["Cooperative", "cooperative"],
  ["entreprise", undefined],
])("%s is the kind %s", (answer, kind) => expect(kindOf(answer)).toBe(kind));
