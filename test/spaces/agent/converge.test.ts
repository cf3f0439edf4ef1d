// converge-space with everything around it faked: no root, no network. The lab tests what it does on real machines.
import { execa, execaSync } from "execa";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LOTUS, makeOps } from "../../support/fake-ops.ts";
import { fake, onPath, startOf } from "../../support/fakes.ts";

const tools = onPath("jq", "flock");

const folder = mkdtempSync(join(tmpdir(), "converge-"));
/** What replaces the machine, and copies of it: as it is new, and with the space in it. */
const root = join(folder, "machine");
const copies = { new: join(folder, "new"), installed: join(folder, "installed") };
const at = (...path: string[]) => join(root, ...path);

const copy = (from: string, to: string) => cpSync(from, to, { recursive: true, verbatimSymlinks: true });
function takeCopy(which: keyof typeof copies): void {
  rmSync(root, { recursive: true, force: true });
  copy(copies[which], root);
}
/** Has the space installed, as `converge()` does, which takes longer. */
const install = () => takeCopy("installed");

afterAll(() => rmSync(folder, { recursive: true }));

function converge(change: Record<string, unknown> = {}) {
  return run(JSON.stringify({ ...LOTUS, ...change }));
}
/** As finish-spaces runs it. */
const again = (id = "lotus") => run("", "--again", id);

