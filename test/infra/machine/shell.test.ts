// Quoting, tested with the shells that read it.
import { execaSync } from "execa";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assignments, hereDocument, quote } from "../../../infra/machine/shell.ts";

/** Any text that a shell word can contain. */
const word = fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replaceAll("\0", ""));
const awkward = fc.constantFrom(
  "'",
  "''",
  "\\",
  "$(id)",
  "`id`",
  "\n",
  "\r\n",
  "-n",
  "!",
  "* ?",
  "é",
  "\u{1f338}",
  " ",
);
const words = fc.array(fc.oneof(word, awkward), { minLength: 1, maxLength: 60 });

function run(shell: string, script: string): string {
  return execaSync(shell, ["-s"], { input: script, stripFinalNewline: false, env: { LC_ALL: "C.UTF-8" } })
    .stdout;
}

describe.each(["bash", "sh"])("in %s", (shell) => {
  it("reads a quoted word unchanged", () => {
    fc.assert(
      fc.property(words, (texts) => {
        const out = run(shell, `printf '%s\\0' ${texts.map(quote).join(" ")}\n`);
        expect(out).toBe(texts.map((text) => `${text}\0`).join(""));
      }),
      { numRuns: 40 },
    );
  });

  it("reads a here-document unchanged", () => {
    const line = fc.oneof(
      word,
      fc.constantFrom("END_OF_FILE", "END_OF_FILE_", "'END_OF_FILE'", "$HOME", "\\"),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
        const content = lines.map((text) => `${text}\n`).join("");
        expect(run(shell, `${hereDocument("cat", content === "" ? "\n" : content)}\n`)).toBe(content || "\n");
      }),
      { numRuns: 40 },
    );
  });
});

it("gives settings to bash unchanged", () => {
  fc.assert(
    fc.property(word, words, fc.integer(), fc.boolean(), (text, list, number, truth) => {
      const header = assignments({ TEXT: text, LIST: list, NUMBER: number, TRUTH: truth, NONE: [] });
      const out = run(
        "bash",
        `${header}\nprintf '%s\\0' "$TEXT" "$NUMBER" "$TRUTH" "\${#NONE[@]}" "\${LIST[@]}"\n`,
      );
      expect(out.split("\0").slice(0, -1)).toEqual([text, String(number), String(truth), "0", ...list]);
    }),
    { numRuns: 40 },
  );
});

it("refuses what no shell can read back", () => {
  expect(() => quote("a\0b")).toThrow("NUL");
  expect(() => assignments({ "PATH=/tmp X": "" })).toThrow('"PATH=/tmp X" is not a valid name for a setting');
  expect(() => hereDocument("cat", "no newline")).toThrow("must end with a newline");
});
