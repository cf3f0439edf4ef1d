// finish-spaces, with PostgreSQL's table faked as a folder of files. The wanted state of spaces outlives the machine,
// and unfinished spaces are tried again.
import { execaSync } from "execa";
import {
  closeSync,
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
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { finishSpaces } from "../../../spaces/agent/programs/finish-spaces.ts";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import { placesIn } from "../../../spaces/agent/programs/places.ts";
import { onPath, fakeCommands } from "../../support/fakes.ts";
import { runHere } from "../../support/run-here.ts";

const tools = onPath("flock", "openssl");

let root: string;
const at = (...path: string[]) => join(root, ...path);
const data = (...path: string[]) => at("var/lib/framaspace", ...path);

const FAKES = {
  // A row is a file table/<id> with digest, key and sealed text.
  psql: String.raw`[ ! -e "$ROOT/no-database" ] || { echo "psql: connection refused" >&2; exit 2; }
    sql=
    while [ $# -gt 0 ]; do
      case $1 in
        -v) export "sql_$2"; shift ;;
        -c) sql+=" $2"; shift ;;
        -f) sql+=" $(cat)"; shift ;;
        -d) [ "$2" = "service=framaspace dbname=postgres" ] || exit 9; shift ;;
      esac
      shift
    done
    [[ $sql == *"CREATE TABLE IF NOT EXISTS framaspace.spaces"* || $sql == *ANY* ]] || exit 9
    case $sql in
      *INSERT*) echo "$sql_digest $sql_key $sql_sealed" >"$ROOT/table/$sql_id" ;;
      *DELETE*) rm -f "$ROOT/table/$sql_id" ;;
      *"SELECT id, digest, key"*) cd "$ROOT/table"; for id in *; do [ ! -f "$id" ] || echo "$id $(cut -d' ' -f1,2 "$id")"; done ;;
      *"SELECT id, digest, sealed"*) cd "$ROOT/table"
        for id in $(sed "s/.*string_to_array('\([^']*\)'.*/\1/" <<<"$sql"); do echo "$id $(cut -d' ' -f1,3 "$id")"; done ;;
      *) exit 9 ;;
    esac`,
  "converge-space": String.raw`echo "$*" >>"$ROOT/calls"
    if [ -e "$ROOT/fails/$2" ]; then echo "space $2: still not" >&2; exit 1; fi
    mkdir -p "$ROOT/srv/spaces/$2/config"; echo '{}' >"$ROOT/srv/spaces/$2/config/space.json"; : >"$ROOT/srv/spaces/$2/own-user"
    echo "1 #x ~x" >"$ROOT/var/lib/framaspace/redis/$2"; rm -f "$ROOT/var/lib/framaspace/unfinished/$2"`,
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "finish-"));
  for (const folder of ["bin", "table", "fails", "run/framaspace", "srv/spaces", "etc/framaspace/wanted"])
    mkdirSync(at(folder), { recursive: true });
  writeFileSync(at("etc/framaspace/wanted/key"), "of-this-platform\n");
  fakeCommands(root, FAKES);
});
afterEach(() => rmSync(root, { recursive: true }));

async function finish(words: string[] = [], input = "", progressSeconds?: number) {
  const places = placesIn(root, "", at("bin"));
  const options = {
    input: Readable.from([input]),
    ...(progressSeconds !== undefined && { progressSeconds }),
  };
  const { stderr, exitCode } = await runHere(root, () => finishSpaces(places, words, options));
  return { exitCode, stderr };
}
const wanted = (id: string, more = {}) =>
  JSON.stringify({ id, wave: "main", release: "35.0.2", database: { password: `secret of ${id}` }, ...more });
const keep = (id: string, more = {}) => finish(["--keep", id], `${wanted(id, more)}\n`);
const tried = () => {
  const found = existsSync(at("calls")) ? readFileSync(at("calls"), "utf8").trim().split("\n") : [];
  rmSync(at("calls"), { force: true });
  return found.map((line) => line.replace("--again ", "")).sort();
};
const spaces = (folder: string) => readdirSync(folder).filter((name) => !name.startsWith("."));
const age = (file: string, seconds: number) =>
  utimesSync(file, Date.now() / 1000 - seconds, Date.now() / 1000 - seconds);
/** The state after `--keep` and a successful converge. */
async function converged(...ids: string[]) {
  for (const id of ids) {
    expect(await keep(id)).toEqual({ exitCode: 0, stderr: "" });
    mkdirSync(at("srv/spaces", id, "config"), { recursive: true });
    writeFileSync(at("srv/spaces", id, "config/space.json"), "{}");
    writeFileSync(at("srv/spaces", id, "own-user"), "");
    mkdirSync(data("redis"), { recursive: true });
    writeFileSync(data("redis", id), "1 #x ~x\n");
  }
}
const unfinished = (id: string, why: string, seconds: number) => {
  writeFileSync(data("unfinished", id), `${why}\n`);
  age(data("unfinished", id), seconds);
};
/** Removes everything that a new machine does not have. */
function loseMachine() {
  for (const folder of [at("srv/spaces"), at("var"), at("run/framaspace/tries")])
    rmSync(folder, { recursive: true, force: true });
  mkdirSync(at("srv/spaces"));
}