function run(input: string, ...words: string[]) {
  const { stdout, stderr, exitCode } = execaSync("bash", [at("converge-space"), ...words], {
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

/** What was done to the space's database and who could write to it, in order. */
const did = () => (existsSync(at("did")) ? readFileSync(at("did"), "utf8").trim().split("\n") : []);
const asked = () => (existsSync(at("asked")) ? readFileSync(at("asked"), "utf8").trim().split("\n") : []);
/** The reason why the space is unfinished. */
const unfinished = () =>
  existsSync(at("var/lib/framaspace/unfinished/lotus"))
    ? readFileSync(at("var/lib/framaspace/unfinished/lotus"), "utf8").trim().replaceAll(root, "")
    : undefined;
const found = (text: string) => writeFileSync(at("found"), text);
const UP = { release: "35.0.2" };

describe.skipIf(!tools)("converge-space (jq and flock on PATH)", () => {
  beforeAll(() => {
    makeOps(root);
    writeFileSync(at("converge-space"), startOf(root, "converge-space"));
    copy(root, copies.new);
    const { exitCode, stderr } = converge();
    if (exitCode !== 0 || stderr !== "") throw new Error(`no space to begin with: ${exitCode}, ${stderr}`);
    copy(root, copies.installed);
  });
  beforeEach(() => takeCopy("new"));

  it("installs a space, invites its administrator, and does nothing the second time", () => {
    expect(converge()).toMatchObject({
      exitCode: 0,
      stderr: "",
      changed: ["installed 34.0.4", "directory", "administrator", "invitation"],
      pending: [],
    });
    expect(readlinkSync(space("release"))).toBe(at("srv/releases/34.0.4"));
    expect(JSON.parse(readFileSync(space("config/space.json"), "utf8"))).toEqual({
      ...LOTUS,
      redis: { ...LOTUS.redis, database: 1 },
      version: "34.0.4.1",
    });
    expect(asked()).toEqual([
      "user:add --generate-password --display-name=Administration --group=admin --email=bureau@lotus.example admin",
    ]);
    expect(distributions()).toBe(1);
    expect(converge()).toMatchObject({ exitCode: 0, stderr: "", changed: [] });
    expect(distributions()).toBe(1);
  });

  it("invites later, and only once, if the relay does not answer", () => {
    writeFileSync(at("no-relay"), "");
    const { stderr, exitCode } = converge();
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: expect.stringContaining("the invitation to bureau@lotus.example could not be sent"),
    });
    expect(unfinished()).toBe("the invitation to bureau@lotus.example could not be sent (relay: relay:25)");
    rmSync(at("no-relay"));
    writeFileSync(at("more"), `${readFileSync(at("more"), "utf8")}admin 1\n`);
    expect(again().changed).toEqual(["invitation"]);
    expect(unfinished()).toBeUndefined();
    expect(asked().filter((words) => words.startsWith("user:welcome"))).toHaveLength(1);
    expect(converge().changed).toEqual([]);
  });

  const more = (line: string) => writeFileSync(at("more"), `${readFileSync(at("more"), "utf8")}${line}\n`);
  const NEW_CONTACT = { contact: "d'ici@lotus.example" };

  it("invites a changed contact, once, if the first administrator has never logged in", () => {
    install();
    more("admin 1");
    expect(converge(NEW_CONTACT)).toMatchObject({
      exitCode: 0,
      stderr: "",
      changed: ["config/space.json", "invitation"],
    });
    expect(asked().slice(-3)).toEqual([
      "group:adduser admin admin",
      "user:setting admin settings email d'ici@lotus.example",
      "user:welcome --reset-password admin",
    ]);
    expect(converge(NEW_CONTACT).changed).toEqual([]);
  });

  it("invites a changed contact later if the relay does not answer", () => {
    install();
    more("admin 1");
    writeFileSync(at("no-relay"), "");
    expect(converge(NEW_CONTACT)).toMatchObject({ exitCode: 0, invited: false });
    expect(unfinished()).toContain("the invitation to d'ici@lotus.example could not be sent");
    rmSync(at("no-relay"));
    expect(again()).toMatchObject({ invited: true, changed: ["invitation"] });
  });

  it.each([
    ["has logged in", "admin 1\nlogged-in 1"],
    ["was deleted by another", "approval 1"],
  ])("changes no account for a changed contact if the first administrator %s", (_, line) => {
    install();
    more(line);
    const before = asked();
    const { changed, stderr } = converge(NEW_CONTACT);
    expect(changed).toEqual(["config/space.json", "contact"]);
    expect(stderr).toContain(
      "space lotus: its contact is now d'ici@lotus.example. The space has an administrator who has logged in, so nobody was invited and no account was changed",
    );
    expect(asked()).toEqual(before);
    expect(unfinished()).toBeUndefined();
    expect(converge(NEW_CONTACT)).toMatchObject({ changed: [], stderr: "" });
  });

  it("makes a changed name the space's title, unless the space has set another", () => {
    install();
    expect(converge({ name: "L'Étang" }).changed).toEqual(["config/space.json", "title"]);
    expect(asked().at(-1)).toBe("theming:config -- name L'Étang");
    expect(converge({ name: "L'Étang" }).changed).toEqual([]);
    more("own-title 1");
    const before = asked();
    expect(converge({ name: "La Mare" }).changed).toEqual(["config/space.json"]);
    expect(asked()).toEqual(before);
    expect(readFileSync(at("found"), "utf8")).toMatch(/^title La Mare$/m);
  });

  it("invites later if the relay refuses the mail, which only Nextcloud's log shows", () => {
    const message = JSON.stringify({
      Exception: "UnexpectedResponseException",
      Message: 'Expected response code "250" but got code "450", with message "450 greylisted".',
      Code: 450,
      Trace: ["not for anybody"],
      CustomMessage: 'Sending mail to "Array" with subject "Willkommen" failed',
    });
    writeFileSync(at("refuses"), `[nextcloud][core][3] ${JSON.stringify({ level: 3, message })}\n`);
    const { stderr, ...rest } = converge();
    expect(rest).toMatchObject({
      exitCode: 0,
      changed: ["installed 34.0.4", "directory", "administrator"],
    });
    expect(stderr).toMatch(/\(finish-spaces\)\. Expected response code "250" .* "450 greylisted"\.$/);
    expect(unfinished()).toContain("the invitation to bureau@lotus.example could not be sent");
    writeFileSync(at("more"), `${readFileSync(at("more"), "utf8")}admin 1\n`);
    expect(again()).toMatchObject({ exitCode: 0, changed: [] });
    rmSync(at("refuses"));
    expect(again()).toMatchObject({ exitCode: 0, changed: ["invitation"] });
    expect(unfinished()).toBeUndefined();
  });

  it("keeps the wanted state before it begins, and uses it the next time", () => {
    writeFileSync(at("not-kept"), "");
    expect(converge()).toMatchObject({
      exitCode: 1,
      stderr:
        "space lotus, keeping: what is wanted of lotus cannot be kept in PostgreSQL; look at the primary (psql service=framaspace), then run up again",
    });
    expect(existsSync(at("found"))).toBe(false);
    rmSync(at("not-kept"));
    converge();
    expect(JSON.parse(readFileSync(at("var/lib/framaspace/wanted/lotus"), "utf8"))).toEqual(LOTUS);
    // Lost with its machine.
    rmSync(space(), { recursive: true });
    expect(again()).toMatchObject({ exitCode: 0, changed: ["directory"] });
    expect(again("iris")).toMatchObject({
      exitCode: 1,
      stderr: "space iris, reading: nothing is known to be wanted of it",
    });
  });

  it("says why a space is unfinished, until it is finished", () => {
    writeFileSync(at("no-database"), "");
    converge();
    expect(unfinished()).toMatch(/^database: its role cannot use its database/);
    rmSync(at("no-database"));
    expect(again().exitCode).toBe(0);
    expect(unfinished()).toBeUndefined();
    // Killed somewhere in the middle.
    fake(at("bin/redis-cli"), "kill -9 $PPID; sleep 1");
    converge();
    expect(unfinished()).toBe("begun, and cut off");
  });

  it("prints the address of the space, with the port that browsers need in a lab", () => {
    expect(converge()).toMatchObject({ url: "https://lotus.example.org/" });
    const platform = JSON.parse(readFileSync(at("etc/framaspace/platform.json"), "utf8")) as object;
    writeFileSync(at("etc/framaspace/platform.json"), JSON.stringify({ ...platform, port: 8443 }));
    expect(converge()).toMatchObject({ url: "https://lotus.example.org:8443/", changed: [] });
  });

  it("suspends and resumes", () => {
    install();
    writeFileSync(at("status"), "503");
    expect(converge({ state: "suspended" }).changed).toEqual(["config/space.json", "suspended"]);
    expect(existsSync(space("suspended"))).toBe(true);
    writeFileSync(at("status"), "200");
    expect(converge().changed).toEqual(["config/space.json", "no suspended"]);
    expect(existsSync(space("suspended"))).toBe(false);
  });

  it("upgrades a space during its maintenance", () => {
    install();
    const { changed, exitCode, stderr } = converge(UP);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(changed).toEqual([
      "maintenance",
      "config/space.json",
      "release 35.0.2",
      "upgraded 34.0.4 to 35.0.2",
      "no maintenance",
      "repaired",
    ]);
    expect(readlinkSync(space("release"))).toBe(at("srv/releases/35.0.2"));
    expect(asked()).toContain("upgrade");
    expect(readFileSync(at("found"), "utf8")).not.toMatch(/^(upgrade|repair) /m);
    expect(converge(UP).changed).toEqual([]);
  });

  it("dumps and restores a database while nobody else can write to it", () => {
    install();
    writeFileSync(at("sessions"), "2");
    writeFileSync(at("fails"), "upgrade");
    const { stderr } = converge(UP);
    expect(stderr).toContain(
      "space lotus: 2 requests still under way after 1 s are ended; they were not acknowledged",
    );
    expect(did()).toEqual(["SET", "terminate", "dump", "SET", "load", "RESET"]);
  });

  it("waits for a background job before it starts the maintenance", async () => {
    install();
    const job = execa("flock", [at("run/framaspace/cron-lotus.lock"), "sleep", "3"]);
    await sleep(300);
    const upgrade = execa("bash", [at("converge-space")], {
      input: JSON.stringify({ ...LOTUS, ...UP }),
      env: { PATH: `${at("bin")}:${process.env.PATH}` },
    });
    let closed = false;
    const over = new AbortController();
    void job.then(() => over.abort());
    for (; !over.signal.aborted; await sleep(50)) closed ||= existsSync(space("maintenance"));
    expect(closed).toBe(false);
    expect(JSON.parse((await upgrade).stdout)).toMatchObject({ release: "35.0.2" });
  });

  it("leaves its locks to the command that still runs when it is killed", async () => {
    install();
    fake(at("bin/pg_dump"), `echo $PPID >${at("program")}; sleep 2; echo dumped`);
    const upgrade = execa("bash", [at("converge-space")], {
      input: JSON.stringify({ ...LOTUS, ...UP }),
      reject: false,
      // The command that is left has them, too.
      stdout: "ignore",
      stderr: "ignore",
      env: { PATH: `${at("bin")}:${process.env.PATH}` },
    });
    // Its file is empty for a moment, and 0 would be every process of this test.
    const written = () => (existsSync(at("program")) ? Number(readFileSync(at("program"), "utf8")) : 0);
    await expect.poll(written, { timeout: 10_000 }).toBeGreaterThan(1);
    process.kill(written(), "SIGKILL");
    await upgrade;
    const isFree = (name: string) =>
      execaSync("flock", ["-n", at("run/framaspace", name), "true"], { reject: false }).exitCode === 0;
    const names = ["space-lotus.lock", "cron-lotus.lock", "proof-35.0.2.lock"];
    expect(names.map(isFree)).toEqual([false, false, false]);
    await expect.poll(() => names.map(isFree), { timeout: 10_000 }).toEqual([true, true, true]);
  });

  it("undoes an upgrade if a command of the machine fails", () => {
    install();
    fake(at("bin/chown"), `[[ $* != *.new.config.space.json ]] || ! grep -q '"35.0.2"' "$2"`);
    const { exitCode, stderr } = converge(UP);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: expect.stringContaining("Why: chown ended with status 1. All it said:"),
    });
    expect(existsSync(space("maintenance"))).toBe(false);
    expect(did()).toEqual(["SET", "dump", "SET", "load", "RESET"]);
  });

  it("opens a database that a killed run left closed to writes", () => {
    install();
    found("version 34.0.4.1\nquota 40 GB\ntitle Lotus\nadministrator x\nshut 1\n");
    writeFileSync(space("maintenance"), "");
    expect(converge().changed).toEqual(["no maintenance"]);
    expect(did()).toEqual(["RESET"]);
  });

  it("keeps the fingerprint of a restored space", () => {
    install();
    found("version 34.0.4.1\nquota 40 GB\ntitle Lotus\nadministrator x\nfingerprint 0123456789abcdef\n");
    const fingerprint = () =>
      (JSON.parse(readFileSync(space("config/space.json"), "utf8")) as Record<string, unknown>)[
        "dataFingerprint"
      ];
    expect(converge().changed).toEqual(["config/space.json"]);
    expect(fingerprint()).toBe("0123456789abcdef");
    expect(converge().changed).toEqual([]);
    expect(converge(UP).exitCode).toBe(0);
    expect(fingerprint()).toBe("0123456789abcdef");
  });

  it.each([
    ["occ fails", () => writeFileSync(at("fails"), "upgrade"), "occ upgrade ended with status 5: no luck"],
    [
      "occ says nothing",
      () => {
        writeFileSync(at("fails"), "upgrade");
        writeFileSync(at("silent"), "");
      },
      "occ upgrade ended with status 5, and said nothing.",
    ],
    [
      "a web server answers with a page",
      () => writeFileSync(at("served"), "<html>\n<p>no</p>\n</html>\n"),
      "<html> <p>no</p> </html>",
    ],
    ["a web server serves another release", () => writeFileSync(at("served"), "34.0.4"), "web-1 says"],
    [
      "it takes no chunks of old clients",
      () => writeFileSync(at("refuses-dav"), "PUT uploads/framaspace-try/old/*"),
      "answers chunk 1 of old clients with 413: Request entity too large",
    ],
    [
      "it loses what it acknowledged",
      () => writeFileSync(at("loses"), ""),
      "and gives back 0 of 100000 bytes",
    ],
  ])("undoes an upgrade if %s, and says so", (_, spoil, why) => {
    install();
    spoil();
    const { exitCode, stderr } = converge(UP);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      "space lotus, upgrade: from 34.0.4 to 35.0.2 failed, and was undone: it serves 34.0.4 again, nothing is lost.",
    );
    expect(stderr).toContain(why);
    expect(existsSync(at("var/lib/framaspace/waves/main/35.0.2/lotus"))).toBe(true);
    expect(readlinkSync(space("release"))).toBe(at("srv/releases/34.0.4"));
    expect(existsSync(space("maintenance"))).toBe(false);
    rmSync(at("fails"), { force: true });
    for (const name of ["served", "refuses-dav", "loses", "silent"]) rmSync(at(name), { force: true });
    expect(converge(UP).exitCode).toBe(0);
    expect(existsSync(at("var/lib/framaspace/waves/main/35.0.2/lotus"))).toBe(false);
  });

  it("undoes an upgrade whose worker is lost, and lets it and others try again", () => {
    install();
    writeFileSync(at("lost"), "upgrade");
    const { exitCode, stderr } = converge(UP);
    expect(exitCode).toBe(1);
    const said =
      "space lotus, upgrade: from 34.0.4 to 35.0.2 failed, and was undone: it serves 34.0.4 again, nothing is lost. Why: its worker was lost meanwhile, or none takes a connection: occ upgrade ended with status 255, and said nothing. All it said: /var/log/framaspace/upgrade-lotus.log. It is tried again (finish-spaces)";
    expect(stderr).toBe(said);
    expect(unfinished()).toBe(said.replace("space lotus, ", ""));
    expect(existsSync(at("var/lib/framaspace/waves"))).toBe(false);
    expect(readlinkSync(space("release"))).toBe(at("srv/releases/34.0.4"));
    expect(existsSync(space("maintenance"))).toBe(false);
    rmSync(at("lost"));
    expect(again()).toMatchObject({ exitCode: 0 });
    expect(readlinkSync(space("release"))).toBe(at("srv/releases/35.0.2"));
  });

  // core/Command/Upgrade.php: 0 done, 1 in maintenance, 3 nothing to do in older releases, 5 failed. PHP itself ends with 255.
  it.each([
    ["0", 0, ""],
    ["3", 0, ""],
    ["1", 1, "occ upgrade ended with status 1: no luck"],
    ["2", 1, "occ upgrade ended with status 2: no luck"],
    // 255 is that of a lost worker.
    ["255", 1, "occ upgrade ended with status 254: no luck"],
  ])("takes status %s of occ upgrade as it is meant, whatever it warns of", (status, expected, why) => {
    install();
    writeFileSync(at("fails"), "upgrade");
    writeFileSync(at("ends"), status);
    const { exitCode, stderr } = converge(UP);
    expect(exitCode).toBe(expected);
    expect(stderr).toContain(why);
  });

  it("tries a release as a member, through one web server, by an account that goes again", () => {
    install();
    expect(converge(UP).exitCode).toBe(0);
    const tried = readFileSync(at("asked-dav"), "utf8");
    for (const request of [
      "PUT files/framaspace-try/whole",
      "GET files/framaspace-try/whole",
      "DELETE files/framaspace-try/whole",
      ...["old", "new"].flatMap((client) => [
        `MOVE uploads/framaspace-try/${client}/.file`,
        `GET files/framaspace-try/${client}`,
      ]),
    ])
      // Once before the maintenance, because an account's first requests take longer.
      expect(tried.split("\n").filter((line) => line === request)).toHaveLength(2);
    expect(asked().filter((words) => words.includes("framaspace-try"))).toEqual([
      "user:delete framaspace-try",
      "user:add --password-from-env framaspace-try",
      "user:auth-tokens:add framaspace-try",
      "user:delete framaspace-try",
    ]);
    expect(existsSync(at("run/framaspace/members/lotus"))).toBe(false);
  });

  it("deletes the account of a trial that was killed, and does not upgrade where none can be made", () => {
    install();
    writeFileSync(at("found"), `${readFileSync(at("found"), "utf8")}member 1\n`);
    expect(converge().exitCode).toBe(0);
    expect(readFileSync(at("found"), "utf8")).not.toContain("member");
    writeFileSync(at("fails"), "user:add");
    const { exitCode, stderr } = converge(UP);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      "an upgrade is tried by a member's account, and an account cannot be made: no luck. Nothing was changed, it serves 34.0.4 as before. Run up again",
    );
    expect(did()).toEqual([]);
  });

  it("tries a full space without an upload", () => {
    install();
    writeFileSync(at("more"), readFileSync(at("more"), "utf8").replace(/^used .*$/m, `used ${40 * 2 ** 30}`));
    expect(converge().exitCode).toBe(0);
    expect(converge(UP).exitCode).toBe(0);
    expect(existsSync(at("asked-dav"))).toBe(false);
  });

  it("upgrades one space at a time until a release is seen to serve, and no other where it failed", async () => {
    install();
    // iris failed, and is still to have this release.
    const mark = at("var/lib/framaspace/waves/first/35.0.2/iris");
    mkdirSync(dirname(mark), { recursive: true });
    writeFileSync(mark, "no chunks\n");
    const wanted = at("var/lib/framaspace/wanted/iris");
    writeFileSync(wanted, '{"id":"iris","release":"35.0.2"}');
    const { exitCode, stderr } = converge(UP);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      "space lotus, upgrade: 35.0.2 failed in iris, the first space that it was tried on: no chunks. It stays on 34.0.4, and no space is upgraded before iris is.",
    );
    expect(stderr).toContain("If only iris is at fault, rm /var/lib/framaspace/waves/first/35.0.2/iris");
    expect(did()).toEqual([]);
    // It is wanted on another release now.
    writeFileSync(wanted, '{"id":"iris","release":"34.0.4"}');
    const first = execa("flock", [at("run/framaspace/proof-35.0.2.lock"), "sleep", "2"]);
    await sleep(200);
    const begun = Date.now();
    expect(converge(UP).exitCode).toBe(0);
    expect(Date.now() - begun).toBeGreaterThan(1000);
    await first;
    expect(readFileSync(at("var/lib/framaspace/proven/35.0.2"), "utf8")).toBe("lotus\n");
    // From now on, only the wave's own limit counts.
    writeFileSync(wanted, '{"id":"iris","release":"35.0.2"}');
    install();
    prove();
    mkdirSync(dirname(mark), { recursive: true });
    writeFileSync(mark, "no chunks\n");
    expect(converge(UP).exitCode).toBe(0);
  });

  it("goes beside others as soon as the space that it waited for is seen to serve", () => {
    install();
    mkdirSync(at("var/lib/framaspace/proven"), { recursive: true });
    const lock = at("run/framaspace/proof-35.0.2.lock");
    const proof = at("var/lib/framaspace/proven/35.0.2");
    const first = execa("flock", [lock, "sh", "-c", 'sleep 1; echo rose >"$0"', proof]);
    // Asked while the space is upgraded.
    fake(at("bin/pg_dump"), `flock -n "${lock}" echo free >"${at("asked-lock")}" || true; echo dumped`);
    while (!existsSync(lock)) execaSync("sleep", ["0.05"]);
    expect(converge(UP).exitCode).toBe(0);
    expect(readFileSync(at("asked-lock"), "utf8")).toBe("free\n");
    return first;
  });

  it("starts an upgrade again that was cut off", () => {
    install();
    const kept = at("var/lib/framaspace/kept/lotus");
    mkdirSync(kept, { recursive: true });
    writeFileSync(join(kept, "upgrade.sql.zst"), "dumped\n");
    found("version 34.0.4.1\nquota 40 GB\nadministrator x\nupgrade 34.0.4.1\n");
    writeFileSync(space("maintenance"), "");
    expect(converge(UP).changed).toContain("upgraded 34.0.4 to 35.0.2");
    expect(readFileSync(at("calls"), "utf8")).toContain("loaded");
    expect(existsSync(space("maintenance"))).toBe(false);
  });

  /** Another space serves by the new release. */
  function prove(): void {
    mkdirSync(at("var/lib/framaspace/proven"), { recursive: true });
    writeFileSync(at("var/lib/framaspace/proven/35.0.2"), "rose\n");
  }

  it.each([
    ["was removed", undefined],
    ["left the wave", '{"id":"iris","release":"35.0.2","wave":"early"}'],
    ["is to have another release by now", '{"id":"iris","release":"36.0.0","wave":"main"}'],
  ])("goes on with a wave if the space that failed %s", (_, record) => {
    install();
    prove();
    mkdirSync(at("var/lib/framaspace/waves/main/35.0.2"), { recursive: true });
    writeFileSync(at("var/lib/framaspace/waves/main/35.0.2/iris"), "why\n");
    if (record !== undefined) writeFileSync(at("var/lib/framaspace/wanted/iris"), record);
    expect(converge(UP).exitCode).toBe(0);
  });

  it("stops a wave in which too many spaces failed, but lets the failed ones try again", () => {
    install();
    prove();
    const marks = at("var/lib/framaspace/waves/main/35.0.2");
    mkdirSync(marks, { recursive: true });
    writeFileSync(join(marks, "iris"), "why\n");
    writeFileSync(at("var/lib/framaspace/wanted/iris"), '{"id":"iris","release":"35.0.2","wave":"main"}');
    const { exitCode, stderr } = converge(UP);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      'space lotus, upgrade: wave "main" has stopped on its way to 35.0.2: 1 of 1 spaces failed (iris), more than 10 %. It stays on 34.0.4.',
    );
    writeFileSync(join(marks, "lotus"), "why\n");
    expect(converge(UP).exitCode).toBe(0);
  });

  it.each([
    ["35.0.2.1", "34.0.4", "it is on 35.0.2, and 34.0.4 is older: Nextcloud cannot go back."],
    [
      "33.0.9.1",
      "35.0.2",
      'it is on 33.0.9, and 35.0.2 is 2 majors ahead: one at a time. Nothing was changed; move wave "main" to a 34 release first',
    ],
  ])("refuses to move a space from %s to %s", (version, release, message) => {
    found(`version ${version}\n`);
    const { exitCode, stderr } = converge({ release });
    expect(exitCode).toBe(1);
    expect(stderr).toContain(message);
    expect(existsSync(space())).toBe(false);
  });

  it("refuses another list of apps than the machine has, and a release that lacks an app", () => {
    expect(converge({ apps: ["deck", "forms"] }).stderr).toContain("the catalog lists other apps");
    expect(converge({ appsOptional: ["forms"] }).stderr).toContain("the catalog lists other apps");
    rmSync(at("var/lib/framaspace/releases/34.0.4/key"));
    expect(converge().stderr).toContain("release 34.0.4: it lacks forms");
    expect(existsSync(space())).toBe(false);
  });

  it("does not change the office suite, nor whether strangers may register", () => {
    install();
    writeFileSync(
      at("more"),
      "apps deck files registration\napproval 1\naccounts 1\nused 0\ndefault-quota 40 GB\n",
    );
    expect(converge()).toMatchObject({ exitCode: 0, changed: [] });
  });

  const said = (text: string) => asked().filter((words) => words.includes(text));

  it("disables registration that nobody chose to enable, and requires approval of accounts", () => {
    install();
    const rest = "accounts 1\nused 0\ndefault-quota 40 GB\n";
    writeFileSync(at("more"), `apps deck files office registration\n${rest}`);
    expect(converge().changed).toEqual(["disable registration", "registration by approval"]);
    expect(said("registration")).toEqual([
      "app:disable registration",
      "config:app:set registration admin_approval_required --value=yes --type=boolean",
    ]);
    // The administrator of the space has enabled it and disabled approval.
    writeFileSync(at("more"), `apps deck files office registration\napproval 0\n${rest}`);
    expect(converge().changed).toEqual(["registration by approval"]);
    expect(said("app:disable")).toHaveLength(1);
  });

  it("removes an app that no space may have, and enables the office suite of the entry", () => {
    install();
    const rest = "approval 1\naccounts 1\nused 0\ndefault-quota 40 GB\n";
    writeFileSync(at("more"), `apps deck files onlyoffice\nrefused onlyoffice\n${rest}`);
    expect(converge().changed).toEqual(["enable office", "no onlyoffice"]);
    expect(readFileSync(at("statements"), "utf8")).toBe(
      "DELETE FROM oc_appconfig WHERE appid = 'onlyoffice'\nDELETE FROM oc_jobs WHERE starts_with(lower(class), 'oca\\onlyoffice\\')\n",
    );
    // The app is disabled, but the secret of its settings page is still there. The space has the other suite.
    writeFileSync(at("more"), `apps deck files office\nrefused onlyoffice\n${rest}`);
    expect(converge().changed).toEqual(["no onlyoffice"]);
  });

  it("turns off apps whose code is gone, before an upgrade, which Nextcloud would refuse", () => {
    install();
    const rest = readFileSync(at("more"), "utf8").replace(/^apps .*\n/, "");
    writeFileSync(at("more"), `apps deck files files_external office\n${rest}`);
    const { changed } = converge(UP);
    expect(changed?.[0]).toBe("disable files_external");
    expect(changed).toContain("upgraded 34.0.4 to 35.0.2");
    expect(readFileSync(at("statements"), "utf8")).toBe(
      "UPDATE oc_appconfig SET configvalue = 'no' WHERE appid = 'files_external' AND configkey = 'enabled'\n",
    );
  });

  describe("Collabora's connector", () => {
    const rest = "approval 1\naccounts 1\nused 0\ndefault-quota 40 GB\n";
    const apps = "deck files office richdocuments";
    const settings = [
      "preview_generation=no",
      "public_wopi_url=https://collabora.example.org:8443",
      "wopi_allowlist=10.0.41.0/24",
      "wopi_url=http://office-1:9980",
    ];
    const withConnector = (platform: string) => {
      install();
      const prepared = at("var/lib/framaspace/releases/34.0.4");
      writeFileSync(join(prepared, "apps"), `${apps}\n`);
      writeFileSync(
        at("etc/framaspace/platform.json"),
        `{"domain":"example.org","port":8443,"database":{"hosts":"postgres-1"},"redis":{"host":"redis-1","port":6379},"mail":{"host":"relay","port":25}${platform}}`,
      );
    };
    const OFFICE = ',"office":{"suites":["collabora"],"url":"http://office-1:9980","clients":"10.0.41.0/24"}';

    it("learns where the suite is, and that documents are for the suite alone", () => {
      withConnector(OFFICE);
      writeFileSync(at("more"), `apps ${apps}\n${rest}`);
      expect(converge().changed).toEqual(["office settings"]);
      expect(said("richdocuments")).toEqual(
        settings.map((setting) => {
          const [key, value] = setting.split("=");
          return `config:app:set richdocuments ${key} --value=${value}`;
        }),
      );
    });

    it("gets only the settings that differ, also those that somebody of the space has changed", () => {
      withConnector(OFFICE);
      writeFileSync(at("more"), `apps ${apps}\noffice ${settings.join(" ")}\n${rest}`);
      expect(converge().changed).toEqual([]);
      const changed = settings.with(2, "wopi_allowlist=0.0.0.0/0");
      writeFileSync(at("more"), `apps ${apps}\noffice ${changed.join(" ")}\n${rest}`);
      expect(converge().changed).toEqual(["office settings"]);
      expect(said("richdocuments")).toEqual([
        "config:app:set richdocuments wopi_allowlist --value=10.0.41.0/24",
      ]);
    });

    it("is left as it is where there is no suite, or the release has no connector", () => {
      withConnector("");
      writeFileSync(at("more"), `apps ${apps}\n${rest}`);
      expect(converge().changed).toEqual([]);
      withConnector(OFFICE);
      writeFileSync(at("var/lib/framaspace/releases/34.0.4/apps"), "deck files office\n");
      writeFileSync(at("more"), `apps deck files office\n${rest}`);
      expect(converge().changed).toEqual([]);
    });
  });

  it("refuses more files when the storage of the plan is used up", () => {
    install();
    writeFileSync(
      at("more"),
      `apps deck files office\napproval 1\naccounts 1\nused ${50 * 2 ** 30}\ndefault-quota 40 GB\n`,
    );
    expect(converge().changed).toEqual(["full"]);
    const larger = { limits: { accounts: 50, storageBytes: 60 * 2 ** 30 } };
    expect(converge(larger).changed).toEqual(["config/space.json", "no full", "quota 60 GB"]);
    expect(asked().at(-1)).toBe("config:app:set files default_quota --value=60 GB");
  });

  it("takes no new line in a value that the space's administrator chose for a fact of its own", () => {
    install();
    writeFileSync(at("more"), readFileSync(at("more"), "utf8").replace("40 GB", "40 GB\\nversion 34.0.3.1"));
    expect(converge()).toMatchObject({ exitCode: 0, changed: [], release: "34.0.4" });
  });

  it("reports more enabled accounts than the plan allows", () => {
    install();
    writeFileSync(at("more"), "apps deck files office\napproval 1\naccounts 53\nused 0\n");
    expect(converge().stderr).toContain("space lotus: 53 accounts are enabled, 50 are in its plan");
  });

  it("distributes again what a killed run changed here, and perhaps not on the web servers", () => {
    install();
    mkdirSync(at("var/lib/framaspace/undistributed"), { recursive: true });
    writeFileSync(at("var/lib/framaspace/undistributed/lotus"), "");
    mkdirSync(at("srv/spaces/.new.lotus"));
    expect(converge()).toMatchObject({ exitCode: 0, changed: [] });
    expect(distributions()).toBe(2);
    expect(existsSync(at("var/lib/framaspace/undistributed/lotus"))).toBe(false);
  });

  it("continues without an unreachable web server, says so, and leaves it to the timer", () => {
    install();
    mkdirSync(at("run/framaspace/unreachable"), { recursive: true });
    writeFileSync(at("run/framaspace/unreachable/web-2"), "");
    const { exitCode, pending, stderr } = converge({ state: "active", name: "Other" });
    expect({ exitCode, pending }).toEqual({ exitCode: 0, pending: ["web-2"] });
    expect(stderr).toContain("space lotus: not served by web-2 unreachable; tried again twice a minute");
    expect(unfinished()).toBe("not served by web-2 unreachable");
    expect(existsSync(at("var/lib/framaspace/undistributed/lotus"))).toBe(true);
  });

  it("copies once more and then fails if no web server answers as it should", () => {
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
