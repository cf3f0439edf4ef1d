import { describe, expect, test } from "vitest";
import { DEFAULTS } from "../../../spaces/fleet/change-space.ts";
import { loadFleet } from "../../../spaces/fleet/load-fleet.ts";
import type { Answers } from "../../../spaces/requests/form.ts";
import { judgeRequests } from "../../../spaces/requests/judge-requests.ts";
import { contactLooksPersonal, nameLooksPersonal } from "../../../spaces/requests/persons.ts";
import { copyFleet } from "../../support/fleet-fixture.ts";

// Existing: iris (Les Amis d'Iris), lotus (Collectif Lotus), jasmin, zinnia.
const judge = (...requests: Answers[]) =>
  judgeRequests(
    requests.map((answers, index) => ({
      where: `form.csv, row ${index + 2}`,
      answers,
      asked: {},
      language: "fr",
      torn: false,
    })),
    loadFleet(copyFleet(), "demo"),
    DEFAULTS,
  );
const GOOD = { name: "Kiwi", contact: "bureau@kiwi.example" };
const CEDAR = { name: "Le Cèdre", contact: "bureau@cedre.example" };

test("a good request becomes an entry with what was answered, and defaults", () => {
  const { accepted, present, refused } = judge(GOOD, { ...CEDAR, kind: "Union locale", id: "cedre-bleu" });
  expect(accepted.map(({ draft, notes }) => ({ ...draft, notes }))).toEqual([
    {
      ...GOOD,
      id: "kiwi",
      kind: "association",
      plan: "standard",
      office: "collabora",
      wave: "main",
      notes: [],
    },
    {
      ...CEDAR,
      id: "cedre-bleu",
      kind: "local-union",
      plan: "standard",
      office: "collabora",
      wave: "main",
      notes: [],
    },
  ]);
  expect([present, refused]).toEqual([[], []]);
});

describe("refuses in the second request", () => {
  test.each<[string, Answers, string[]]>([
    ["no name", { contact: CEDAR.contact }, ["missing name"]],
    ["no contact", { name: CEDAR.name }, ["missing contact"]],
    ["nothing but a kind", { kind: "Syndicat" }, ["missing name", "missing contact"]],
    ["a formula", { ...CEDAR, name: '=HYPERLINK("http://x")' }, ["formula name"]],
    ["a formula with the mark of Nextcloud Forms", { ...CEDAR, name: "'=1+1" }, ["formula name"]],
    ["a formula as contact", { ...CEDAR, contact: "@SUM(A1)@b.example" }, ["formula contact"]],
    ["a formula as wish", { ...CEDAR, id: "+cedre" }, ["formula id"]],
    ["two lines", { ...CEDAR, name: "Le\nCèdre" }, ["invisible name"]],
    ["a control character", { ...CEDAR, name: "Le \u{1b}[2JCèdre" }, ["invisible name"]],
    ["text turned around", { ...CEDAR, name: "Le \u{202e}erdèC" }, ["invisible name"]],
    ["an invisible space", { ...CEDAR, name: "Le\u{200b}Cèdre" }, ["invisible name"]],
    ["markup", { ...CEDAR, name: "Le <b>Cèdre</b>" }, ["markup name"]],
    ["a link", { ...CEDAR, name: "Le Cèdre https://cedre.example" }, ["markup name"]],
    ["a link of Markdown", { ...CEDAR, name: "[Le Cèdre](//x)" }, ["markup name"]],
    ["a long name", { ...CEDAR, name: "a".repeat(101) }, ["tooLong name"]],
    ["a Cyrillic o", { ...CEDAR, name: "Le Cèdre rоuge" }, ["alphabets name"]],
    ["a heap of accents", { ...CEDAR, name: `Le Ce\u{300}\u{301}\u{302}dre` }, ["alphabets name"]],
    ["a person's title", { ...CEDAR, name: "Mme Jeanne Martin" }, ["person name"]],
    ["a telephone number", { ...CEDAR, name: "Le Cèdre 06 12 34 56 78" }, ["person name"]],
    ["no mail address", { ...CEDAR, contact: "cedre" }, ["noMail contact"]],
    ["a person's mailbox", { ...CEDAR, contact: "jeanne.martin@gmail.com" }, ["personalMail contact"]],
    ["an unknown kind", { ...CEDAR, kind: "Entreprise" }, ["kind kind"]],
    ["a password", { ...CEDAR, name: "Le Cèdre, mot de passe : Tulipe12" }, ["secret name"]],
    ["a name without Latin letters", { ...CEDAR, name: "東京" }, ["noId id"]],
    ["the name of a space", { ...CEDAR, name: "Amis d'Iris" }, ["sameName name"]],
    ["the contact of a space", { ...CEDAR, contact: "Contact+x@lotus.example" }, ["sameContact contact"]],
    ["the name of an earlier request", { ...CEDAR, name: "le KIWI" }, ["sameName name"]],
    ["the contact of an earlier request", { ...CEDAR, contact: GOOD.contact }, ["sameContact contact"]],
  ])("%s", (_title, second, reasons) => {
    const { accepted, refused } = judge(GOOD, second);
    expect(accepted.map(({ draft }) => draft.id)).toEqual(["kiwi"]);
    expect(refused.map(({ request }) => request.where)).toEqual(["form.csv, row 3"]);
    expect(refused[0]?.reasons.map(({ why, field }) => `${why} ${field}`)).toEqual(reasons);
  });
});

