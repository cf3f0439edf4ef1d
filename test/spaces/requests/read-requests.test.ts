import { describe, expect, test } from "vitest";
import { readRequests } from "../../../spaces/requests/read-requests.ts";

const read = (text: string, file = "form.csv") => readRequests(file, Buffer.from(text));
const answers = (text: string) => read(text).map((request) => request.answers);
const IRIS = { name: "Les Amis d'Iris", contact: "bureau@iris.example" };
const LOTUS = { name: "Lotus ; & co", contact: "bureau@lotus.example" };

describe("CSV", () => {
  test.each([
    [
      "commas, a byte order mark and quotes, as Nextcloud Forms exports",
      '\u{FEFF}"User ID","User display name","Timestamp","Nom de l\'association","Adresse e-mail de l\'association"\n"","Anonymous user","2026-11-01T10:00:00+01:00","Les Amis d\'Iris","bureau@iris.example"\n"","Anonymous user","2026-11-01T10:00:00+01:00","Lotus ; & co","bureau@lotus.example"\n',
    ],
    [
      "a second row of names for programs, as newer ones do",
      "Submission ID,User ID,Timestamp,Nom du groupe,Adresse mail du groupe\nsubmission_id,user_id,timestamp,question-id-1,question-id-2\n1,,x,Les Amis d'Iris,bureau@iris.example\n2,,x,Lotus ; & co,bureau@lotus.example\n",
    ],
    [
      "semicolons and CRLF, as Excel saves in French",
      "NOM DE L'ASSOCIATION;Courriel de l’association\r\nLes Amis d'Iris;bureau@iris.example\r\n\"Lotus ; & co\";bureau@lotus.example\r\n;\r\n",
    ],
    [
      "its separator named by Excel",
      "sep=|\r\nGroup name|Contact e-mail\r\nLes Amis d'Iris|bureau@iris.example\r\nLotus ; & co|bureau@lotus.example",
    ],
    [
      "tabs, and other columns between",
      "Téléphone\tContact (bureau@…)\tNom du demandeur\tNom de la structure\n0612345678\tbureau@iris.example\tJeanne Martin\tLes Amis d'Iris\n0612345678\tbureau@lotus.example\tJeanne Martin\tLotus ; & co\n",
    ],
  ])("with %s", (_title, text) => expect(answers(text)).toEqual([IRIS, LOTUS]));

  test("reads no column that may be a person's", () => {
    const text =
      "Nom du groupe,Adresse mail du groupe,Nom,Prénom,Nom du demandeur,E-mail,Téléphone,Adresse\nIris,bureau@iris.example,Martin,Jeanne,Martin,jeanne@martin.example,0612345678,1 rue du Lac\n";
    expect(answers(text)).toEqual([{ name: "Iris", contact: "bureau@iris.example" }]);
  });

  test("says the row of a spreadsheet, and the line where it is another one", () => {
    const text =
      'Nom du groupe,Adresse mail du groupe,Projet\nIris,bureau@iris.example,"deux\nlignes"\nLotus,bureau@lotus.example,\n';
    expect(read(text).map(({ where }) => where)).toEqual(["form.csv, row 2", "form.csv, row 3 (line 4)"]);
  });

  test("marks rows with other cells than the headings", () => {
    const text =
      "Nom du groupe,Adresse mail du groupe\nIris,bureau@iris.example\nLotus, les amis,bureau@lotus.example\nJasmin\nZinnia,bureau@zinnia.example,, \n";
    expect(read(text).map(({ torn }) => torn)).toEqual([false, true, true, false]);
  });

  test("keeps one way to write each letter, and one space between words", () =>
    expect(
      answers("Nom du groupe,Adresse mail du groupe\n E\u{301}te\u{301}\u{A0} ensemble ,a@b.example\n"),
    ).toEqual([{ name: "Été ensemble", contact: "a@b.example" }]));

  test.each([
    ["Nom du groupe,Adresse mail du groupe\nIris,a@b.example\n", "fr"],
    ["Name of the group,Mail address of the group\nIris,a@b.example\n", "en"],
    ["Association name,Contact,Kind\nIris,a@b.example,Union\n", "en"],
    ["Nom de l'association,Contact\nIris,a@b.example\n", "fr"],
  ])("%j was asked in %s", (text, language) => expect(read(text)[0]?.language).toBe(language));
});

