// Reads requests as forms hand them out: CSV of any spreadsheet, JSON, or the text of an issue. It takes the answers
// to the questions of form.ts, and nothing else of a file: what else people wrote about themselves ends here.
import { CsvError, parse } from "csv-parse/sync";
import * as z from "zod";
import { readText } from "../../validation/positions.ts";
import { UserError } from "../../validation/user-error.ts";
import { FIELDS, questionOf, QUESTIONS, type Answers, type Language } from "./form.ts";

/** One request, as somebody wrote it. Nothing is checked yet. */
export interface Request {
  /** Where a moderator finds it, such as `requests.csv, row 12`. */
  where: string;
  /** Without the spaces around an answer. A question that was not answered is absent. */
  answers: Answers;
  /** The form's own words for each question, and its language. */
  asked: Answers;
  language: Language;
  /** Whether its row has fewer or more cells than the headings. */
  torn: boolean;
}

/**
 * Reads every request of a file, whatever its name: what is in it says what it is. Throws a UserError if it cannot be
 * read, or has no heading for a name or a mail address.
 */
export function readRequests(file: string, bytes: Uint8Array): Request[] {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b)
    throw new UserError(`${file} is a spreadsheet; export the answers as CSV, or save it as CSV (UTF-8).`);
  const text = readText(file, bytes);
  if (typeof text !== "string")
    throw new UserError(
      `${file}:${text.line}:${text.column}  ${text.what}. In Excel, choose "CSV UTF-8".\nNothing was changed.`,
    );
  // TextDecoder has dropped the byte order mark.
  if (/^\s*[[{]/.test(text)) return readJson(file, text);
  // The first line decides: in a CSV, an answer of several lines may have any line.
  if (/^\s*(?:#|<!--)/.test(text)) return [readIssue(file, text)];
  return readCsv(file, text);
}

type Headings = readonly (ReturnType<typeof questionOf> | undefined)[];

function readCsv(file: string, text: string): Request[] {
  const [, hinted, table = ""] = /^(?:sep=(.)\r?\n)?([^]*)$/.exec(text) ?? [];
  const skipped = hinted === undefined ? 0 : 1;
  const candidates = (hinted === undefined ? [";", ",", "\t"] : [hinted]).map((delimiter) => {
    const [first] = parseCsv(file, table, skipped, delimiter, 1);
    return { delimiter, headings: (first?.cells ?? []).map(questionOf), names: first?.cells ?? [] };
  });
  const known = (headings: Headings) => headings.filter((heading) => heading !== undefined).length;
  const [best] = candidates.sort(
    (a, b) => known(b.headings) - known(a.headings) || b.names.length - a.names.length,
  );
  if (!best) return [];
  const { delimiter, headings, names } = best;
  const form = formOf(file, headings, names);
  return parseCsv(file, table, skipped, delimiter).flatMap(({ cells, line }, index) => {
    if (index === 0 || cells.every((cell) => cell.trim() === "") || cells.some(isColumnId)) return [];
    const row = index + 1 + skipped;
    return [
      {
        where: `${file}, row ${row}${line === row ? "" : ` (line ${line})`}`,
        answers: answersOf(cells.map((cell, column) => [headings[column]?.field, cell])),
        ...form,
        torn:
          cells.length < headings.length || cells.slice(headings.length).some((cell) => cell.trim() !== ""),
      },
    ];
  });
}

/** The second row of an export of Nextcloud Forms, which it hides from spreadsheets: names of columns for programs. */
function isColumnId(cell: string): boolean {
  return /^question-id-\d+$/.test(cell);
}

function parseCsv(file: string, text: string, skipped: number, delimiter: string, to = -1) {
  try {
    const records = parse(text, {
      delimiter,
      to,
      info: true,
      relax_column_count: true,
      // A quote inside a bare cell is a quote: Les "Amis" du Lotus.
      relax_quotes: true,
    });
    let line = 1 + skipped;
    return z
      .array(z.object({ record: z.array(z.string()), info: z.object({ lines: z.number() }) }))
      .parse(records)
      .map(({ record: cells, info }) => {
        const started = line;
        line = info.lines + 1 + skipped;
        return { cells, line: started };
      });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new UserError(
      `${file}, line ${Number(error["lines"]) + skipped}: a quote is opened and never closed; close it, or export the answers again.\nNothing was changed.`,
      { cause: error },
    );
  }
}

const flat = z.record(z.string(), z.unknown());
/** An answer of the API of Nextcloud Forms 5 (GET …/api/v3/forms/<id>/submissions). */
const submissions = z.object({
  submissions: z.array(
    z.object({ answers: z.array(z.object({ questionId: z.number(), text: z.string() })) }),
  ),
  questions: z.array(z.object({ id: z.number(), text: z.string() })),
});
const exported = z.union([
  z.array(flat),
  submissions,
  z.object({ ocs: z.object({ data: submissions }) }).transform(({ ocs }) => ocs.data),
]);

function readJson(file: string, text: string): Request[] {
  const { data } = exported.safeParse(parseJson(file, text));
  if (data === undefined)
    throw new UserError(
      `${file} is JSON, but no list of requests; write a list of objects, \`[{"${QUESTIONS.name.fr}": …, "${QUESTIONS.contact.fr}": …}]\`, or an answer of the API of Nextcloud Forms.`,
    );
  const requests = Array.isArray(data)
    ? data.map((request) =>
        Object.entries(request).map(([heading, value]) => [heading, asText(value)] as const),
      )
    : data.submissions.map(({ answers }) =>
        answers.map(
          ({ questionId, text: answer }) =>
            [data.questions.find(({ id }) => id === questionId)?.text ?? "", answer] as const,
        ),
      );
  const names = Array.isArray(data)
    ? [...new Set(requests.flatMap((request) => request.map(([heading]) => heading)))]
    : data.questions.map((question) => question.text);
  const headings = names.map(questionOf);
  const form = formOf(file, headings, names);
  return requests.map((request, index) => ({
    where: `${file}, request ${index + 1}`,
    answers: answersOf(request.map(([heading, answer]) => [questionOf(heading)?.field, answer])),
    ...form,
    torn: false,
  }));
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The error quotes the file, and so people.
    throw new UserError(`${file} is no JSON; export the answers again.\nNothing was changed.`, {
      cause: error,
    });
  }
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : value === null ? "" : JSON.stringify(value);
}

/** What forges write where a question was not answered. */
const NO_ANSWER = /^_No response_$|^N\/A$/i;

function readIssue(file: string, text: string): Request {
  const [, ...sections] = text.replaceAll("\r\n", "\n").split(/^#{2,4} +/m);
  const parts = sections.map((section) => {
    const [heading = "", ...lines] = section.split("\n");
    const answer = lines.join("\n").replaceAll(/<!--[^]*?-->/g, "");
    return { heading: heading.trim(), answer: NO_ANSWER.test(answer.trim()) ? "" : answer };
  });
  const names = parts.map(({ heading }) => heading);
  const headings = names.map(questionOf);
  const form = formOf(file, headings, names);
  return {
    where: file,
    answers: answersOf(parts.map(({ answer }, index) => [headings[index]?.field, answer])),
    ...form,
    torn: false,
  };
}

function answersOf(cells: readonly (readonly [keyof Answers | undefined, string])[]): Answers {
  return Object.fromEntries(
    cells.flatMap(([field, cell]) =>
      // Some systems write é as two characters, and French ones write spaces that look like others.
      field === undefined || cell.trim() === "" ? [] : [[field, tidy(cell)]],
    ),
  );
}

function tidy(cell: string): string {
  return cell
    .normalize("NFC")
    .trim()
    .replaceAll(/\p{Zs}+/gu, " ");
}

/** English if most headings are. */
function languageOf(headings: Headings): Language {
  const known = headings.filter((heading) => heading !== undefined);
  return known.filter(({ language }) => language === "en").length * 2 > known.length ? "en" : "fr";
}

/** How the form asks. Each needed question must be asked, and none twice: nobody can say which answer counts. */
function formOf(
  file: string,
  headings: Headings,
  names: readonly string[],
): Pick<Request, "asked" | "language"> {
  for (const field of FIELDS) {
    const found = names.filter((_, index) => headings[index]?.field === field);
    const { fr, en, needed } = QUESTIONS[field];
    if (found.length > 1)
      throw new UserError(
        `${file} has ${found.length} headings for the ${field}: ${quote(found)}; keep one.\nNothing was changed.`,
      );
    if (needed && found.length === 0)
      throw new UserError(
        `${file} has no heading for the ${field}; call it "${fr}" or "${en}" (docs/add-a-space.md has others). Its headings: ${quote(names) || "none"}.\nNothing was changed.`,
      );
  }
  return {
    asked: Object.fromEntries(
      names.flatMap((name, index) => {
        const field = headings[index]?.field;
        return field === undefined ? [] : [[field, visible(name)]];
      }),
    ),
    language: languageOf(headings),
  };
}

function quote(names: readonly string[]): string {
  return names.map((name) => `"${visible(name)}"`).join(", ");
}

/** What people wrote, for a terminal: one short line, in which no character moves the cursor or turns text around. */
export function visible(text: string): string {
  const shown = text.replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
  return shown.length > 80 ? `${shown.slice(0, 79)}…` : shown;
}
