// The pages that people see where no space answers. test/infra/web/nginx.test.ts says who gets them.
import { expect, test } from "vitest";
import { pageFiles } from "../../../infra/machine/nginx/pages.ts";

const pages = pageFiles({ name: `<b>"Hôte"`, url: "https://host.example/?a=1&b='2'" }).map(
  ({ path, content }) => [path.replace(/.*\//, ""), content] as const,
);

test.each(pages)("%s is in French, then in English", (_, page) => {
  expect(page).toMatch(/^<!doctype html>\n<html lang="fr">/);
  expect(page.match(/<h1>.*<\/h1>[^]*<section lang="en">\n<h2>.*<\/h2>/g)).toHaveLength(1);
});

test.each(pages)("%s asks for nothing but itself, and runs nothing", (_, page) => {
  expect(page).not.toMatch(/<script|<img|@import|url\(|\son\w+=/i);
  expect(page.match(/ (?:src|href)="[^"]*"/g)).toEqual([
    ' href="data:,"',
    ...Array<string>(3).fill(' href="https://host.example/?a=1&#38;b=&#39;2&#39;"'),
  ]);
});

test.each(pages)("%s says whom to ask, and escapes the name", (_, page) => {
  expect(page).toContain(">&#60;b&#62;&#34;Hôte&#34;</a>");
  expect(page).toContain(">host.example</a></footer>");
  expect(page).not.toContain("HOST");
  expect(page).not.toContain("<b>");
});

test("only what passes by itself loads itself again", () => {
  expect(
    pages
      .filter(([, page]) => page.includes('http-equiv="refresh"'))
      .map(([name]) => name)
      .sort(),
  ).toEqual(["busy.html", "crowded.html", "maintenance.html", "unavailable.html"]);
});
