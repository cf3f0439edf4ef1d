// What pages and comments point to is there: links, headings, files. And what pages say twice, they say alike: a page in
// French has the commands of the one in English, and the index of decisions what each decision says of itself.
import { existsSync, globSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";
import { CONFIGURATION, copyFleet, replaceIn, TENANTS_1 } from "./support/fleet-fixture.ts";
import { runCommand } from "./support/commands.ts";
import { commandsOf } from "./support/runbook.ts";

const ROOT = join(import.meta.dirname, "..");
const PAGES = ["README.md", ...globSync("docs/**/*.md", { cwd: ROOT })].sort();
const read = (file: string) => readFileSync(join(ROOT, file), "utf8");

const FILES = globSync(["*", ".*", ".ci/*", "[a-z]*/**/*"], {
  cwd: ROOT,
  exclude: (name) => ["node_modules", ".git", ".lab"].includes(name),
}).filter((file) => statSync(join(ROOT, file)).isFile());
const ROOMS = [...new Set(FILES.flatMap((file) => /^([a-z]\w*)\//.exec(file)?.[1] ?? []))];

/** A page without its blocks of code. */
const prose = (page: string) => read(page).replaceAll(/^( *)```[^]*?^\1```$/gm, "");

const blocks = (page: string) =>
  [...read(page).matchAll(/^( *)```(.*)\n([^]*?)^\1```$/gm)].map(([, , kind, text]) => ({ kind, text }));

/** A heading's anchor, as forges make it. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
const anchors = (page: string) =>
  [...prose(page).matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) => anchor(text));

/** Paths from the repository's root that a text names. Not what is below another root, such as /srv/spaces/lotus. */
function pathsIn(text: string): string[] {
  const path = new RegExp(String.raw`(?<![\w/.@>}-])(?:${ROOMS.join("|")})/[\w./@*<>-]+`, "g");
  return [...text.matchAll(path)].map(([found]) => found.replace(/[./-]+$/, ""));
}

/** Whether a path is there; what stands for something else may be anything: `<environment>`, NNN, `*`. */
function isThere(path: string): boolean {
  if (existsSync(join(ROOT, path))) return true;
  const pattern = path.replaceAll(/<\w+>|N{3,}/g, "*");
  return pattern.includes("*") && globSync(pattern, { cwd: ROOT }).length > 0;
}

test("there are pages, and files", () => {
  expect(PAGES.length).toBeGreaterThan(50);
  expect(FILES).toEqual(expect.arrayContaining([".oxlintrc.json", ".ci/run", "infra/machine/lib.sh"]));
});

describe.each(PAGES)("%s", (page) => {
  test("links lead to files and headings that are there", () => {
    const links = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
    const broken = links.filter((link) => {
      if (/^https?:/.test(link)) return false;
      const [path = "", heading] = link.split("#");
      const target = path === "" ? page : normalize(join(dirname(page), path));
      if (!existsSync(join(ROOT, target))) return true;
      return heading !== undefined && !anchors(target).includes(heading);
    });
    expect(broken).toEqual([]);
  });

  test("names only files that are there", () =>
    expect(pathsIn(prose(page)).filter((path) => !isThere(path))).toEqual([]));
});

test("comments and messages name only pages and files that are there", () => {
  const wrong = FILES.filter((file) => !/^(package-lock\.json|test\/golden\/.*|.*\.md)$/.test(file)).flatMap(
    (file) =>
      pathsIn(read(file))
        .filter((path) => /\.(ts|cjs|sh|md|php|yaml)$/.test(path))
        // Tests name files of the fleets that they make.
        .filter((path) => !file.startsWith("test/") || path.startsWith("docs/"))
        .filter((path) => !isThere(path))
        .map((path) => `${file}: ${path}`),
  );
  expect(wrong).toEqual([]);
});

describe("docs/architecture.md", () => {
  test("has a line for every folder of the tree", () => {
    const rows = [...read("docs/architecture.md").matchAll(/^\| `([\w/-]+)`/gm)].map(([, room]) => room);
    const below = (folder: string) =>
      readdirSync(join(ROOT, folder), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => `${folder}/${name}`);
    const folders = [...ROOMS, ...below("infra"), ...below("spaces")];
    // Data, which the page calls the tenants files.
    expect(folders.filter((folder) => !rows.includes(folder) && folder !== "spaces/tenants")).toEqual([]);
  });

  test("draws each port of the table of firewalls", () => {
    const drawing = blocks("docs/architecture.md").find(({ kind }) => kind === "mermaid")?.text ?? "";
    const ports = /export const PORTS = \{([^]*?)\}/.exec(read("infra/machine/firewall.ts"))?.[1] ?? "";
    const numbers = [...ports.matchAll(/: (\d+),/g)].map(([, port = ""]) => port);
    expect(numbers.length).toBeGreaterThan(8);
    expect(numbers.filter((port) => !new RegExp(`\\b${port}\\b`).test(drawing))).toEqual([]);
  });
});

describe("decisions", () => {
  const decisions = globSync("docs/decisions/[0-9]*.md", { cwd: ROOT }).sort();
  const header = /^# .+\n\n_Decision (\d+) · (\d{4}-\d\d-\d\d) · (accepted|superseded by \[\d+\]\(.+\))_\n/;
  const said = decisions.map((file) => {
    const [, number, date, status] = header.exec(read(file)) ?? [];
    return { file: file.replace("docs/decisions/", ""), number: Number(number), date, status };
  });

  test("are numbered in a row, as their files are called, in the order of their dates", () => {
    expect(said.map(({ number }) => number)).toEqual(decisions.map((_, index) => index + 1));
    expect(said.map(({ file }) => Number(file.slice(0, 4)))).toEqual(said.map(({ number }) => number));
    const dates = said.map(({ date }) => String(date));
    expect(dates).toEqual(dates.toSorted());
  });

  test("stand in the index as they say of themselves", () => {
    const row = /^\| +(\d+) \| ([\d-]+) \| (.+?) +\| \[.+?\]\((.+?)\)/gm;
    const rows = [...read("docs/decisions/README.md").matchAll(row)].map(
      ([, number, date, status, file]) => ({ file, number: Number(number), date, status }),
    );
    expect(rows).toEqual(said);
  });
});

describe("runbooks", () => {
  test("have the headings and the commands that the suites in labs type", () => {
    const call = /\b(type|typeAtHome)\(\s*\w+,\s*"([\w-]+)"(?:,\s*"([^"]+)")?/g;
    const calls = globSync("test/lab/*.ts", { cwd: ROOT }).flatMap((file) => [...read(file).matchAll(call)]);
    expect(calls.length).toBeGreaterThan(20);
    const missing = calls.filter(([, how, page = "", heading]) =>
      how === "type"
        ? commandsOf(page, heading).length === 0
        : !read(`docs/runbooks/${page}.md`).includes(`\n## ${heading}\n`),
    );
    expect(missing).toEqual([]);
  });

  test("say of each alarm what it means", () => {
    const sources = globSync(
      ["infra/monitoring/programs/*.ts", "infra/storage/programs/storage-problems.ts"],
      { cwd: ROOT },
    );
    const line = /["`]((?:postgres|backups|redis|storage|spaces?|background|certificate|health) [^"`:]*):/g;
    const alarms = sources.flatMap((file) =>
      [...read(file).matchAll(line)].map(([, name = ""]) => name.replaceAll(/\$\{[^}]*\}/g, "…")),
    );
    expect(alarms.length).toBeGreaterThan(15);
    const rows = [...read("docs/runbooks/alarms.md").matchAll(/^\| (`.+?) +\|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name.replace(/ ?…$/, "").replace(" … ", " ")),
    );
    const known = (alarm: string) => {
      const name = alarm.replaceAll(/ ?…/g, "");
      return rows.some((row) => name.startsWith(row) || row.startsWith(`${name} `));
    };
    expect(alarms.filter((alarm) => !known(alarm))).toEqual([]);
  });
});

describe("pages in French", () => {
  const french = PAGES.filter((page) => page.endsWith(".fr.md"));
  test("are the two for associations and volunteers", () =>
    expect(french).toEqual(["docs/add-a-space.fr.md", "docs/take-your-space-away.fr.md"]));

  describe.each(french)("%s", (page) => {
    const english = page.replace(".fr.md", ".md");
    const levels = (file: string) => [...prose(file).matchAll(/^(#+) /gm)].map(([, level]) => level);

    test("has the blocks and the parts of the page in English", () => {
      expect(blocks(page).length).toBeGreaterThan(3);
      expect(blocks(page)).toEqual(blocks(english));
      expect(levels(page)).toEqual(levels(english));
    });

    test("and each names the other at its top", () => {
      for (const [one, other] of [
        [page, english],
        [english, page],
      ] as const)
        expect(read(one).split("\n")[2]).toContain(`](${other.replace("docs/", "")})`);
    });
  });
});

/** The words of a line that a shell would make of it. */
const words = (line: string) => [...line.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word);

test("the commands of docs/add-a-space.md do what it says, in its order", { timeout: 60_000 }, async () => {
  const lines = blocks("docs/add-a-space.md").flatMap(({ kind, text = "" }) =>
    kind === "sh" ? text.trim().split("\n") : [],
  );
  const root = copyFleet();
  replaceIn(root, TENANTS_1, /\n# Asked for[^]*$/, "");
  replaceIn(root, CONFIGURATION, "driveTerabytes: 0.02", "driveTerabytes: 16");
  const where = ["--env", "demo", "--root", root];
  const type = async (line: string) => {
    const [, command, verb = "", ...rest] =
      /^npm run (space|check) -- (\S+)(.*)$/
        .exec(line)
        ?.flatMap((part, index) => (index === 3 ? words(part) : [part])) ?? [];
    if (command === "check") return runCommand("check", verb, "--root", root);
    const given = rest.map((word) => (word === "../requests.csv" ? join(root, "requests.csv") : word));
    return runCommand("space", verb, ...given, ...(verb === "merge" ? ["--root", root] : where));
  };
  const typed = lines.filter((line) => /^npm run (space|check) /.test(line));
  expect(typed.map((line) => words(line)[4])).toEqual([
    "add",
    "add",
    "tenants",
    "merge",
    "suspend",
    "archive",
    "remove",
    "resume",
  ]);
  const [add = "", from = "", check = "", merge = "", suspend = "", archive = "", remove = "", resume = ""] =
    typed;
  writeFileSync(join(root, "requests.csv"), "Nom du groupe;Contact\nKiwi;bureau@kiwi.example\n");
  // test/spaces/conflicts has conflicts to merge. Here is none.
  expect(await type(merge)).toMatchObject({
    status: 1,
    text: expect.stringMatching(/nothing can be merged/),
  });
  for (const line of [add, from, check, suspend, resume, suspend, archive, remove])
    expect(await type(line), line).toMatchObject({ status: 0 });
  expect((await type(resume)).status).toBe(1);
});
