// The cost of a page that was requested before: PHP opens no file of a release again, whatever times the files have in
// the archive (the lab makes its own archive with the time 0). strace shows it from this machine.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { leaderOf, openLab } from "../../lab/lab.ts";
import { DOMAIN, sharedLab as lab } from "../support/suite-lab.ts";

const ID = "lotus";
const REQUESTS = 10;
const hasStrace = (process.env.PATH ?? "")
  .split(delimiter)
  .some((folder) => existsSync(join(folder, "strace")));

beforeAll(() => lab.prepare());
afterAll(() => lab.remove());

test("a web server says how much PHP had compiled before", async () => {
  const ask = `for n in $(seq 50); do curl -s -o /dev/null -H 'Host: ${ID}.${DOMAIN}' http://web-1/index.php; done`;
  await lab.on("ops-1", ask);
  await lab.on("web-1", "opcache-hits --note");
  await lab.on("ops-1", ask);
  const said = await lab.on("web-1", "opcache-hits; systemctl is-enabled opcache-hits.timer");
  const [, percent, files] = /^([\d.]+) % of (\d+) files .*\nenabled$/.exec(said) ?? [];
  expect(Number(percent), said).toBeGreaterThan(95);
  // The lab's fake of Nextcloud has few files.
  expect(Number(files)).toBeGreaterThan(100);
});

test.skipIf(!hasStrace)(
  `a warm request opens none of the release's files${hasStrace ? "" : " (skipped: no strace on PATH)"}`,
  async () => {
    const web = "web-1";
    const folder = await mkdtemp(join(tmpdir(), "framaspace-opcache-"));
    try {
      const ask = (times: number) =>
        lab.on(
          "ops-1",
          `for n in $(seq ${times}); do curl -s -o /dev/null -w '%{http_code}\\n' -H 'Host: ${ID}.${DOMAIN}' http://${web}/index.php; done`,
        );
      expect(new Set((await ask(20)).split("\n"))).toEqual(new Set(["200"]));
      const leader = await leaderOf(openLab(lab.name), web);
      const { stdout } = await execa("pgrep", [
        "--ns",
        String(leader),
        "--nslist",
        "pid",
        "-f",
        "php-fpm: (master|pool)",
      ]);
      const workers = stdout.split("\n").flatMap((pid) => ["-p", pid]);
      const file = join(folder, "trace");
      const trace = execa("strace", ["-f", "-e", "trace=openat,open", "-o", file, ...workers], {
        reject: false,
      });
      await sleep(2000);
      await ask(REQUESTS);
      trace.kill("SIGINT");
      await trace;
      const opened = (await readFile(file, "utf8")).split("\n").filter((line) => / open(at)?\(/.test(line));
      const ofRelease = opened.filter((line) => /"\/srv\/releases\/[^"]*\.php"/.test(line));
      console.log(
        `${ofRelease.length / REQUESTS} of the release's files and ${opened.length / REQUESTS} in all are opened per warm request`,
      );
      // If there are none, strace watched the wrong processes: each request reads its space.json.
      expect(opened.filter((line) => line.includes(`/srv/spaces/${ID}/`)).length).toBeGreaterThanOrEqual(
        REQUESTS,
      );
      expect(ofRelease).toEqual([]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
