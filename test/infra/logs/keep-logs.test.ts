// keep-logs, cut off in the middle. It runs here in a folder that replaces the machine.
import { execaSync } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { fake, fakeCommands, programIn } from "../../support/fakes.ts";

let root: string;
const at = (...path: string[]) => join(root, "var/log", ...path);
const today = () => new Date().toISOString().slice(0, 10);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "keep-logs-"));
  mkdirSync(join(root, "bin"));
  fakeCommands(root, {
    systemctl: 'echo "$*" >>"$ROOT/calls"',
    df: "echo '10% 20%'",
    // The real one would need the group adm.
    install: 'mkdir -p "${@: -1}"',
  });
  write("spaces/lotus.log", "today\n");
  write("kept/2025-01-01/spaces/lotus.log.gz", "too old");
  write("kept/2025-01-02/spaces/lotus.log", "too old, too");
});
afterEach(() => rmSync(root, { recursive: true }));

/** Writes a file that nobody has touched for an hour. */
function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
  const then = Date.now() / 1000 - 3600;
  utimesSync(at(path), then, then);
}

function keepLogs() {
  const { stderr, exitCode } = execaSync("bash", ["-c", programIn(root, "keep-logs")], {
    reject: false,
    env: { PATH: `${join(root, "bin")}:${process.env.PATH}`, RETENTION_DAYS: "366" },
  });
  return { stderr: stderr.replaceAll(root, ""), exitCode };
}

function expectKept(): void {
  expect(readFileSync(at("kept", today(), "spaces/lotus.log"), "utf8")).toBe("today\n");
  expect(existsSync(at("spaces/lotus.log"))).toBe(false);
  expect(existsSync(at("kept/2025-01-01"))).toBe(false);
  expect(existsSync(at("kept/2025-01-02"))).toBe(false);
}

it.each([
  ["half of it was compressed", gzipSync("yesterday\n").subarray(0, 12)],
  ["nothing was", ""],
  ["the file was to be removed", gzipSync("yesterday\n")],
])("finishes what a kill cut off when %s", (_, there) => {
  const day = `kept/${new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)}/spaces`;
  write(`${day}/lotus.log`, "yesterday\n");
  write(`${day}/lotus.log.gz`, there);
  expect(keepLogs()).toEqual({ exitCode: 0, stderr: "" });
  expect(gunzipSync(readFileSync(at(day, "lotus.log.gz"))).toString()).toBe("yesterday\n");
  expect(existsSync(at(day, "lotus.log"))).toBe(false);
  expectKept();
});

it("stores the day and removes what is too old also if a file cannot be compressed, and fails", () => {
  fake(join(root, "bin/gzip"), "echo 'gzip: No space left on device' >&2; exit 1");
  const { exitCode, stderr } = keepLogs();
  expect(exitCode).toBe(1);
  expect(stderr).toContain("No space left on device");
  expect(stderr).toContain("files under /var/log/kept are not compressed; the next run tries again");
  expectKept();
});
