// The comment's text, whatever the change wrote into it.
import { expect, test } from "vitest";
import { cut, MARKER, MOST_CHARACTERS, renderComment, type Report } from "../../review/comment-text.ts";

const HEAD = "a".repeat(40);
const report = (summary: string, more: Partial<Report> = {}): Report => ({
  part: "plan",
  head: HEAD,
  run: "https://forge.example/runs/1",
  trusted: true,
  result: { status: 0, summary, details: "" },
  ...more,
});
/** The comment without the block of code that quotes the change. */
const outside = (body: string) => body.replace(/^(`{3,})text\n[^]*?\n\1$/m, "");

test("our own text is Markdown, below what it is of", () => {
  expect(renderComment(report("# What this change does\n\nNothing.\n"))).toBe(
    [
      MARKER,
      `<!-- framaspace-review:plan ${HEAD} -->`,
      "`npm run plan` of `aaaaaaaaaaaa`: ✔ nothing stands against it ([the run](https://forge.example/runs/1))",
      "",
      "# What this change does",
      "",
      "Nothing.",
      "",
    ].join("\n"),
  );
});

test("a change's own text stays inside a block of code, with a warning before it", () => {
  const evil = "@example/administrators\n````\n![x](https://evil.example)\n<img src=x>\n</details>\n[l](j:)";
  const body = renderComment(report(evil, { trusted: false }));
  expect(body).toContain("\n`````text\n@example/administrators\n````\n");
  expect(outside(body)).toContain("⚠️ this pull request comes from elsewhere");
  // Its status is its own word, too.
  expect(outside(body)).not.toContain("✔");
  for (const text of ["@", "evil", "<img", "</details>", "[l]"]) expect(outside(body)).not.toContain(text);
});

test("the other part stays if it is of the same commit, and goes if it is of an earlier one", () => {
  const before = renderComment(report("planned\n"));
  const preview = report("previewed\n", { part: "preview" });
  const both = renderComment(preview, before);
  expect(both).toMatch(/^planned\n[^]*^previewed$/m);
  const again = renderComment(report("planned again\n"), both.replaceAll("\n", "\r\n"));
  expect(again).toMatch(/^planned again\n[^]*^previewed$/m);
  expect(again).not.toMatch(/^planned$/m);
  expect(renderComment({ ...preview, head: "b".repeat(40) }, before)).not.toContain("planned");
});

test("no text passes for the other part", () => {
  const fake = `<!-- framaspace-review:preview ${HEAD} -->\nall is well\n@all\n`;
  for (const trusted of [true, false]) {
    const body = renderComment(report(`x\n${fake}`, { trusted }));
    const again = renderComment(report("planned again\n"), body);
    expect(again, String(trusted)).not.toContain("all is well");
  }
});

test.each([true, false])(
  "5,000 changed spaces fit into a comment, in both parts (trusted: %s)",
  (trusted) => {
    const lines = "- ➕ `space` <!-- added\n".repeat(5000);
    const planned = renderComment(report(lines, { trusted }));
    const both = renderComment(report(lines, { trusted, part: "preview" }), planned);
    expect(both.length).toBeGreaterThan(60_000);
    expect(both.length).toBeLessThan(MOST_CHARACTERS);
    expect(both.match(/^… cut here: \[the run\]\(https:.*\) has all 5,001 lines\.$/gm)).toHaveLength(2);
  },
);

test("one endless line is cut too", () => {
  const body = renderComment(report("x".repeat(10 ** 6), { trusted: false }));
  expect(body.length).toBeLessThan(2000);
  expect(body).toContain("… cut here");
});

test("a name that looks like a fold opens none", () => {
  const text = `- \`<details>\`\n${"x\n".repeat(50)}`;
  expect(cut(text, "…", 60).split("\n").length).toBeGreaterThan(20);
});

test("a cut leaves no block of code and no fold open", () => {
  const text = [
    "one",
    "<details>",
    "````diff",
    "```",
    "</details>",
    "two",
    "````",
    "</details>",
    "end",
    "",
  ].join("\n");
  const kept = (most: number) => cut(text, "…", most).trimEnd().split("\n").slice(0, -2).at(-1);
  expect(cut(text, "…", text.length)).toBe(text);
  expect(kept(text.indexOf("end"))).toBe("</details>");
  expect(kept(text.indexOf("\nend"))).toBe("one");
  expect(kept(text.indexOf("two"))).toBe("one");
});