describe("JSON", () => {
  test("as a list of objects", () =>
    expect(
      answers(
        JSON.stringify([
          { "Nom du groupe": IRIS.name, "Adresse mail du groupe": IRIS.contact, Nom: "Martin", Projet: null },
          { "Nom du groupe": LOTUS.name, "Adresse mail du groupe": LOTUS.contact },
        ]),
      ),
    ).toEqual([IRIS, LOTUS]));

  test("as the API of Nextcloud Forms answers", () => {
    const submission = (name: string, contact: string) => ({
      id: 1,
      userId: "anon",
      userDisplayName: "Anonymous",
      answers: [
        { id: 1, submissionId: 1, questionId: 7, text: name },
        { id: 2, submissionId: 1, questionId: 9, text: "Jeanne Martin" },
        { id: 3, submissionId: 1, questionId: 8, text: contact },
      ],
    });
    const data = {
      submissions: [submission(IRIS.name, IRIS.contact), submission(LOTUS.name, LOTUS.contact)],
      questions: [
        { id: 7, text: "Nom de l'association" },
        { id: 8, text: "Mail de contact" },
        { id: 9, text: "Nom du demandeur" },
      ],
    };
    expect(answers(JSON.stringify({ ocs: { data } }))).toEqual([IRIS, LOTUS]);
  });
});

describe("an issue", () => {
  test("as forges render their forms", () =>
    expect(
      answers(
        "### Nom du groupe\r\n\r\nLes Amis d'Iris\r\n\r\n### Adresse mail du groupe\r\n\r\nbureau@iris.example\r\n\r\n### Type de groupe\r\n\r\n_No response_\r\n",
      ),
    ).toEqual([IRIS]));

  test("without the hints of a template", () =>
    expect(
      answers(
        "<!-- Cette page est publique. -->\n\n## Nom du groupe\n<!-- ### Comme vous l'écrivez -->\nLes Amis d'Iris\n\n## Adresse mail du groupe\nbureau@iris.example\n",
      ),
    ).toEqual([IRIS]));
});

test.each([
  ["PK\u{3}\u{4}…", "form.csv is a spreadsheet; export the answers as CSV"],
  [
    "Nom;E-mail\nIris;a@b.example\n",
    'no heading for the name; call it "Nom du groupe" or "Name of the group"',
  ],
  [
    "Nom du groupe;E-mail\nIris;a@b.example\n",
    'no heading for the contact; call it "Adresse mail du groupe"',
  ],
  [
    "Nom du groupe;Nom de l'association;Contact\nIris;Iris;a@b.example\n",
    'has 2 headings for the name: "Nom du groupe", "Nom de l\'association"; keep one.',
  ],
  [
    'Nom du groupe,Contact\nIris,a@b.example\n"Lotus,a@b.example\n',
    "form.csv, line 3: a quote is opened and never closed",
  ],
  ["[1, 2]", "form.csv is JSON, but no list of requests"],
  ["[{]", "form.csv is no JSON"],
  ["", "the file is empty"],
  [
    "### Nom du groupe\n\nIris\n\n### Contact\n\na@b.example\n\n### Nom du groupe\n\nLotus\n",
    "has 2 headings for the name",
  ],
])("%j cannot be read", (text, message) => expect(() => read(text)).toThrow(message));

test("headings that somebody wrote into an issue move no cursor", () =>
  expect(() => read("### \u{9b}2J\u{202e}Iris\n\nKiwi\n")).toThrow(
    'Its headings: "\\u{9b}2J\\u{202e}Iris".',
  ));

test("a file that is not UTF-8 is refused with the way out", () =>
  expect(() =>
    readRequests("form.csv", Buffer.from("Nom du groupe;Contact\n\xc9t\xe9;a@b.example\n", "latin1")),
  ).toThrow("form.csv:2:1  byte 0xc9 is not UTF-8; save the file as UTF-8"));