test("names the space that has the name, for the moderator", () =>
  expect(judge({ ...CEDAR, name: "Collectif Lotus" }).refused[0]?.reasons[0]?.note).toBe(
    'the name is that of "lotus" (spaces/tenants/demo/001.yaml:13)',
  ));

test("what was taken before is there already: it is neither added nor refused", () => {
  const { accepted, present, refused } = judge(
    { name: "Les Amis d'Iris", contact: "bureau@iris.example" },
    GOOD,
    { name: "KIWI", contact: "Bureau@kiwi.example" },
  );
  expect(present.map(({ request, id }) => [request.where, id])).toEqual([
    ["form.csv, row 2", "iris"],
    ["form.csv, row 4", "kiwi"],
  ]);
  expect([accepted.length, refused.length]).toEqual([1, 0]);
});

test("a refused request keeps no name from the next", () =>
  expect(judge({ ...GOOD, contact: "kiwi" }, GOOD).accepted.map(({ draft }) => draft.id)).toEqual(["kiwi"]));

test("an id that looks like another's is passed over, and said", () =>
  expect(judge({ ...CEDAR, name: "L0 Tus" }).accepted).toMatchObject([
    { draft: { id: "asso-l0-tus" }, notes: ['not "l0-tus": it looks like "lotus", which is taken'] },
  ]));

test.each([
  ["jeanne.martin@gmail.com", "Lotus", "yes"],
  ["j.martin75@orange.fr", "Lotus", "yes"],
  ["jeanne_martin@yahoo.co.uk", "Lotus", "yes"],
  ["jeanne-marie.martin@laposte.net", "Lotus", "yes"],
  ["jeanne.martin@lotus.example", "Lotus", "perhaps"],
  ["lotus.asso@gmail.com", "Les Amis", "no"],
  ["amis.lotus@gmail.com", "Les Amis du Lotus", "no"],
  ["lotus.paris@gmail.com", "Les Amis du Lotus", "no"],
  ["bureau@lotus.example", "Lotus", "no"],
  ["union.locale@gmail.com", "UL", "no"],
  ["jmartin@gmail.com", "Lotus", "perhaps"],
  ["amislotus@gmail.com", "Lotus", "no"],
  ["jmartin@lotus.example", "Lotus", "no"],
])("%s of %s is a person's: %s", (contact, name, expected) =>
  expect(contactLooksPersonal(contact, name)).toBe(expected),
);

test("a contact that may be a person's is taken, with a note to the moderator", () =>
  expect(judge({ name: "Cèdre", contact: "jeanne.martin@arbres.example" }).accepted[0]?.notes).toEqual([
    "jeanne.martin@arbres.example may be a person's address; ask for one of a role if it is",
  ]));

test.each([
  ["M. Martin", true],
  ["Madame Martin", true],
  ["Lotus +33 6 12 34 56 78", true],
  ["Lotus, 12 bis rue du Lac", true],
  ["Lotus bureau@lotus.example", true],
  ["M Musique", false],
  ["1901, an 2000", false],
  ["Les Amis du 12 avril 1986", false],
  ["Maison de la rue du Lac", false],
])("%s has to do with a person: %s", (name, expected) => expect(nameLooksPersonal(name)).toBe(expected));