describe.skipIf(!tools)("finish-spaces (flock and openssl on PATH)", () => {
  it("does nothing if everything is finished", async () => {
    await converged("iris", "lotus");
    expect(await finish()).toEqual({ exitCode: 0, stderr: "" });
    expect(tried()).toEqual([]);
  });

  it("makes spaces again on a new ops-1, in their last wanted state", async () => {
    await converged("iris", "lotus");
    expect((await keep("lotus", { release: "36.0.0" })).exitCode).toBe(0);
    loseMachine();
    expect(await finish(["--fetch"])).toEqual({ exitCode: 0, stderr: "" });
    expect(tried()).toEqual([]);
    expect(readFileSync(data("wanted/lotus"), "utf8")).toBe(`${wanted("lotus", { release: "36.0.0" })}\n`);
    expect(readFileSync(data("wanted/iris"), "utf8")).toBe(`${wanted("iris")}\n`);
    await finish(["--all"]);
    expect(tried()).toEqual(["iris", "lotus"]);
    expect(spaces(at("srv/spaces"))).toEqual(["iris", "lotus"]);
    await finish(["--all"]);
    expect(tried()).toEqual([]);
  });

  it("shows no secret in PostgreSQL", async () => {
    await converged("iris", "lotus");
    for (const id of ["iris", "lotus"]) {
      const row = readFileSync(at("table", id), "utf8");
      expect(row).not.toContain("secret");
      expect(Buffer.from(row.split(" ")[2] ?? "", "base64").toString("latin1")).not.toContain("secret");
    }
  });

  it("seals everything again with a new key, and reports a key that opens nothing", async () => {
    await converged("iris", "lotus");
    writeFileSync(at("etc/framaspace/wanted/key"), "of-the-next-generation\n");
    await finish();
    loseMachine();
    writeFileSync(at("etc/framaspace/wanted/key"), "of-the-one-after\n");
    const { exitCode, stderr } = await finish(["--fetch"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      "spaces kept: that of lotus opens with another key than this machine has; write the former number of ops/wanted",
    );
    expect(readFileSync(data("wanted-problems"), "utf8")).toContain("that of lotus");
    expect(spaces(data("wanted"))).toEqual([]);
    writeFileSync(at("etc/framaspace/wanted/key"), "of-the-next-generation\n");
    expect(await finish(["--fetch"])).toEqual({ exitCode: 0, stderr: "" });
    expect(spaces(data("wanted"))).toEqual(["iris", "lotus"]);
  });

  it("keeps its own wanted state when a database goes back to an earlier moment", async () => {
    await converged("iris", "lotus");
    const before = readFileSync(at("table/lotus"));
    await keep("lotus", { state: "suspended" });
    writeFileSync(at("table/lotus"), before);
    rmSync(at("table/iris"));
    await finish();
    expect(JSON.parse(readFileSync(data("wanted/lotus"), "utf8"))).toMatchObject({ state: "suspended" });
    loseMachine();
    await finish(["--fetch"]);
    expect(JSON.parse(readFileSync(data("wanted/lotus"), "utf8"))).toMatchObject({ state: "suspended" });
    expect(spaces(data("wanted"))).toEqual(["iris", "lotus"]);
  });

  it("keeps nothing that PostgreSQL did not store, and continues with what it knows", async () => {
    await converged("iris", "lotus");
    writeFileSync(at("no-database"), "");
    const { exitCode, stderr } = await keep("lotus", { release: "36.0.0" });
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      "finish-spaces: what is wanted of lotus cannot be kept in PostgreSQL; look at the primary",
    );
    expect(readFileSync(data("wanted/lotus"), "utf8")).toBe(`${wanted("lotus")}\n`);
    unfinished("lotus", "database: …", 120);
    expect((await finish()).exitCode).toBe(0);
    expect(tried()).toEqual(["lotus"]);
    expect(readFileSync(data("wanted-problems"), "utf8")).toContain(
      "spaces kept: what is wanted of them cannot be kept",
    );
    rmSync(at("no-database"));
    await finish();
    expect(readFileSync(data("wanted-problems"), "utf8")).toBe("");
  });

  it("forgets a space for good", async () => {
    await converged("iris", "lotus");
    unfinished("lotus", "…", 120);
    expect(await finish(["--forget", "lotus"])).toEqual({ exitCode: 0, stderr: "" });
    await finish(["--all"]);
    expect(tried()).toEqual([]);
    expect(spaces(at("table"))).toEqual(["iris"]);
    expect(spaces(data("wanted"))).toEqual(["iris"]);
    expect(spaces(data("unfinished"))).toEqual([]);
  });

  it("makes the users of Redis again when their records are lost", async () => {
    await converged("iris", "lotus");
    rmSync(data("redis/lotus"));
    await finish(["--all"]);
    expect(tried()).toEqual(["lotus"]);
  });

  it("tries an unfinished space after a minute, then less and less often, at least every hour", async () => {
    await converged("iris", "lotus");
    writeFileSync(at("fails/lotus"), "");
    unfinished("lotus", "the invitation could not be sent", 50);
    await finish();
    expect(tried()).toEqual([]);
    age(data("unfinished/lotus"), 61);
    await finish();
    expect(tried()).toEqual(["lotus"]);
    const waits = [2, 4, 8, 16, 32, 60, 60];
    for (const minutes of waits) {
      age(at("run/framaspace/tries/lotus"), minutes * 60 - 10);
      await finish();
      expect(tried(), `before ${minutes} minutes`).toEqual([]);
      age(at("run/framaspace/tries/lotus"), minutes * 60 + 1);
      await finish();
      expect(tried(), `after ${minutes} minutes`).toEqual(["lotus"]);
    }
    rmSync(at("fails/lotus"));
    age(at("run/framaspace/tries/lotus"), 3601);
    await finish();
    expect(spaces(data("unfinished"))).toEqual([]);
    expect(existsSync(at("run/framaspace/tries/lotus"))).toBe(false);
  });

  it("leaves to people a failed upgrade, and a space that was closed when ops-1 was lost", async () => {
    await converged("iris", "lotus", "rose");
    mkdirSync(data("waves/main/35.0.2"), { recursive: true });
    writeFileSync(data("waves/main/35.0.2/iris"), "why\n");
    writeFileSync(data("closed/lotus"), "");
    for (const id of ["iris", "lotus", "rose"]) unfinished(id, "…", 120);
    await finish();
    expect(tried()).toEqual(["rose"]);
    expect(spaces(data("unfinished"))).toEqual(["iris", "lotus"]);
  });

  it("does not touch a space that another program works on", async () => {
    await converged("iris", "lotus");
    unfinished("lotus", "begun, and cut off", 120);
    const held = await lock(at("run/framaspace/space-lotus.lock"), 0);
    await finish(["--all"]);
    if (held !== undefined) closeSync(held);
    expect(tried()).toEqual([]);
    await finish(["--all"]);
    expect(tried()).toEqual(["lotus"]);
  });

  it("seals records as openssl does, with the first line of the key", async () => {
    await converged("lotus");
    const [, , sealed = ""] = readFileSync(at("table/lotus"), "utf8").trim().split(" ");
    const words = ["-aes-256-cbc", "-pbkdf2", "-iter", "1", "-base64", "-A"];
    const openssl = (input: string, ...more: string[]) =>
      execaSync("openssl", ["enc", ...more, ...words, "-pass", `file:${at("etc/framaspace/wanted/key")}`], {
        input,
        stripFinalNewline: false,
      }).stdout;
    const record = `${wanted("lotus")}\n`;
    expect(openssl(sealed, "-d")).toBe(record);
    // A row that an earlier version of the program wrote.
    const [digest, key] = readFileSync(at("table/lotus"), "utf8").split(" ");
    writeFileSync(at("table/lotus"), `${digest} ${key} ${openssl(record)}\n`);
    loseMachine();
    expect(await finish(["--fetch"])).toEqual({ exitCode: 0, stderr: "" });
    expect(readFileSync(data("wanted/lotus"), "utf8")).toBe(record);
  });

  it("says how far it is while it works through many spaces", async () => {
    const ids = ["iris", "lotus", "rose", "viola", "zinnia"];
    await converged(...ids);
    for (const id of ids) unfinished(id, "…", 120);
    writeFileSync(at("fails/rose"), "");
    // Four at once, and then one more, which takes longer than until the first line.
    const slow = `case "$*" in *zinnia*) sleep 4 ;; esac; ${FAKES["converge-space"]}`;
    fakeCommands(root, { "converge-space": slow });
    const { stderr } = await finish([], "", 3);
    const lines = stderr.split("\n");
    expect(lines[0]).toBe("finish-spaces: 5 spaces: 3 done, 1 failed, 1 left, for about 1 min");
    expect(lines.at(-1)).toBe("finish-spaces: 5 spaces: 4 done, 1 failed, 0 left");
    for (const id of ids) unfinished(id, "…", 120);
    expect((await finish()).stderr).toBe("");
  });

  it.each([["--keep", "../../etc"], ["--keep"], ["--forget", "a b"], ["--else"]])(
    "refuses %j",
    async (...words) => {
      expect((await finish(words, "{}\n")).exitCode).toBe(1);
      expect(spaces(at("table"))).toEqual([]);
    },
  );
});
