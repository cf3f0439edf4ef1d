// Spaces of an earlier version of the platform, whose files all belong to one user.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { finishSpaces } from "../../../spaces/agent/programs/finish-spaces.ts";
import { placesIn } from "../../../spaces/agent/programs/places.ts";
import { fakeCommands, onPath } from "../../support/fakes.ts";
import { makeOps } from "../../support/fake-ops.ts";
import { runHere } from "../../support/run-here.ts";

let root: string;
const at = (...path: string[]) => join(root, ...path);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "give-users-"));
  makeOps(root);
  fakeCommands(root, {
    chown: '[ ! -e "$ROOT/ends" ] || exit 1; echo "chown $*" >>"$ROOT/calls"',
    rsync: 'echo "rsync $*" >>"$ROOT/calls"',
  });
  makeSpace("lotus", { database: 7 });
});
afterEach(() => rmSync(root, { recursive: true }));

function makeSpace(id: string, redis: object): void {
  for (const folder of ["config", "data", "tmp"])
    mkdirSync(at("srv/spaces", id, folder), { recursive: true });
  const document = { id, release: "34.0.4", state: "active", redis };
  writeFileSync(at("srv/spaces", id, "config/space.json"), JSON.stringify(document));
  writeFileSync(at("srv/spaces", id, "tmp/of-the-former-user"), "");
}
const give = () => runHere(root, () => finishSpaces(placesIn(root, "", at("bin")), ["--users"]));
function calls(): string[] {
  const text = existsSync(at("calls")) ? readFileSync(at("calls"), "utf8").replaceAll(root, "") : "";
  rmSync(at("calls"), { force: true });
  return text.split("\n").filter(Boolean);
}
const modeOf = (path: string) => (statSync(at("srv/spaces", path)).mode & 0o777).toString(8);

describe.skipIf(!onPath("flock"))("finish-spaces --users (flock on PATH)", () => {
  it("gives a space its user and its pool, and copies that with an empty tmp", async () => {
    expect(await give()).toMatchObject({ stderr: "", exitCode: 0 });
    const done = calls();
    expect(done.filter((call) => call.startsWith("chown"))).toEqual([
      "chown --no-dereference root:300007 /srv/spaces/lotus/config /srv/spaces/lotus/config/space.json",
      "chown --no-dereference 300007:300007 /srv/spaces/lotus/data /srv/spaces/lotus/data/.ncdata /srv/spaces/lotus/tmp /srv/spaces/lotus/config/config.php",
      "chown --no-dereference root:root /srv/spaces/lotus",
      "chown root:root /srv/spaces/lotus/.new.own-user",
    ]);
    expect(readlinkSync(at("srv/spaces/lotus/php.sock"))).toBe("/run/php-spaces/space-7.sock");
    expect([modeOf("lotus"), modeOf("lotus/config")]).toEqual(["711", "750"]);
    expect(existsSync(at("srv/spaces/lotus/tmp/of-the-former-user"))).toBe(false);
    const copies = done.filter((call) => call.startsWith("rsync"));
    expect(copies).toHaveLength(2);
    for (const copy of copies) expect(copy).not.toContain("/tmp/**");
  });

  it("does nothing the second time", async () => {
    await give();
    calls();
    expect(await give()).toMatchObject({ stderr: "", exitCode: 0 });
    expect(calls()).toEqual([]);
  });

  it("leaves a space in the pool of before if it is cut off, and finishes it the next time", async () => {
    writeFileSync(at("ends"), "");
    expect((await give()).stderr).toContain("space lotus, user");
    expect(existsSync(at("srv/spaces/lotus/own-user"))).toBe(false);
    rmSync(at("ends"));
    expect(await give()).toMatchObject({ stderr: "", exitCode: 0 });
    expect(existsSync(at("srv/spaces/lotus/own-user"))).toBe(true);
  });

  it("goes on with the others after a space that it cannot read, or that has no number", async () => {
    writeFileSync(at("srv/spaces/lotus/config/space.json"), "{}");
    makeSpace("iris", {});
    makeSpace("rose", { database: 2 });
    expect((await give()).stderr).toContain("this is no id");
    expect(existsSync(at("srv/spaces/rose/own-user"))).toBe(true);
    expect(readFileSync(at("var/lib/framaspace/unfinished/iris"), "utf8")).toContain("no number");
  });
});
