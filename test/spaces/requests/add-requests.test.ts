import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadFleet } from "../../../spaces/fleet/load-fleet.ts";
import { add } from "../../../spaces/requests/add-requests.ts";
import { runCommand } from "../../support/commands.ts";
import { CONFIGURATION, copyFleet, replaceIn, TENANTS_1, TENANTS_2 } from "../../support/fleet-fixture.ts";

const HEADINGS = "Horodatage;Nom de l'association;Adresse mail de l'association;Nom du demandeur;Téléphone";

/** A file outside the repository, as a download is. */
function download(...rows: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "framaspace-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "form.csv"), [HEADINGS, ...rows, ""].join("\r\n"));
  return join(folder, "form.csv");
}

function largeFleet(): string {
  const root = copyFleet();
  replaceIn(root, CONFIGURATION, "driveTerabytes: 0.02", "driveTerabytes: 16");
  return root;
}

const texts = (root: string) =>
  globSync("spaces/tenants/demo/*", { cwd: root })
    .sort()
    .map((file) => readFileSync(join(root, file), "utf8"));

// A moderator's bad day: of each ten rows, five are good.
const rows = Array.from({ length: 200 }, (_, index) => {
  const row = (name: string, contact: string) =>
    `2026-11-0${1 + (index % 9)};${name};${contact};Jeanne Martin;0612345678`;
  const contact = `bureau@groupe-${index}.example`;
  switch (index % 10) {
    case 5:
      return row(`Œuvre d'Été n° ${index - 1}`, `bureau@groupe-${index - 1}.example`); // the row before, again
    case 6:
      return row(`oeuvre d'ete N°${index - 2}`, contact); // another group of the same name
    case 7:
      return row('"=HYPERLINK(""http://x"";""Lotus"")"', contact);
    case 8:
      return row(`Groupe ${index}`, "");
    case 9:
      return row(`Groupe ${index}`, "jeanne.martin@gmail.com");
    default:
      return row(`Œuvre d'Été n° ${index}`, contact);
  }
});

test("200 requests in one go: good ones are added, the others get a reply, a second time adds nothing", () => {
  const root = largeFleet();
  const from = download(...rows);
  const { text, files, title } = add({ root, env: "demo", from });
  const again = add({ root, env: "demo", from });

  expect(text).toContain("Added 100 spaces:");
  expect(text).toContain("There already, and left as they are:");
  expect(text).toContain("Refused 80 requests.");
  expect(text.match(/^Bonjour,$/gm)).toHaveLength(80);
  expect(title).toBe("Add the spaces oeuvre-ete-n-0 and 99 more");
  const fleet = loadFleet(root, "demo");
  expect(fleet.problems).toEqual([]);
  expect(files).toEqual(
    fleet.tenantsFiles
      .filter(({ entries }) => entries.some(({ id }) => id.startsWith("oeuvre")))
      .map(({ file }) => file),
  );
  expect(files.length).toBeGreaterThan(1);
  expect(fleet.tenantsFiles.flatMap(({ entries }) => entries)).toHaveLength(104);
  expect(texts(root).join()).not.toMatch(/Jeanne|Martin|0612345678|gmail|HYPERLINK/);
  expect(title + files.join()).not.toMatch(/Jeanne/);

  expect(again.files).toEqual([]);
  expect(again.text).toContain("Refused 80 requests.");
  expect(again.text).not.toContain("Added");
});

test("says what was added and where, and what to reply to whom", () => {
  const root = largeFleet();
  const from = download(
    ";Kiwi;bureau@kiwi.example;Jeanne Martin;0612345678",
    ";Lotus;Bonjour, \u{1b}[2Jrappelez-moi;Jeanne Martin;0612345678",
  );
  const { text } = add({ root, env: "demo", from });
  const [, file = "", line = ""] = /(spaces\S+):(\d+)/.exec(text) ?? [];
  expect(readFileSync(join(root, file), "utf8").split("\n")[Number(line) - 1]).toBe("- id: kiwi");
  expect(text).toBe(`Added 1 space:

  form.csv, row 2: Kiwi is "kiwi" in ${file}:${line}

Refused 1 request. It is written nowhere: send this reply now.

--- form.csv, row 3: Lotus, Bonjour, \\u{1b}[2Jrappelez-moi

Bonjour,

Merci de votre demande. Nous ne pouvons pas encore ouvrir cet espace :

- La réponse à « Adresse mail de l'association » a plusieurs lignes ou des signes invisibles. Tapez-la au clavier, sur une seule ligne.

Vous pouvez refaire la demande quand vous voulez. Nous n'avons rien gardé de celle-ci.

Bien à vous,
`);
});

test("where all are refused, or one cannot be read, nothing changes", () => {
  const root = copyFleet();
  const before = texts(root);
  expect(() => add({ root, env: "demo", from: download(";;;;", ";Kiwi;;;", ";Cèdre;x;;") })).toThrow(
    /^Refused 2 requests\.[^]*row 4: Cèdre[^]*\nNothing was changed\.$/,
  );
  expect(() => add({ root, env: "demo", from: join(root, "none.csv") })).toThrow("There is no file");
  expect(() => add({ root, env: "demo", from: "form.csv", id: "kiwi" })).toThrow(
    "Write --id and --name for one",
  );
  expect(texts(root)).toEqual(before);
});

test("where storage does not suffice, none is added", () => {
  const root = copyFleet();
  const before = texts(root);
  const many = rows.filter((_, index) => index % 10 === 0);
  expect(() => add({ root, env: "demo", from: download(...many) })).toThrow(
    /storage: spaces are promised [^]*\nNothing was changed\.$/,
  );
  expect(texts(root)).toEqual(before);
  expect(existsSync(join(root, "spaces/tenants/demo/003.yaml"))).toBe(false);
});

test("as a command: one branch and one commit, without anything of a person", async () => {
  const root = largeFleet();
  const from = download(
    ";Kiwi;bureau@kiwi.example;Jeanne Martin;0612345678",
    ";;bureau@x.example;;",
    ";Cèdre;a@cedre.example;;",
  );
  const { status, text } = await runCommand(
    "space",
    "add",
    "--from",
    from,
    "--plan",
    "small",
    "--env",
    "demo",
    "--root",
    root,
  );
  const files = [TENANTS_1, TENANTS_2].filter((file) =>
    /kiwi|cedre/.test(readFileSync(join(root, file), "utf8")),
  );
  expect(text).toContain(`Next, see what it will do, then open a pull request:
  npm run plan
  git switch -c add-the-spaces-kiwi-and-1-more
  git add ${files.join(" ")}
  git commit -m "Add the spaces kiwi and 1 more"`);
  expect(text).not.toContain("Jeanne");
  expect(status).toBe(0);
});

test("warns of a file that could be committed", () => {
  const root = largeFleet();
  writeFileSync(join(root, "form.csv"), `${HEADINGS}\n;Kiwi;bureau@kiwi.example;;\n`);
  expect(add({ root, env: "demo", from: join(root, "form.csv") }).text).toContain(
    "form.csv lies in the repository: delete it when you are done, never commit it.",
  );
});
