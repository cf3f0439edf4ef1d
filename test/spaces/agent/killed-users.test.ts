// finish-spaces --users killed at each of its steps, which it lists itself, while a space gets its own user. On each web
// server the space runs as one user, which owns its files; the next run finishes, and leaves what a run leaves that nobody
// killed.
import { execa } from "execa";
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
import { isDeepStrictEqual } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { renderProgram } from "../../../infra/machine/program-file.ts";
import { FakeMachine } from "../../support/fake-machine.ts";
import { makeOps } from "../../support/fake-ops.ts";
import { fakeCommands, onPath } from "../../support/fakes.ts";
import { stepsToKill } from "../../support/steps-to-kill.ts";

const PROGRAMS = ["finish-spaces", "distribute-spaces"] as const;
const WEB_SERVERS = ["web-1", "web-2"] as const;
/** What belongs to the space's user, or is for it to read. */
const FILES = ["config", "config/space.json", "config/config.php", "data", "data/.ncdata", "tmp"] as const;

const folder = mkdtempSync(join(tmpdir(), "killed-users-"));
const KILL_AT = join(folder, "kill-at.cjs");
writeFileSync(KILL_AT, renderProgram("test/support/kill-at.ts"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Owners are noted by inode in `owners`: only root may give files away. A file without a note belongs to the user of before. */
const COMMANDS = {
  chown: `[ "$1" != --no-dereference ] || shift
owner=$1; shift
for path; do echo "$owner" >"$ROOT/owners/$(stat -c %i "$path")"; done`,
  // Copies as distribute-spaces asks for it. A web server with a file in \`away\` takes nothing.
  rsync: `web=\${@: -1} web=\${web#root@} web=\${web%:} from=\${@: -2:1} keeps_tmp= left_out=
[ ! -e "$ROOT/away/$web" ] || exit 1
for word; do
  case $word in "--filter=-p /*/tmp/**") keeps_tmp=1 ;; "--filter=- /"*) left_out+=" \${word#--filter=- /} " ;; esac
done
case $from in */./*) ids=\${from##*/} ;; *) ids=$(ls "$from") ;; esac
for id in $ids; do
  [[ $left_out != *" $id "* ]] || continue
  to=$ROOT/$web/$id
  [ -n "$keeps_tmp" ] || rm -rf "$to/tmp"
  cd "$ROOT/srv/spaces/$id"
  find . -path './tmp/*' -prune -o -name '.new.*' -prune -o -print | while read -r path; do
    if [ -L "$path" ]; then ln -sfn "$(readlink "$path")" "$to/$path"
    elif [ -d "$path" ]; then mkdir -p "$to/$path"
    else cp "$path" "$to/$path"; fi
    owner=$ROOT/owners/$(stat -c %i "$path")
    if [ -e "$owner" ]; then cp "$owner" "$ROOT/owners/$(stat -c %i "$to/$path")"; fi
  done
done`,
};

class FakeOps extends FakeMachine {
  constructor(root: string) {
    super(root);
    makeOps(root);
    fakeCommands(root, COMMANDS);
    for (const directory of ["owners", "away"]) mkdirSync(this.at(directory));
    const document = { id: "lotus", release: "34.0.4", state: "active", redis: { database: 7 } };
    for (const space of ["srv/spaces/lotus", ...WEB_SERVERS.map((web) => `${web}/lotus`)]) {
      for (const directory of ["config", "data", "tmp"])
        mkdirSync(this.at(`${space}/${directory}`), { recursive: true });
      writeFileSync(this.at(`${space}/config/space.json`), JSON.stringify(document));
      for (const file of ["config/config.php", "data/.ncdata", "tmp/of-the-user-of-before"])
        writeFileSync(this.at(`${space}/${file}`), file);
    }
    const places = `placesIn("${root}", "", "${root}/bin")`;
    for (const name of PROGRAMS) {
      const text = renderProgram(`spaces/agent/rootfs-ops/usr/local/sbin/${name}.ts`);
      writeFileSync(this.at(name), text.replace('placesIn("")', places));
    }
    this.keepAs("before");
  }

  /** Gives spaces their users, killed before a step if that is given. Resolves to the steps until then. */
  async give(killAt = 0) {
    const words = ["--require", KILL_AT, this.at("finish-spaces"), "--users"];
    const ended = await this.runTo(process.execPath, words, { killAt });
    // Copies that it began go on without it.
    for (const web of WEB_SERVERS)
      await execa("flock", [this.at(`run/framaspace/distribute-${web}.lock`), "true"], { reject: false });
    return ended;
  }

  /** What a timer does. */
  async copyAll() {
    return this.runTo(process.execPath, [this.at("distribute-spaces")], { killAt: 0 });
  }

  /** A directory of the space: whose pool serves it, and who owns what. */
  look(path: string) {
    const space = this.at(`${path}/lotus`);
    const owns = (file: string) => {
      const note = this.text(`owners/${statSync(join(space, file)).ino}`);
      return note?.trim() ?? "before";
    };
    const pool = existsSync(join(space, "own-user")) ? readlinkSync(join(space, "php.sock")) : "before";
    return {
      pool,
      owners: Object.fromEntries(FILES.map((file) => [file, owns(file)])),
      content: FILES.slice(1, 3).map((file) => readFileSync(join(space, file), "utf8")),
      leftovers: existsSync(join(space, "tmp/of-the-user-of-before")),
    };
  }

  /** Web servers whose pool's user finds files of another one. */
  mixed(): string[] {
    return WEB_SERVERS.filter((web) => {
      const { pool, owners, leftovers } = this.look(web);
      const own = Object.values(owners).every((owner) => owner.endsWith(":300007")) && !leftovers;
      return pool === "before" ? new Set(Object.values(owners)).size > 1 : !own;
    });
  }

  state() {
    return [...WEB_SERVERS, "srv/spaces"].map((path) => this.look(path));
  }
}

describe.skipIf(!onPath("flock"))("finish-spaces --users (flock on PATH)", () => {
  it("killed at each of its steps", { timeout: 600_000 }, async () => {
    const ops = new FakeOps(join(folder, "steps"));
    const { exitCode, stderr, steps } = await ops.give();
    const expected = {
      signal: "SIGKILL",
      mixed: [],
      exitCode,
      stderr,
      state: ops.state(),
      marks: ops.contents("var/lib/framaspace/undistributed"),
    };
    expect(expected).toMatchObject({ exitCode: 0, stderr: "", marks: {} });
    const [web] = expected.state;
    expect(web).toMatchObject({ pool: "/run/php-spaces/space-7.sock", leftovers: false });
    expect(web?.owners).toMatchObject({ config: "root:300007", tmp: "300007:300007" });
    const harmed: object[] = [];
    const tried = stepsToKill(steps.length);
    for (const step of tried) {
      ops.reset("before");
      const { signal } = await ops.give(step);
      const mixed = ops.mixed();
      await ops.copyAll();
      mixed.push(...ops.mixed());
      const next = await ops.give();
      const found = {
        signal,
        mixed,
        exitCode: next.exitCode,
        stderr: next.stderr,
        state: ops.state(),
        marks: ops.contents("var/lib/framaspace/undistributed"),
      };
      if (!isDeepStrictEqual(found, expected)) harmed.push({ before: steps[step - 1], found });
    }
    console.log(`a user: steps tried ${tried.length} of ${steps.length}, harmed ${harmed.length}`);
    expect(steps.length).toBeGreaterThan(15);
    expect(harmed.map((one) => ({ ...one, expected }))).toEqual([]);
  });

  it("while a web server is away", async () => {
    const ops = new FakeOps(join(folder, "away"));
    writeFileSync(ops.at("away/web-2"), "");
    await ops.give();
    expect(ops.look("web-2").pool).toBe("before");
    rmSync(ops.at("away/web-2"));
    await ops.copyAll();
    expect(ops.mixed()).toEqual([]);
    await ops.give();
    const [one, two] = ops.state();
    expect(two).toEqual(one);
    expect(two).toMatchObject({ pool: "/run/php-spaces/space-7.sock", leftovers: false });
  });
});
