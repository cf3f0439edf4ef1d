// Machines whose lines do not arrive: tell-logs on each machine and hear-machines on logs-1, with a folder in place of the
// machine and fakes for its commands.
import { execa } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { renderExpected } from "../../../infra/logs/logs.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { fakeCommands, programIn } from "../../support/fakes.ts";

let root: string;
const write = (path: string, text: string, minutesAgo = 0) => {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  const then = Date.now() / 1000 - minutesAgo * 60;
  utimesSync(file, then, then);
};
const run = (name: string) =>
  execa("bash", ["-c", programIn(root, name)], { env: { PATH: `${root}/bin:${process.env["PATH"]}` } });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framaspace-silence-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "bin"));
});

describe("logs-1 misses", () => {
  const missed = async () => {
    await run("hear-machines");
    const lines = readFileSync(join(root, "run/framaspace/problems/senders"), "utf8");
    return lines.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d/g, "DAY HOUR");
  };
  const said = "journalctl -u rsyslog -u tell-logs, then systemctl restart rsyslog\n";

  test("no machine that was heard a moment ago, even if keep-logs has moved its lines since", async () => {
    write("etc/framaspace/log-senders", "web-1\nweb-2\n", 600);
    write("var/log/machines/web-1.log", "", 19);
    write("var/log/kept/2026-11-29/machines/web-1.log.gz", "", 1000);
    write("var/log/kept/2026-11-30/machines/web-2.log", "", 19);
    expect(await missed()).toBe("");
  });

  test("a machine that was heard twenty minutes ago, until it is heard again", async () => {
    write("etc/framaspace/log-senders", "web-1\nweb-2\n", 1);
    write("var/log/machines/web-1.log", "");
    write("var/log/machines/web-2.log", "", 21);
    expect(await missed()).toBe(`misses web-2: its last line arrived at DAY HOUR UTC; on web-2: ${said}`);
    write("var/log/machines/web-2.log", "");
    expect(await missed()).toBe("");
  });

  test("a machine that was never heard, but not while it is being made", async () => {
    write("etc/framaspace/log-senders", "web-1\nweb-2\n", 59);
    write("var/log/machines/web-1.log", "");
    expect(await missed()).toBe("");
    write("etc/framaspace/log-senders", "web-1\nweb-2\n", 61);
    expect(await missed()).toBe(`misses web-2: no line of it has arrived yet; on web-2: ${said}`);
  });

  test("every machine that is to answer, but not itself", () => {
    const names = renderExpected(exampleEnvironment("prod"), "logs-1").split("\n");
    expect(names).toEqual(expect.arrayContaining(["ops-1", "web-2", "storage-a1", "storage-b1"]));
    expect(names).not.toContain("logs-1");
  });
});

describe("a machine", () => {
  /** @param info What ss tells about the connection to logs-1, or undefined if there is none. */
  const world = (info: string | undefined, { listens = true } = {}) => {
    const connection = `0 0 10.0.20.1:40000 10.0.30.1:6514\n\t ts sack cubic ${info} minrtt:0.2`;
    fakeCommands(root, {
      ss: info === undefined ? "" : `cat <<'END'\n${connection}\nEND`,
      logger: 'echo "$*" >>"$ROOT/said"',
      sleep: "",
      timeout: listens ? "" : "exit 1",
      systemctl: 'echo "$*" >>"$ROOT/done"',
    });
  };
  const textOf = (name: string) =>
    existsSync(join(root, name)) ? readFileSync(join(root, name), "utf8") : "";

  test.each([
    ["has just confirmed a line", "lastsnd:1004 lastrcv:1000"],
    ["is confirming one", "lastsnd:4 lastack:4"],
  ])("leaves rsyslog alone while logs-1 %s, and says that it lives", async (_, info) => {
    world(info);
    for (let look = 0; look < 3; look++) await run("tell-logs");
    expect(textOf("said")).toBe("-p daemon.info -t tell-logs -- lines of this machine arrive\n".repeat(3));
    expect(textOf("done")).toBe("");
  });

  test.each([
    ["there is no connection", undefined],
    ["the connection is silent", "lastsnd:4 lastrcv:300000"],
  ])("restarts rsyslog at the second look if %s though logs-1 listens", async (_, info) => {
    world(info);
    await run("tell-logs");
    expect(textOf("done")).toBe("");
    await run("tell-logs");
    expect(textOf("done")).toBe("restart rsyslog.service\n");
    // It gets the same time again.
    await run("tell-logs");
    expect(textOf("done")).toBe("restart rsyslog.service\n");
  });

  test("does not restart rsyslog while logs-1 is away, nor for two looks with a good one between", async () => {
    world(undefined, { listens: false });
    for (let look = 0; look < 3; look++) await run("tell-logs");
    world(undefined);
    await run("tell-logs");
    world("lastrcv:10");
    await run("tell-logs");
    world(undefined);
    await run("tell-logs");
    expect(textOf("done")).toBe("");
  });
});
