// redis-users, with a fake of redis-cli that keeps the users as Redis' own list of them.
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { placesIn } from "../../../spaces/agent/programs/places.ts";
import { redisUsers } from "../../../spaces/agent/programs/redis-users.ts";
import { fakeCommands, onPath } from "../../support/fakes.ts";
import { runHere } from "../../support/run-here.ts";

let root: string;
const at = (...path: string[]) => join(root, ...path);
const records = (...path: string[]) => at("var/lib/framaspace/redis", ...path);
const hashOf = (password: string) => createHash("sha256").update(password).digest("hex");

/** `users` is the list of users, `did` what the administrator did. The file `down` has what it says if it is down. */
const REDIS = String.raw`[ ! -e "$ROOT/down" ] || { cat "$ROOT/down"; exit 1; }
  user=admin; while [ "$#" -gt 0 ]; do case $1 in -h | -p | -t) shift 2 ;; --user) user=$2; shift 2 ;; --*) shift ;; *) break ;; esac; done
  if [ "$user" != admin ]; then
    hash=$(printf %s "$REDISCLI_AUTH" | sha256sum | cut -d' ' -f1)
    if grep -q "^user $user on #$hash .*+select|$2$" "$ROOT/users"; then echo OK; else echo "WRONGPASS no"; fi
    exit
  fi
  [ "$REDISCLI_AUTH" = of-redis ] || { echo "AUTH failed: WRONGPASS invalid username-password pair"; exit; }
  case $* in
    "ACL LIST") cat "$ROOT/users" ;;
    "ACL USERS") cut -d' ' -f2 "$ROOT/users" ;;
    "") while IFS= read -r line; do
          echo "$line" >>"$ROOT/did"
          case $line in
            *"$(cat "$ROOT/refused" 2>/dev/null || echo none)"*) echo "ERR Error in ACL SETUSER modifier" ;;
            "ACL SETUSER "*) set -- $line; sed -i "/^user $3 /d" "$ROOT/users"; shift 4; echo "user $(cut -d' ' -f3 <<<"$line") $*" >>"$ROOT/users"; echo OK ;;
            "ACL DELUSER "*) sed -i "/^user $(cut -d' ' -f3 <<<"$line") /d" "$ROOT/users"; echo 1 ;;
            *) echo OK ;;
          esac
        done ;;
  esac`;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "redis-users-"));
  for (const folder of ["bin", "etc/framaspace/redis", "srv/spaces", "srv/releases/33.0.0"])
    mkdirSync(at(folder), { recursive: true });
  writeFileSync(at("etc/framaspace/platform.json"), '{"redis":{"host":"redis-1","port":6379}}');
  writeFileSync(at("etc/framaspace/redis/admin"), "of-redis\n");
  writeFileSync(at("etc/framaspace/redis/commands"), "resetchannels -@all +get\n");
  writeFileSync(at("etc/framaspace/redis/databases"), "5\n");
  writeFileSync(at("users"), "user default off\nuser admin on #x ~* &* +@all\n");
  fakeCommands(root, { "redis-cli": REDIS });
});
afterEach(() => rmSync(root, { recursive: true }));

const run = (words: string[], input = "") =>
  runHere(root, () => redisUsers(placesIn(root), words, Readable.from([input])));
const spaceOf = (id: string, release = "35.0.2") => ({
  release,
  redis: { user: id, password: `of-${id}`, prefix: `${id}:` },
  id,
});
/** Makes the user of a space. Resolves to the number of its database. */
async function give(id: string, release?: string): Promise<number | undefined> {
  const { output, stderr, exitCode } = await run([id], JSON.stringify(spaceOf(id, release)));
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  return (JSON.parse(output) as { redis: { database?: number } }).redis.database;
}
const users = () => readFileSync(at("users"), "utf8").trim().split("\n").slice(2);
function did(): string[] {
  const done = existsSync(at("did")) ? readFileSync(at("did"), "utf8").trim().split("\n") : [];
  rmSync(at("did"), { force: true });
  return done;
}

