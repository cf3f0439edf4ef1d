// postgres-node while another one works on the same node, with a folder in place of the machine and fakes for PostgreSQL.
import { execa } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { fakeCommands, programIn } from "../../support/fakes.ts";

let root: string;
const at = (path: string) => join(root, path);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framaspace-node-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const folder of ["bin", "etc/framaspace", "etc/postgresql/17/main", "var/lib/postgresql/17"])
    mkdirSync(at(folder), { recursive: true });
  writeFileSync(at("etc/framaspace/postgres-node"), "MACHINE=postgres-1 PEER= ADMIN=admin\n");
  fakeCommands(root, {
    setpriv: 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    pg_isready: "exit 1",
    systemctl: "",
    // Works until the test lets it end.
    initdb: `echo begun >>"$ROOT/done"
mkdir "$2" && touch "$2"/{PG_VERSION,postgresql.conf,pg_hba.conf,pg_ident.conf}
until [ -e "$ROOT/may-end" ]; do sleep 0.05; done
echo ended >>"$ROOT/done"`,
  });
});

/** Its patience is a second. */
const node = (...words: string[]) =>
  execa(
    "bash",
    [
      "-c",
      programIn(root, "postgres-node")
        .replace(/^BIN=.*$/m, `BIN=${at("bin")}`)
        .replace(/^PATIENCE=.*$/m, "PATIENCE=1"),
      "postgres-node",
      ...words,
    ],
    { env: { PATH: `${at("bin")}:${process.env["PATH"]}` }, reject: false },
  );
const done = () => (existsSync(at("done")) ? readFileSync(at("done"), "utf8") : "");

/** A run that creates a cluster, and has begun. `end` lets it end, and gives what it printed. */
async function creating() {
  const run = node("init");
  while (done() === "") await sleep(20);
  return {
    end: async () => {
      writeFileSync(at("may-end"), "");
      return (await run).stdout;
    },
  };
}

test("waits for another one, and then does only what is missing", async () => {
  const first = await creating();
  const second = node("init");
  await sleep(300);
  expect(await first.end()).toBe("changed postgres-1: new cluster, primary");
  expect(await second).toMatchObject({ exitCode: 0, stdout: "" });
  expect(done()).toBe("begun\nended\n");
});

test("refuses, with who is at work, if that takes too long", async () => {
  const first = await creating();
  expect(await node("fence")).toMatchObject({
    exitCode: 1,
    stderr: `postgres-1: "fence" was not begun: "init" is at work on this node, for more than 1 s. Wait for it, or see who it is: fuser -v ${at("run/framaspace/postgres-node.lock")}`,
  });
  expect(existsSync(at("var/lib/framaspace/postgres-fenced"))).toBe(false);
  await first.end();
});

test("says meanwhile what it says about the node, and lets it start", async () => {
  const first = await creating();
  const { stdout } = await node("status");
  expect(JSON.parse(stdout)).toMatchObject({ node: "postgres-1", running: false });
  // PostgreSQL's start waits for it, and what is at work may be waiting for that start.
  expect((await node("guard")).stderr).toContain("is empty");
  await first.end();
});
