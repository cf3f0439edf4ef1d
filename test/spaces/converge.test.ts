// converge-space with everything around it played: no root, no network. What it does on real machines is the lab's.
import { execaSync } from "execa";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const SCRIPTS = ["space-lib.sh", "converge-space.sh"] as const;
const tools = ["jq", "flock"].every((tool) => execaSync("which", [tool], { reject: false }).exitCode === 0);

/** The programs that it calls, as shell: what they are asked for stands in `calls`, what they say in files. */
const PLAYED = {
  chown: ":",
  sync: ":",
  install: 'for word; do case $word in "$ROOT"/*) mkdir -p "$word" ;; esac; done',
  psql: '[ ! -e "$ROOT/no-database" ] || { echo "psql: FATAL: no pg_hba.conf entry" >&2; exit 2; }',
  "redis-users": "cat",
  "distribute-spaces":
    'echo "distribute $1" >>"$ROOT/calls"; cat "$ROOT/missed" 2>/dev/null && exit 1; exit 0',
  curl: 'for word; do case $word in http*) [ "$(cat "$ROOT/status")" = silent ] || echo "$word $(cat "$ROOT/status")" ;; esac; done',
};

let root: string;
const at = (...path: string[]) => join(root, ...path);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "converge-"));
  for (const folder of [
    "bin",
    "run",
    "etc/framaspace",
    "srv/spaces",
    "srv/releases/34.0.4",
    "srv/releases/35.0.2",
  ])
    mkdirSync(at(folder), { recursive: true });
  for (const release of ["34.0.4", "35.0.2"]) writeFileSync(at("srv/releases", release, "index.php"), "");
  for (const [name, body] of Object.entries(PLAYED)) {
    writeFileSync(at("bin", name), `#!/bin/bash\nROOT=${root}\n${body}\n`);
    chmodSync(at("bin", name), 0o755);
  }
  writeFileSync(at("etc/framaspace/platform.json"), '{"database":{"hosts":"postgres-1,postgres-2"}}');
  writeFileSync(at("etc/framaspace/web-servers"), "web-1\nweb-2\n");
  writeFileSync(at("status"), "200");
  for (const name of SCRIPTS) {
    const script = readFileSync(join(import.meta.dirname, "../../spaces/scripts", name), "utf8")
      .replace("/usr/local/lib/framaspace", root)
      .replaceAll(/(?<=[ ="'<>])\/(srv|run|etc|var)(?=\/)/g, (path) => `${root}${path}`);
    writeFileSync(at(name), script.replace(/^PGBIN=.*$/m, `PGBIN=${at("bin")}`));
  }
});
afterEach(() => rmSync(root, { recursive: true }));

const LOTUS = {
  id: "lotus",
  host: "lotus.example.org",
  state: "active",
  release: "34.0.4",
  database: { name: "lotus", user: "lotus", password: "hidden" },
};

function converge(change: Record<string, unknown> = {}) {
  const input = JSON.stringify({ ...LOTUS, ...change });
  const { stdout, stderr, exitCode } = execaSync("bash", [at("converge-space.sh")], {
    input,
    reject: false,
    env: { PATH: `${at("bin")}:${process.env.PATH}` },
  });
  const result: { changed?: string[]; pending?: string[] } = stdout === "" ? {} : JSON.parse(stdout);
  return { ...result, stderr: stderr.replaceAll(root, ""), exitCode };
}
const space = (...path: string[]) => at("srv/spaces/lotus", ...path);
const distributions = () =>
  existsSync(at("calls")) ? readFileSync(at("calls"), "utf8").trim().split("\n").length : 0;

describe.skipIf(!tools)("converge-space (jq and flock on PATH)", () => {
  it("makes a space, and does nothing the second time", () => {
    expect(converge()).toMatchObject({ exitCode: 0, stderr: "", changed: ["directory"], pending: [] });
    expect(readlinkSync(space("release"))).toBe(at("srv/releases/34.0.4"));
    expect(JSON.parse(readFileSync(space("config/space.json"), "utf8"))).toEqual(LOTUS);
    expect(distributions()).toBe(1);
    expect(converge()).toMatchObject({ exitCode: 0, stderr: "", changed: [] });
    expect(distributions()).toBe(1);
  });

  it("suspends and resumes", () => {
    converge();
    writeFileSync(at("status"), "503");
    expect(converge({ state: "suspended" }).changed).toEqual(["config/space.json", "suspended"]);
    expect(existsSync(space("suspended"))).toBe(true);
    writeFileSync(at("status"), "200");
    expect(converge().changed).toEqual(["config/space.json", "no suspended"]);
    expect(existsSync(space("suspended"))).toBe(false);
  });

  it("moves a space to another release", () => {
    converge();
    expect(converge({ release: "35.0.2" }).changed).toEqual(["config/space.json", "release 35.0.2"]);
    expect(readlinkSync(space("release"))).toBe(at("srv/releases/35.0.2"));
  });

  it("takes what a killed run left: changed here, and perhaps not on the web servers", () => {
    converge();
    mkdirSync(at("var/lib/framaspace/undistributed"), { recursive: true });
    writeFileSync(at("var/lib/framaspace/undistributed/lotus"), "");
    mkdirSync(at("srv/spaces/.new.lotus"));
    expect(converge()).toMatchObject({ exitCode: 0, changed: [] });
    expect(distributions()).toBe(2);
    expect(existsSync(at("var/lib/framaspace/undistributed/lotus"))).toBe(false);
  });

  it("goes on without a web server that is away, says so, and leaves it to the timer", () => {
    converge();
    mkdirSync(at("run/framaspace/away"), { recursive: true });
    writeFileSync(at("run/framaspace/away/web-2"), "");
    writeFileSync(at("missed"), "web-2\n");
    const { exitCode, pending, stderr } = converge({ release: "35.0.2" });
    expect({ exitCode, pending }).toEqual({ exitCode: 0, pending: ["web-2"] });
    expect(stderr).toContain("space lotus: not served by web-2 away; tried again twice a minute");
    expect(existsSync(at("var/lib/framaspace/undistributed/lotus"))).toBe(true);
  });

  it("fails where no web server answers as it should, after copying once more", () => {
    writeFileSync(at("status"), "502");
    const { exitCode, stderr } = converge();
    expect(exitCode).toBe(1);
    expect(stderr).toContain("not served by web-1 502, web-2 502");
    expect(stderr).toContain("space lotus, web servers: no web server answers as it should");
    expect(distributions()).toBe(2);
  });

  it("changes nothing while the database refuses its role", () => {
    writeFileSync(at("no-database"), "");
    const { exitCode, stderr } = converge();
    expect(exitCode).toBe(1);
    expect(stderr).toContain("space lotus, database: its role cannot use its database");
    expect(existsSync(space())).toBe(false);
    expect(distributions()).toBe(0);
  });

  it.each([
    [{ id: "../../etc" }, "this is no id"],
    [{ id: "a\nb" }, "this is no id"],
    [{ id: "" }, "this is no id"],
    [{ release: "34.0.4/../../etc" }, "is no release"],
    [{ release: "99.0.0" }, "release 99.0.0 is not on this machine; run up for the platform, then again"],
    [{ state: "gone" }, '"gone" is no state'],
  ])("refuses %j", (change, message) => {
    const { exitCode, stderr } = converge(change);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("hidden");
  });
});
