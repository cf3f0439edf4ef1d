// A stranger's file, read as data.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readResult, writeResult } from "../../review/result.ts";
import { UserError } from "../../validation/user-error.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "framaspace-result-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = () => join(folder, "review.json");
const good = { number: 12, status: 2, summary: "s\n", details: "" } as const;
const expectRefused = (text: RegExp) => {
  expect(() => readResult(folder)).toThrow(UserError);
  expect(() => readResult(folder)).toThrow(text);
};

test("what is written is read; nothing is nothing", () => {
  expect(readResult(folder)).toBeUndefined();
  writeResult(folder, good);
  expect(readResult(folder)).toEqual(good);
});

test("a link is not followed, and a pipe is not waited for", () => {
  symlinkSync("/etc/passwd", file());
  expectRefused(/no plain file \(ELOOP\)/);
  rmSync(file());
  execFileSync("mkfifo", [file()]);
  expectRefused(/no plain file/);
});

test("a file too large is not read", () => {
  writeFileSync(file(), "");
  truncateSync(file(), 2 ** 30);
  expectRefused(/of at most \d+ bytes/);
});

test.each([
  ["no JSON", "{", /no JSON/],
  ["a number with an expression", { ...good, number: "12; id" }, /\(number\)/],
  ["a number that is none", { ...good, number: 1.5 }, /\(number\)/],
  ["a status that is none", { ...good, status: 3 }, /\(status\)/],
  ["a key too many", { ...good, trusted: true }, /\(the whole\)/],
])("%s is refused, and not quoted", (_, content, says) => {
  writeFileSync(file(), typeof content === "string" ? content : JSON.stringify(content));
  expectRefused(says);
  expect(() => readResult(folder)).not.toThrow(/; id/);
});