describe.skipIf(!onPath("flock"))("redis-users (flock on PATH)", () => {
  it("gives a space its keys in its own database, and does nothing the second time", async () => {
    const { output } = await run(["lotus"], JSON.stringify(spaceOf("lotus")));
    expect(output).toBe(
      '{"id":"lotus","redis":{"database":1,"password":"of-lotus","prefix":"lotus:","user":"lotus"},"release":"35.0.2"}\n',
    );
    expect(users()).toEqual([
      `user lotus on #${hashOf("of-lotus")} ~lotus:* resetchannels -@all +get +select|1`,
    ]);
    expect(readFileSync(records("lotus"), "utf8")).toBe(`1 #${hashOf("of-lotus")} ~lotus:*\n`);
    expect(did().at(-1)).toBe("ACL SAVE");
    expect(await give("lotus")).toBe(1);
    expect(did()).toEqual([]);
  });

  it("gives each space the lowest number that no other has, and a lost record the number of its user", async () => {
    for (const id of ["iris", "lotus", "rose"]) await give(id);
    // Redis lost this user, and this machine that record.
    writeFileSync(at("users"), readFileSync(at("users"), "utf8").replace(/^user iris .*\n/m, ""));
    rmSync(records("rose"));
    expect(await give("viola")).toBe(4);
    expect(await give("rose")).toBe(3);
    expect(await give("iris")).toBe(1);
    await run(["--remove", "lotus"]);
    expect(await give("zinnia")).toBe(2);
    const { exitCode, stderr } = await run(["dahlia"], JSON.stringify(spaceOf("dahlia")));
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr:
        "space dahlia, redis: all 4 numbers of spaces are taken; raise MOST_SPACES in infra/inventory/space-users.ts",
    });
  });

  it("keeps the numbers of directories that it has no record of: files belong to users of these numbers", async () => {
    for (const [id, database] of [
      ["iris", 1],
      ["lotus", 3],
    ] as const) {
      mkdirSync(at("srv/spaces", id, "config"), { recursive: true });
      writeFileSync(at("srv/spaces", id, "config/space.json"), JSON.stringify({ id, redis: { database } }));
    }
    expect(await give("rose")).toBe(2);
    expect(await give("lotus")).toBe(3);
    expect(await give("viola")).toBe(4);
    expect(await give("iris")).toBe(1);
  });

  it("reads no space for another one's number, unless that is new here, or all are to be read", async () => {
    const directory = (id: string, text: string) => {
      mkdirSync(at("srv/spaces", id, "config"), { recursive: true });
      writeFileSync(at("srv/spaces", id, "config/space.json"), text);
    };
    directory("iris", '{"id":"iris","redis":{"database":1}}');
    expect(await give("lotus")).toBe(2);
    // Whatever they hold now.
    directory("iris", "{");
    directory("rose", '{"id":"rose","redis":{"database":3}}');
    expect(await give("viola")).toBe(4);
    await run(["--remove", "viola"]);
    expect(await give("zinnia")).toBe(4);
    await run(["--remove", "zinnia"]);
    directory("iris", '{"id":"iris","redis":{"database":4}}');
    await run([]);
    expect(await give("viola")).toBe(1);
  });

  it("gives no number that a space got instead of another one, even if Redis has lost that since", async () => {
    mkdirSync(at("srv/spaces/iris/config"), { recursive: true });
    writeFileSync(at("srv/spaces/iris/config/space.json"), '{"id":"iris","redis":{"database":1}}');
    const before = readFileSync(at("users"), "utf8");
    // Somebody else has it already.
    writeFileSync(at("users"), `${before}user lotus on #x ~lotus:* +select|1\n`);
    expect(await give("rose")).toBe(2);
    expect(await give("iris")).toBe(3);
    writeFileSync(at("users"), before);
    expect(await give("viola")).toBe(4);
  });

  it("gives all keys to a release without a prefix, wanted or running", async () => {
    await give("lotus", "33.0.0");
    expect(users()[0]).toContain(" ~* ");
    mkdirSync(at("srv/spaces/lotus"), { recursive: true });
    symlinkSync(at("srv/releases/33.0.0"), at("srv/spaces/lotus/release"));
    await give("lotus", "33.0.1");
    expect(users()[0]).toContain(" ~* ");
    rmSync(at("srv/spaces/lotus/release"));
    await give("lotus", "33.0.1");
    expect(users()[0]).toContain(" ~lotus:* ");
  });

  it("makes users again that a new Redis does not know, and all when the rules changed", async () => {
    for (const id of ["iris", "lotus"]) await give(id);
    await run([]);
    did();
    await run([]);
    expect(did()).toEqual([]);
    const before = users();
    writeFileSync(at("users"), `${["user default off", "user admin on", ...before.slice(1)].join("\n")}\n`);
    expect(await run([])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(users().sort()).toEqual(before);
    writeFileSync(at("etc/framaspace/redis/commands"), "resetchannels -@all +get +set\n");
    await run([]);
    expect(users().filter((user) => user.includes("+get +set +select|"))).toHaveLength(2);
  });

  it("tries again what a killed run only wrote down", async () => {
    await give("lotus");
    writeFileSync(at("users"), "user default off\nuser admin on\n");
    expect(await give("lotus")).toBe(1);
    expect(users()).toHaveLength(1);
  });

  it("removes a user with its data", async () => {
    await give("lotus");
    did();
    expect(await run(["--remove", "lotus"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(did()).toEqual(["SELECT 1", "FLUSHDB ASYNC", "ACL DELUSER lotus", "ACL SAVE"]);
    expect(existsSync(records("lotus"))).toBe(false);
    expect(await run(["--remove", "lotus"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(did()).toEqual([]);
  });

  it("says what is wrong with Redis, and what to do", async () => {
    const refused = async () => {
      const { exitCode, stderr } = await run(["lotus"], JSON.stringify(spaceOf("lotus")));
      expect(exitCode).toBe(1);
      return stderr;
    };
    writeFileSync(at("down"), "Could not connect to Redis at redis-1:6379: Connection refused\n");
    expect(await refused()).toBe(
      "Redis: redis-1 does not answer: Could not connect to Redis at redis-1:6379: Connection refused; look there (journalctl -u redis-server), then run again",
    );
    rmSync(at("down"));
    writeFileSync(at("etc/framaspace/redis/admin"), "of-another\n");
    expect(await refused()).toBe(
      "Redis: redis-1 takes another password than /etc/framaspace/redis/admin; run up for the platform, then again",
    );
    writeFileSync(at("etc/framaspace/redis/admin"), "of-redis\n");
    writeFileSync(at("refused"), "SETUSER");
    expect(await refused()).toBe("Redis: ERR Error in ACL SETUSER modifier");
    // The record is there, and the user is not.
    rmSync(at("refused"));
    expect(await give("lotus")).toBe(1);
    expect(users()).toHaveLength(1);
  });

  it("refuses what names no space, and asks Redis nothing", async () => {
    writeFileSync(at("down"), "…");
    for (const words of [["../../etc"], ["--remove"], ["--remove", "a b"], ["--else"]])
      expect((await run(words)).exitCode).toBe(1);
    const other = { ...spaceOf("lotus"), redis: { ...spaceOf("rose").redis } };
    expect((await run(["lotus"], JSON.stringify(other))).stderr).toBe(
      'space lotus, redis: redis.user is "rose"; it must be the id',
    );
    expect(users()).toEqual([]);
  });
});
