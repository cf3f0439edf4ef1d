import { execaSync } from "execa";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { oneAtATime } from "../../release/one-at-a-time.ts";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "framaspace-cache-"));
  onTestFinished(() => rmSync(cache, { recursive: true }));
});
const free = () => !existsSync(join(cache, "in-use-by"));

it("a second run is refused while the first one works, and not afterwards", async () => {
  await oneAtATime(cache, async () => {
    await expect(oneAtATime(cache, async () => "second")).rejects.toThrow(
      `${cache} is in use by process ${process.pid}, another run of this command; wait`,
    );
    expect(free()).toBe(false);
  });
  expect(free()).toBe(true);
  expect(await oneAtATime(cache, async () => "later")).toBe("later");
});

it("a failure frees the folder", async () => {
  await expect(oneAtATime(cache, () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(free()).toBe(true);
});

it.each([
  ["that was killed", () => execaSync("sh", ["-c", "echo $$"]).stdout],
  ["that wrote nothing", () => ""],
])("the mark of a process %s does not count", async (_, owner) => {
  writeFileSync(join(cache, "in-use-by"), owner());
  expect(await oneAtATime(cache, async () => "taken over")).toBe("taken over");
});
