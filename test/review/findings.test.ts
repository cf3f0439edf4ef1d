// What `check` finds, as forges read it.
import { expect, test } from "vitest";
import * as z from "zod";
import { renderAnnotations, renderCodeQuality, withoutCommands } from "../../review/findings.ts";
import type { Problem } from "../../validation/positions.ts";

const problem = (what: string, line = 7): Problem => ({
  file: "spaces/tenants/prod/002.yaml",
  line,
  column: 9,
  who: 'space "zinnia"',
  what,
});

test("a problem becomes an annotation on its line", () =>
  expect(renderAnnotations([problem("plan is huge; write small")])).toEqual([
    '::error file=spaces/tenants/prod/002.yaml,line=7,col=9::space "zinnia": plan is huge; write small.',
  ]));

test("no text ends a command, begins another, or adds a property", () => {
  const evil = { ...problem("100%\r\n::add-mask::x"), file: "a,line=1::b\n::error::.yaml" };
  expect(renderAnnotations([evil])).toEqual([
    '::error file=a%2Cline=1%3A%3Ab%0A%3A%3Aerror%3A%3A.yaml,line=7,col=9::space "zinnia": 100%25%0D%0A::add-mask::x.',
  ]);
});

test("as many as GitHub shows of one step", () => {
  const many = Array.from({ length: 5000 }, (_, line) => problem("x", line + 1));
  expect(renderAnnotations(many)).toHaveLength(10);
});

const read = (report: string) =>
  z.array(z.looseObject({ fingerprint: z.string() })).parse(JSON.parse(report));

test("a report of GitLab has a finding for each, and tells equal ones apart", () => {
  const findings = read(renderCodeQuality([problem("x"), problem("x", 8), problem("y")]));
  expect(findings[1]).toEqual({
    description: 'space "zinnia": x.',
    check_name: "npm run check",
    fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    severity: "major",
    location: { path: "spaces/tenants/prod/002.yaml", lines: { begin: 8 } },
  });
  expect(new Set(findings.map(({ fingerprint }) => fingerprint)).size).toBe(3);
});

test("a problem that only moves keeps its fingerprint", () => {
  const at = (line: number) => read(renderCodeQuality([problem("x", line)]))[0]?.fingerprint;
  expect(at(90)).toBe(at(7));
});

test("between its marks a log has no commands", () =>
  expect(withoutCommands("::error::x\n", "secret-word")).toBe(
    "::stop-commands::secret-word\n::error::x\n::secret-word::\n",
  ));
