// What a new ops-1 has of spaces after space-host.sh: their wanted state from PostgreSQL, and their directories from
// web servers.
import { execaSync } from "execa";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { libIn, onPath, fakeCommands, programIn } from "../../support/fakes.ts";

const tools = onPath("jq");

let root: string;
const at = (...path: string[]) => join(root, ...path);

const FAKES = {
  // The folder with the name of a web server is its /srv/spaces. Without the folder, the web server does not answer.
  rsync: String.raw`web=${"${@: -2:1}"}; web=${"${web#root@}"}; web=${"${web%:}"}
    [ -d "$ROOT/$web" ] || exit 255; mkdir -p "${"${@: -1}"}"; cp -a "$ROOT/$web/." "${"${@: -1}"}"`,
  // The folder `table` is what PostgreSQL knows.
  "finish-spaces": String.raw`echo "finish-spaces $*" >>"$ROOT/calls"; W=$ROOT/var/lib/framaspace/wanted
    mkdir -p "$W" "$ROOT/var/lib/framaspace/unfinished" "$ROOT/var/lib/framaspace/closed"
    case $1 in
      --fetch) [ ! -e "$ROOT/no-database" ] || exit 1; cp "$ROOT/table/." -r "$W" ;;
      --keep) cat >"$W/$2" ;;
      --all) for id in $(ls "$W"); do mkdir -p "$ROOT/srv/spaces/$id"; done ;;
    esac`,
  "install-releases": ":",
  "prepare-release": ":",
  systemctl: ":",
  // Packages of this machine.
  "dpkg-query": ":",
  "apt-get": "exit 1",
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "space-host-"));
  for (const folder of ["bin", "table", "srv", "run", "etc/framaspace"])
    mkdirSync(at(folder), { recursive: true });
  writeFileSync(at("etc/framaspace/web-servers"), "web-1\nweb-2\n");
  writeFileSync(at("etc/framaspace/workers"), "worker-1\n");
  writeFileSync(at("etc/framaspace/releases"), "");
  fakeCommands(root, FAKES);
  for (const id of ["iris", "lotus"]) writeFileSync(at("table", id), `{"id":"${id}"}\n`);
});
afterEach(() => rmSync(root, { recursive: true }));

/** A web server's copy of a space. */
function copy(web: string, id: string, ...flags: string[]) {
  mkdirSync(at(web, id, "config"), { recursive: true });
  writeFileSync(at(web, id, "config/space.json"), `{"id":"${id}","from":"${web}"}\n`);
  for (const flag of flags) writeFileSync(at(web, id, flag), "");
}

function spaceHost() {
  const script = programIn(root, "infra/ops/space-host.sh");
  const parts = [libIn(root), "install_packages() { :; }", "install_files() { :; }", script];
  return execaSync("bash", ["-s", "--", "infra/ops/space-host.sh"], {
    input: parts.join("\n"),
    reject: false,
    env: { PATH: `${at("bin")}:${process.env.PATH}` },
  });
}
const spaces = () => readdirSync(at("srv/spaces"));
const calls = () => readFileSync(at("calls"), "utf8").trim().split("\n");

describe.skipIf(!tools)("a new ops-1 (jq on PATH)", () => {
  it("copies directories from a web server that has them: a web server as new as ops-1 is no source", () => {
    mkdirSync(at("web-1"));
    copy("web-2", "iris");
    copy("web-2", "lotus");
    const { stdout } = spaceHost();
    expect(stdout).toContain("changed space iris, from web-2");
    expect(spaces()).toEqual(["iris", "lotus"]);
    expect(readFileSync(at("srv/spaces/lotus/config/space.json"), "utf8")).toContain("web-2");
    expect(calls()).toEqual(["finish-spaces --fetch", "finish-spaces --users"]);
  });

  it("makes directories again if no web server has them", () => {
    mkdirSync(at("web-1"));
    const { stdout } = spaceHost();
    expect(stdout).toContain("changed space lotus, made again");
    expect(spaces()).toEqual(["iris", "lotus"]);
    expect(calls()).toEqual(["finish-spaces --fetch", "finish-spaces --users", "finish-spaces --all"]);
  });

  it("removes the functions of former programs", () => {
    mkdirSync(at("web-1"));
    writeFileSync(at("space-lib.sh"), "");
    expect(spaceHost().stdout).toMatch(/^changed no .*space-lib\.sh$/m);
    expect(existsSync(at("space-lib.sh"))).toBe(false);
    expect(spaceHost().stdout).not.toContain("space-lib.sh");
  });

  it("leaves out spaces that are no longer wanted", () => {
    for (const id of ["iris", "lotus", "removed"]) copy("web-1", id);
    spaceHost();
    expect(spaces()).toEqual(["iris", "lotus"]);
  });

  it("opens no closed space: only the former ops-1 knew why it was closed", () => {
    copy("web-1", "iris");
    copy("web-1", "lotus", "maintenance");
    spaceHost();
    expect(existsSync(at("srv/spaces/lotus/maintenance"))).toBe(true);
    expect(existsSync(at("var/lib/framaspace/closed/lotus"))).toBe(true);
    expect(existsSync(at("var/lib/framaspace/closed/iris"))).toBe(false);
    expect(readFileSync(at("var/lib/framaspace/unfinished/lotus"), "utf8")).toContain(
      "converge-space --again lotus",
    );
  });

  it("stops if PostgreSQL does not say which spaces there are", () => {
    writeFileSync(at("no-database"), "");
    copy("web-1", "lotus");
    expect(spaceHost().exitCode).toBe(1);
    expect(spaces()).toEqual([]);
  });

  it("copies nothing twice, and keeps the wanted state of spaces that are older than this record", () => {
    copy("web-1", "iris");
    copy("web-1", "lotus");
    spaceHost();
    writeFileSync(
      at("srv/spaces/lotus/config/space.json"),
      '{"id":"lotus","redis":{"database":4,"user":"lotus"},"version":"35.0.2.1"}\n',
    );
    rmSync(at("table/lotus"));
    rmSync(at("var/lib/framaspace/wanted/lotus"));
    rmSync(at("calls"));
    expect(spaceHost().stdout).toContain("changed: 0");
    expect(calls()).toEqual(["finish-spaces --fetch", "finish-spaces --keep lotus", "finish-spaces --users"]);
    expect(JSON.parse(readFileSync(at("var/lib/framaspace/wanted/lotus"), "utf8"))).toEqual({
      id: "lotus",
      redis: { user: "lotus" },
    });
  });
});
