// distribute-spaces, with fakes of rsync and of the connection that says whether a web server is there.
import { closeSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { distributeSpaces } from "../../../spaces/agent/programs/distribute-spaces.ts";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import { placesIn } from "../../../spaces/agent/programs/places.ts";
import { fakeCommands, onPath } from "../../support/fakes.ts";
import { runHere } from "../../support/run-here.ts";

let root: string;
const at = (...path: string[]) => join(root, ...path);
const mark = (web: string) => at("run/framaspace/unreachable", web);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "distribute-"));
  for (const folder of ["bin", "etc/framaspace", "srv/spaces/lotus"])
    mkdirSync(at(folder), { recursive: true });
  writeFileSync(at("etc/framaspace/web-servers"), "web-1\nweb-2\n");
  fakeCommands(root, {
    // The folder `fails` has the web servers to which rsync cannot copy, `gone` those that take no connection.
    rsync: String.raw`web=${"${@: -1}"}; web=${"${web#root@}"}; web=${"${web%:}"}
      [ ! -e "$ROOT/fails/$web" ] || { echo "ssh: no route" >&2; echo "rsync: broken pipe" >&2; exit 12; }
      printf '%s\n' "$@" >"$ROOT/copied-$web"; flock --nonblock --shared "$ROOT/run/framaspace/distribute-$web.lock" echo shared >"$ROOT/lock-$web" || true`,
    timeout: '[ ! -e "$ROOT/gone/${@: -1}" ]',
  });
});
afterEach(() => rmSync(root, { recursive: true }));

const distribute = (...words: string[]) => runHere(root, () => distributeSpaces(placesIn(root), words));
const copied = (web: string) =>
  existsSync(at(`copied-${web}`))
    ? readFileSync(at(`copied-${web}`), "utf8")
        .trim()
        .split("\n")
    : undefined;
function put(folder: "fails" | "gone", web: string): void {
  mkdirSync(at(folder), { recursive: true });
  writeFileSync(at(folder, web), "");
}

describe.skipIf(!onPath("flock"))("distribute-spaces (flock on PATH)", () => {
  it("copies one space to every web server, beside other spaces", async () => {
    expect(await distribute("lotus")).toEqual({ exitCode: 0, output: "", stderr: "" });
    for (const web of ["web-1", "web-2"]) {
      expect(copied(web)?.slice(-3)).toEqual(["--relative", `${root}/srv/spaces/./lotus`, `root@${web}:`]);
      expect(readFileSync(at(`lock-${web}`), "utf8")).toBe("shared\n");
    }
    // What PHP writes on web servers stays there, and no whole space is deleted.
    expect(copied("web-1")).toEqual(
      expect.arrayContaining(["--delete", "--filter=-p /*/data/**", "--filter=P /*"]),
    );
    expect(copied("web-1")).toContain(`--rsh=ssh -F ${at("etc/framaspace/distribute/ssh_config")}`);
  });

  it("copies all spaces while nobody copies one", async () => {
    expect((await distribute()).exitCode).toBe(0);
    expect(copied("web-2")?.slice(-2)).toEqual([`${root}/srv/spaces/`, "root@web-2:"]);
    expect(readFileSync(at("lock-web-2"), "utf8")).toBe("");
    const held = await lock(at("run/framaspace/distribute-web-2.lock"), 0);
    rmSync(at("copied-web-2"));
    const waiting = distribute();
    await expect.poll(() => existsSync(at("copied-web-1"))).toBe(true);
    expect(copied("web-2")).toBeUndefined();
    if (held !== undefined) closeSync(held);
    expect((await waiting).exitCode).toBe(0);
    expect(copied("web-2")).toBeDefined();
  });

  it("names web servers that it did not reach, and says why", async () => {
    put("fails", "web-2");
    expect(await distribute("lotus")).toEqual({
      exitCode: 1,
      output: "web-2\n",
      stderr: "web-2: ssh: no route\nweb-2: rsync: broken pipe",
    });
    expect(copied("web-1")).toBeDefined();
    // It takes connections, so nobody leaves it to the timer.
    expect(existsSync(mark("web-2"))).toBe(false);
  });

  it("leaves a web server that takes no connection to the timer, until it does", async () => {
    put("fails", "web-2");
    put("gone", "web-2");
    expect((await distribute("lotus")).output).toBe("web-2\n");
    expect(existsSync(mark("web-2"))).toBe(true);
    rmSync(at("fails"), { recursive: true });
    // Nobody waits for it.
    expect(await distribute("lotus")).toEqual({ exitCode: 1, output: "web-2\n", stderr: "" });
    expect(copied("web-2")).toBeUndefined();
    expect(await distribute()).toEqual({ exitCode: 0, output: "", stderr: "" });
    expect(existsSync(mark("web-2"))).toBe(false);
    expect((await distribute("lotus")).exitCode).toBe(0);
  });

  it("refuses what is no id", async () => {
    expect((await distribute("../../etc")).exitCode).toBe(1);
    expect(copied("web-1")).toBeUndefined();
  });
});
