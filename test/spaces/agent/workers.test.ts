// How the programs of ops-1 run a space's code on workers. run-as-space is real; ssh and systemd are fakes.
import { execa } from "execa";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { placesIn } from "../../../spaces/agent/programs/places.ts";
import {
  runOnWorker,
  type WorkerOptions,
  type WorkerRequest,
} from "../../../spaces/agent/programs/workers.ts";
import { fakeWorker } from "../../support/fake-worker.ts";
import { fakeCommands, onPath } from "../../support/fakes.ts";
import { runHere } from "../../support/run-here.ts";

const REQUEST: WorkerRequest = {
  id: "lotus",
  user: 300_001,
  release: "34.0.4",
  files: { "config/space.json": '{"secret":"of lotus,\\nin two lines"}', "data/.ncdata": "" },
  env: { OC_PASS: "of a\nmember" },
  commands: [["php", "-d", "a=b c", "occ", "user:add"]],
  longestSeconds: 0,
};

let root: string;
const at = (...path: string[]) => join(root, ...path);
const lines = (path: string) =>
  existsSync(at(path)) ? readFileSync(at(path), "utf8").trim().split("\n") : [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "workers-"));
  fakeWorker(root, ["worker-1", "worker-2", "worker-3"]);
  mkdirSync(at("srv/releases/34.0.4"), { recursive: true });
  fakeCommands(root, {
    php: 'printf "%s," "$@"; echo "in $(basename "$PWD")"; exit "$(cat "$ROOT/ends" 2>/dev/null || echo 0)"',
  });
});
afterEach(() => rmSync(root, { recursive: true }));

/** What the commands print and say, and the status of the last one. */
async function ask(change: Partial<WorkerRequest> = {}, options: WorkerOptions = {}) {
  return runHere(root, () => runOnWorker(placesIn(root), { ...REQUEST, ...change }, options));
}
const gone = (...workers: string[]) => {
  mkdirSync(at("gone"), { recursive: true });
  for (const worker of workers) writeFileSync(at("gone", worker), "");
};

