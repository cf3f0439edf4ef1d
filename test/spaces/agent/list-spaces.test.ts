// list-spaces, with a fake of the psql that goes from database to database.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { listSpaces } from "../../../spaces/agent/programs/list-spaces.ts";
import { placesIn } from "../../../spaces/agent/programs/places.ts";
import { fakeCommands } from "../../support/fakes.ts";
import { runHere } from "../../support/run-here.ts";

let root: string;
const at = (path: string) => join(root, path);
function write(path: string, content: unknown): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), `${typeof content === "string" ? content : JSON.stringify(content)}\n`);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "list-spaces-"));
  for (const folder of ["bin", "srv/spaces/.new.rose/config", "var/lib/framaspace"])
    mkdirSync(at(folder), { recursive: true });
  fakeCommands(root, {
    // `databases` has their names, the folder `facts` what each says; `asked` gets one line for each that is asked.
    psql: String.raw`[ ! -e "$ROOT/no-database" ] || exit 2
      case $* in
        *"SELECT datname"*) cat "$ROOT/databases" ;;
        *) sed -n 's/^\\connect "\(.*\)"$/\1/p' | while read -r id; do echo "$id" >>"$ROOT/asked"; cat "$ROOT/facts/$id" 2>/dev/null || true; done ;;
      esac`,
  });
  write("srv/spaces/.new.rose/config/space.json", {});
  write("srv/spaces/lotus/config/space.json", {
    id: "lotus",
    name: "Lotus",
    host: "lotus.example.org",
    state: "suspended",
    release: "35.0.2",
    version: "35.0.2.1",
    reason: "unpaid",
    since: "2026-11-02",
    limits: { accounts: 50, storageBytes: 100 },
    database: { password: "hidden" },
  });
  write("srv/spaces/lotus/suspended", "");
  write("srv/spaces/lotus/maintenance", "");
  write("var/lib/framaspace/wanted/lotus", { id: "lotus", state: "active", release: "36.0.0" });
  write("var/lib/framaspace/wanted/iris", { id: "iris", state: "active", release: "35.0.2" });
  write("var/lib/framaspace/unfinished/iris", "database: its role cannot use its database");
  write("var/lib/framaspace/exports/lotus", {
    id: "lotus",
    export: "20261101T000000Z",
    at: "2026-11-01T00:00:00Z",
    objects: 2,
    bytes: 3,
    more: 1,
  });
  write("var/lib/framaspace/archived/lotus", { export: "20261101T000000Z", dropAfter: "2026-12-01" });
  write("databases", "postgres\nlotus");
  write(
    "facts/lotus",
    '{"id" : "lotus", "accounts" : 4, "bytes" : 12, "lastActivity" : "2026-11-02T14:00:00Z"}',
  );
});
afterEach(() => rmSync(root, { recursive: true }));

const list = (...words: string[]) => runHere(root, () => listSpaces(placesIn(root, "", at("bin")), words));
const asked = () => {
  const lines = readFileSync(at("asked"), "utf8").trim().split("\n").sort();
  rmSync(at("asked"));
  return lines;
};

const LOTUS =
  '{"id":"lotus","name":"Lotus","host":"lotus.example.org","state":"suspended","release":"35.0.2","reason":"unpaid","since":"2026-11-02","limits":{"accounts":50,"storageBytes":100},"flags":"maintenance suspended","accounts":4,"bytes":12,"lastActivity":"2026-11-02T14:00:00Z","lastExport":{"export":"20261101T000000Z","at":"2026-11-01T00:00:00Z","objects":2,"bytes":3},"archived":{"export":"20261101T000000Z","dropAfter":"2026-12-01"},"unfinished":null}\n';
const IRIS =
  '{"id":"iris","name":null,"host":null,"state":"active","release":"35.0.2","reason":null,"since":null,"limits":null,"flags":"","accounts":null,"bytes":null,"lastActivity":null,"lastExport":null,"archived":null,"unfinished":"database: its role cannot use its database"}\n';

it("prints what there is of each space, also of those that are only wanted, and nothing that opens one", async () => {
  expect(await list()).toEqual({ exitCode: 0, stderr: "", output: IRIS + LOTUS });
  expect(asked()).toEqual(["lotus"]);
  expect(await list("lotus", "iris")).toEqual({ exitCode: 0, stderr: "", output: LOTUS + IRIS });
});

it("prints nothing where there is no space", async () => {
  for (const folder of ["srv/spaces/lotus", "var/lib/framaspace/wanted"])
    rmSync(at(folder), { recursive: true });
  expect(await list()).toEqual({ exitCode: 0, stderr: "", output: "" });
});

it("takes many spaces from the last survey for an hour, and asks named ones now", async () => {
  const ids = Array.from({ length: 120 }, (_, index) => `space-${index}`);
  for (const id of ids) write(`var/lib/framaspace/wanted/${id}`, { id, state: "active", release: "35.0.2" });
  write("databases", ["lotus", ...ids].join("\n"));
  await list();
  expect(asked()).toHaveLength(121);
  write("facts/lotus", '{"id" : "lotus", "accounts" : 5, "bytes" : 12, "lastActivity" : null}');
  expect((await list()).output).toContain('"accounts":4,');
  expect((await list("lotus")).output).toContain('"accounts":5,"bytes":12,"lastActivity":null');
  expect(asked()).toEqual(["lotus"]);
  expect((await list("--fresh")).output).toContain('"accounts":5,');
  expect(asked()).toHaveLength(121);
  const old = Date.now() / 1000 - 3700;
  utimesSync(at("var/lib/framaspace/survey"), old, old);
  await list();
  expect(asked()).toHaveLength(121);
});

it.each(["rose", "../lotus"])("says that there is no space %j", async (id) => {
  expect(await list("lotus", id)).toEqual({
    exitCode: 1,
    output: "",
    stderr: `there is no space "${id}" on this machine; has its stack been brought up?`,
  });
});

it("says that the databases do not answer", async () => {
  write("no-database", "");
  expect(await list()).toEqual({
    exitCode: 1,
    output: "",
    stderr: "list-spaces: the databases do not answer; look at the primary (psql service=framaspace)",
  });
});
