// occ-space, with Nextcloud faked.
import { execaSync } from "execa";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LOTUS, makeOps } from "../../support/fake-ops.ts";
import { fakeCommands, onPath, startOf } from "../../support/fakes.ts";

/** As redis-users writes it: with its number. */
const SPACE = { ...LOTUS, redis: { ...LOTUS.redis, database: 1 } };

let root: string;
const at = (...path: string[]) => join(root, ...path);
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "occ-space-"));
  makeOps(root);
  // Says whether somebody else could have the space meanwhile, and what it was asked.
  const free = 'flock --nonblock "$ROOT/run/framaspace/space-lotus.lock" true && echo "the space is free"';
  fakeCommands(root, {
    php: `${free}; while [[ $1 != */occ ]]; do shift; done; echo "\${1#$ROOT} $* in \${NEXTCLOUD_CONFIG_DIR#$ROOT}" | sed "s,$ROOT,,"; [[ $* != *nobody* ]] || exit 4`,
  });
  mkdirSync(at("srv/spaces/lotus/config"), { recursive: true });
  writeFileSync(
    at("srv/spaces/lotus/config/space.json"),
    JSON.stringify({ ...LOTUS, redis: { ...LOTUS.redis, database: 1 } }),
  );
});
afterEach(() => rmSync(root, { recursive: true }));

function occSpace(words: string[], environment: Record<string, string> = {}) {
  const start = startOf(root, "occ-space").split("\n")[1] ?? "";
  const env = { ...environment, PATH: `${at("bin")}:${process.env.PATH}` };
  const { stdout, stderr, exitCode } = execaSync("bash", ["-c", start, "occ-space", ...words], {
    reject: false,
    env,
  });
  return { stdout, stderr, exitCode };
}

describe.skipIf(!onPath("flock"))("occ-space (flock on PATH)", () => {
  it("runs Nextcloud's command line of the space's release, with its configuration, and nobody else has the space", () => {
    expect(occSpace(["lotus", "user:disable", "some body"])).toEqual({
      stdout:
        "/srv/releases/34.0.4/occ /srv/releases/34.0.4/occ --no-interaction --no-ansi user:disable some body in /srv/spaces/lotus/config",
      stderr: "",
      exitCode: 0,
    });
  });

  it("takes passwords from its environment, and nothing else", () => {
    fakeCommands(root, { php: 'echo "$OC_PASS, $NC_PASS, $ELSE"' });
    const env = { OC_PASS: "new one", NC_PASS: "old", ELSE: "no" };
    expect(occSpace(["lotus", "user:resetpassword", "--password-from-env", "admin"], env).stdout).toBe(
      "new one, old, no",
    );
  });

  it("ends as Nextcloud's does", () => {
    expect(occSpace(["lotus", "user:disable", "nobody"]).exitCode).toBe(4);
  });

  it("says what to write", () => {
    const said = (...words: string[]) => {
      const { stderr, exitCode } = occSpace(words);
      return [exitCode, stderr];
    };
    expect(said("lotus")).toEqual([1, "occ-space ID WORDS…, such as occ-space lotus user:list"]);
    expect(said("../etc", "status")).toEqual([1, "occ-space ID WORDS…, such as occ-space lotus user:list"]);
    expect(said("rose", "status")).toEqual([1, 'there is no space "rose" on this machine']);
    expect(readFileSync(at("srv/spaces/lotus/config/space.json"), "utf8")).toBe(JSON.stringify(SPACE));
  });
});
