// What a part of the check says of the tool that it runs.
import { expect, test } from "vitest";
import { runTool } from "../../check/tool.ts";

test("a tool that finds nothing says nothing", async () =>
  expect(await runTool(".", "bash", ["-c", "echo fine"])).toEqual({ state: "passed", text: "" }));

test("one that fails has all that it printed, from the folder that it runs in", async () =>
  expect(await runTool("/", "bash", ["-c", "echo one; pwd; sleep 0.2; echo two >&2; exit 2"])).toEqual({
    state: "failed",
    text: "one\n/\ntwo",
  }));

test("one that is not installed, or was killed, says so", async () => {
  expect(await runTool(".", "no-such-tool", [])).toEqual({
    state: "failed",
    text: "spawn no-such-tool ENOENT",
  });
  expect(await runTool(".", "bash", ["-c", "kill -9 $$"])).toEqual({
    state: "failed",
    text: expect.stringContaining("SIGKILL"),
  });
});

test("this package's own tools are found, wherever it is called from", async () =>
  expect((await runTool("/", "tsc", ["--version"])).state).toBe("passed"));