describe.skipIf(!onPath("flock"))("code of a space, on workers (flock on PATH)", () => {
  it("finds its files and variables, and leaves nothing", async () => {
    fakeCommands(root, {
      php: 'cat config/space.json; ls -A; echo "$OC_PASS"; [ -s data/.ncdata ] || echo empty',
    });
    expect((await ask()).output).toBe(
      '{"secret":"of lotus,\\nin two lines"}config\ndata\ntmp\nof a\nmember\nempty\n',
    );
    expect(readdirSync(root).filter((name) => name.startsWith("home"))).toEqual([]);
    expect(readdirSync(at("run/framaspace"))).toEqual(["slots"]);
  });

  it("ends with the status of the command, and runs none after one that failed", async () => {
    const commands = [
      ["echo", "one"],
      ["php", "two words"],
      ["echo", "three"],
    ];
    expect(await ask({ commands })).toMatchObject({
      exitCode: 0,
      output: expect.stringMatching(/^one\ntwo words,in .*\nthree\n$/),
    });
    // PHP's status for a fatal error, which is ssh's for no connection, too.
    writeFileSync(at("ends"), "255");
    rmSync(at("asked-worker"));
    expect(await ask({ commands })).toMatchObject({
      exitCode: 254,
      output: expect.stringMatching(/^one\ntwo words,in .*\n$/),
    });
    expect(lines("asked-worker")).toEqual(["worker-2"]);
  });

  it("shows no secret in a list of processes, but what it does", async () => {
    await ask();
    const shown = readFileSync(at("command-lines"), "utf8");
    expect(shown).toMatch(/worker-2 lotus 300001 34\.0\.4 0 \d+ php -d a=b c occ user:add$/m);
    expect(shown).not.toMatch(/member|in two lines/);
  });

  it("spreads over all workers by number, and goes to another one if one takes no connection", async () => {
    for (const user of [300_000, 300_001, 300_002, 300_003]) expect((await ask({ user })).exitCode).toBe(0);
    expect(lines("asked-worker")).toEqual(["worker-1", "worker-2", "worker-3", "worker-1"]);
    gone("worker-2");
    rmSync(at("asked-worker"));
    // The second one does not wait for it.
    for (let time = 0; time < 2; time += 1) expect(await ask()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(lines("asked-worker")).toEqual(["worker-2", "worker-3", "worker-3"]);
    // A minute later it is asked again.
    const before = Date.now() / 1000 - 61;
    utimesSync(at("run/framaspace/unreachable/worker-2"), before, before);
    rmSync(at("gone/worker-2"));
    await ask();
    expect(lines("asked-worker").at(-1)).toBe("worker-2");
  });

  it("says that no worker takes a connection", async () => {
    gone("worker-1", "worker-2", "worker-3");
    const said = "no worker takes a connection (worker-1, worker-2, worker-3); see platform-health";
    expect(await ask()).toEqual({ exitCode: 255, output: "", stderr: said });
    expect(await ask({}, { errors: "with-output" })).toEqual({
      exitCode: 255,
      output: `${said}\n`,
      stderr: "",
    });
  });

  it("says which release it used, so that the worker keeps it", async () => {
    await ask();
    expect(existsSync(at("srv/releases/.34.0.4.used"))).toBe(true);
  });

  it("runs no longer than its time", async () => {
    await ask({ longestSeconds: 600 });
    expect(lines("command-lines").at(-1)).toContain("--property=RuntimeMaxSec=600");
  });
});

describe("run-as-space", () => {
  const runAsSpace = (command: string, input: string) => {
    const env = { PATH: `${at("bin")}:${process.env.PATH}`, SSH_ORIGINAL_COMMAND: command };
    const program = execa(at("bin/run-as-space"), [], { reject: false, env, stdin: "pipe" });
    program.stdin.on("error", () => {});
    program.stdin.write(input);
    return program;
  };
  const request = ["0", "0", "1", "php", ""].join("\0");

  it("ends the commands if the connection ends", async () => {
    fakeCommands(root, {
      php: 'echo $$ >"$ROOT/pid"; exec sleep 60',
      systemctl: 'echo "$*" >>"$ROOT/asked-systemd"; kill -KILL "$(cat "$ROOT/pid")"',
    });
    const program = runAsSpace(`lotus 300001 34.0.4 0 ${request.length}`, request);
    await expect.poll(() => existsSync(at("pid")), { timeout: 10_000 }).toBe(true);
    program.stdin.end();
    const { exitCode, stderr } = await program;
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: expect.stringContaining("run-as-space: the connection ended, and so did the commands of lotus"),
    });
    expect(lines("asked-systemd")).toEqual([expect.stringMatching(/^kill --signal=KILL space-lotus-\d+$/)]);
  });

  it("waits for room, and runs nothing if the connection ends meanwhile", async () => {
    fakeCommands(root, {
      awk: "echo 1",
      php: 'echo begun >>"$ROOT/said"; while [ ! -e "$ROOT/go" ]; do sleep 0.1; done; echo ended >>"$ROOT/said"',
    });
    const begin = () => runAsSpace(`lotus 300001 34.0.4 0 ${request.length}`, request);
    const first = begin();
    await expect.poll(() => lines("said"), { timeout: 10_000 }).toEqual(["begun"]);
    const [second, third] = [begin(), begin()];
    third.stdin.end();
    expect(await third).toMatchObject({
      exitCode: 1,
      stderr: "run-as-space: the connection ended before there was room for lotus",
    });
    writeFileSync(at("go"), "");
    expect([(await first).exitCode, (await second).exitCode]).toEqual([0, 0]);
    expect(lines("said")).toEqual(["begun", "ended", "begun", "ended"]);
  });

  it.each([
    ["half a request", `lotus 300001 34.0.4 0 ${request.length + 1}`, "the request ended early"],
    [
      "root",
      `lotus 0 34.0.4 0 ${request.length}`,
      'write ID USER RELEASE SECONDS LENGTH, not "lotus 0 34.0.4 0',
    ],
    [
      "a release that is not there",
      `lotus 300001 33.0.9 0 ${request.length}`,
      "release 33.0.9 is not on this machine; run up for the platform",
    ],
    [
      "another folder",
      `../etc 300001 34.0.4 0 ${request.length}`,
      'write ID USER RELEASE SECONDS LENGTH, not "../etc',
    ],
    ["nothing", "", 'write ID USER RELEASE SECONDS LENGTH, not ""'],
  ])("runs nothing for %s", async (_, command, said) => {
    const program = runAsSpace(command, request);
    program.stdin.end();
    const { exitCode, stderr } = await program;
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: expect.stringContaining(`run-as-space: ${said}`),
    });
    expect(existsSync(at("command-lines"))).toBe(false);
  });
});
