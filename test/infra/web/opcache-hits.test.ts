// What a web server says of its compiled code. The program runs here with a fake of cgi-fcgi; PHP runs what that asks.
import { execa, execaSync } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fake, onPath, programIn } from "../../support/fakes.ts";

const SCRIPT = "infra/web/rootfs/usr/local/share/framaspace/opcache.php";
/** Moment at which counting began, hits, misses, whether the memory is full, its MB in use and in all. */
type Counted = readonly [since: number, hits: number, misses: number, full: 0 | 1, used: number, all: number];

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framaspace-opcache-"));
  mkdirSync(join(root, "bin"));
});
afterEach(() => rmSync(root, { recursive: true }));

const run = async (counted: Counted | string, ...words: string[]) => {
  const says = typeof counted === "string" ? counted : `opcache ${counted.join(" ")}`;
  fake(
    join(root, "bin/cgi-fcgi"),
    `printf 'X-Powered-By: PHP\\r\\nContent-type: text/html\\r\\n\\r\\n%s\\n' '${says}'`,
  );
  const { stdout, stderr, exitCode } = await execa(
    "bash",
    ["-c", programIn(root, "opcache-hits"), "-", ...words],
    {
      stdin: "ignore",
      reject: false,
      env: { PATH: `${root}/bin:/usr/bin:/bin` },
    },
  );
  return { stdout, stderr, exitCode };
};
const note = async (counted: Counted) => {
  expect(await run(counted, "--note")).toEqual({ stdout: "", stderr: "", exitCode: 0 });
  const file = join(root, "run/framaspace/problems/opcache");
  return existsSync(file) ? readFileSync(file, "utf8") : "";
};

test("prints a figure of the time since the last note, and of the memory", async () => {
  await note([1000, 50_000, 4000, 0, 100, 384]);
  const { stdout } = await run([1000, 149_000, 5000, 0, 120, 384]);
  expect(stdout).toBe(
    "99.0 % of 100000 files were compiled before they were asked for; 120 of 384 MB of compiled code are in use",
  );
  // A look by hand is no note.
  expect((await run([1000, 149_000, 5000, 0, 120, 384])).stdout).toBe(stdout);
});

test("says that PHP compiles files again and again, once that lasts", async () => {
  expect(await note([1000, 0, 0, 0, 30, 384])).toBe("");
  // A new release is compiled at its first requests.
  expect(await note([1000, 10_000, 9000, 0, 30, 384])).toBe("");
  expect(await note([1000, 110_000, 9100, 0, 30, 384])).toBe("");
  expect(await note([1000, 113_000, 20_000, 0, 30, 384])).toBe("");
  expect(await note([1000, 116_000, 31_000, 0, 30, 384])).toMatch(
    /^opcache hits: PHP compiled 78\.6 % of 14000 files again that requests asked for; .*\n$/,
  );
  expect(await note([1000, 216_000, 31_000, 0, 30, 384])).toBe("");
});

test("judges no time with few requests, and begins again when PHP does", async () => {
  await note([1000, 0, 0, 0, 30, 384]);
  for (const misses of [100, 500, 1900]) expect(await note([1000, 0, misses, 0, 30, 384])).toBe("");
  // These are counted from the first note on.
  expect(await note([1000, 0, 2000, 0, 30, 384])).toBe("");
  expect(await note([1000, 0, 4000, 0, 30, 384])).toMatch(/100\.0 % of 2000 files/);
  expect(await note([5000, 10, 5000, 0, 30, 384])).toBe("");
});

test("says that there is no room for more compiled code", async () => {
  expect(await note([1000, 9000, 9, 1, 384, 384])).toMatch(/^opcache memory: all 384 MB .*\n$/);
});

test("says nothing of a PHP-FPM that does not answer: its unit does", async () => {
  await note([1000, 9000, 9, 1, 384, 384]);
  const { stdout, stderr, exitCode } = await run("File not found.", "--note");
  expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 0 });
  expect(stderr).toMatch(/^opcache-hits: PHP-FPM does not say/);
});

test.skipIf(!onPath("php"))("asks PHP in one line (php on PATH)", async () => {
  const MB = 1024 ** 2;
  const status = {
    cache_full: true,
    memory_usage: { used_memory: 300 * MB, free_memory: 2 * MB, wasted_memory: MB },
    opcache_statistics: { hits: 5, misses: 7, start_time: 1000, last_restart_time: 3000 },
  };
  writeFileSync(join(root, "status.json"), JSON.stringify(status));
  const text = readFileSync(SCRIPT, "utf8").replace(
    /\bopcache_get_status\(/,
    `(fn () => json_decode(file_get_contents('${root}/status.json'), true))(`,
  );
  writeFileSync(join(root, "asked.php"), text);
  const { stdout } = execaSync("php", [join(root, "asked.php")]);
  expect(stdout).toBe("opcache 3000 5 7 1 301 303");
});
