// postgres-cluster as it is typed on ops-1, with a fake of ssh.
import { execa } from "execa";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { renderProgram } from "../../../infra/machine/program-file.ts";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import { postgresCluster } from "../../../infra/postgres/programs/postgres-cluster.ts";
import { fakeCommands, onPath } from "../../support/fakes.ts";
import { runHere } from "../../support/run-here.ts";

let root = "";
const RECORD = "var/lib/framaspace/postgres.json";
const type = (...words: string[]) =>
  runHere(root, () => postgresCluster(root, words, Readable.from(["one\ntwo\n"])));

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framaspace-cluster-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const folder of ["bin", "etc/framaspace/postgres", "var/lib/framaspace", "run/framaspace"])
    mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, "etc/framaspace/postgres/nodes"), "postgres-1\npostgres-2\n");
  writeFileSync(join(root, RECORD), '{"primary":"postgres-1","mode":"synchronous"}');
  fakeCommands(root, {
    ssh: `shift 2; echo "$*" >>$ROOT/asked
[ ! -e $ROOT/silent ] || { echo "ssh: connect to host $1 port 22: Connection refused" >&2; exit 255; }
case $2 in
  status) echo Warning >&2; echo '{"node":"'$1'","data":"primary","running":true,"fenced":false,"recovery":false,"standby":{"sync":"sync"},"systemId":"7"}' ;;
  roles) cat >$ROOT/passwords ;;
  demote) touch $ROOT/demoting; sleep 3 ;;
esac`,
  });
});

test("prints both nodes and the record, and which node does not take the writes", async () => {
  const { output, exitCode } = await type("status");
  expect(exitCode).toBe(0);
  expect(JSON.parse(output)).toMatchObject({
    record: { primary: "postgres-1", mode: "synchronous" },
    nodes: [
      { node: "postgres-1", reachable: true, data: "primary" },
      { node: "postgres-2", reachable: true },
    ],
  });
  expect(await type("former")).toMatchObject({ output: "postgres-2\n", exitCode: 0 });
  writeFileSync(join(root, "silent"), "");
  expect(JSON.parse((await type()).output)).toMatchObject({
    nodes: [{ node: "postgres-1", reachable: false, running: false, data: "unknown" }, {}],
  });
  expect(await type("reconcile")).toMatchObject({
    exitCode: 1,
    stderr: `${hostname()}: postgres-1, the primary, does not answer (ssh: connect to host postgres-1 port 22: Connection refused). Run up again. If it is lost for good: postgres-cluster failover`,
  });
});

test("names the verbs if there is no such one", async () => {
  expect(await type("move")).toMatchObject({
    exitCode: 1,
    stderr: `${hostname()}: there is no "move"; write one of status, switchover, failover, rebuild, adopt, restore`,
  });
});

describe.skipIf(!onPath("flock"))("with a lock (flock on PATH)", () => {
  test("passes the passwords on, on standard input", async () => {
    expect(await type("reconcile")).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readFileSync(join(root, "passwords"), "utf8")).toBe("one\ntwo\n");
    expect(readFileSync(join(root, "asked"), "utf8")).not.toContain("one");
    expect(JSON.parse(readFileSync(join(root, RECORD), "utf8"))).toMatchObject({ systemId: "7" });
  });

  test("ends with the status of a command that failed", async () => {
    const program = join(root, "postgres-cluster");
    const text = renderProgram("infra/postgres/rootfs-ops/usr/local/sbin/postgres-cluster.ts");
    writeFileSync(program, text.replace('postgresCluster("",', `postgresCluster("${root}",`));
    fakeCommands(root, {
      ssh: `case $4 in
  status) echo '{"node":"'$3'","data":"primary","running":true,"recovery":false}' ;;
  *) echo "$3: no" >&2; exit 255 ;;
esac`,
    });
    const { exitCode, stderr } = await execa(process.execPath, [program, "rebuild", "postgres-2"], {
      env: { PATH: `${root}/bin:${process.env.PATH}` },
      reject: false,
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 255, stderr: "postgres-1: no" });
  });

  test("a killed run's last command keeps the lock until it has ended", { timeout: 30_000 }, async () => {
    const program = join(root, "postgres-cluster");
    const text = renderProgram("infra/postgres/rootfs-ops/usr/local/sbin/postgres-cluster.ts");
    writeFileSync(program, text.replace('postgresCluster("",', `postgresCluster("${root}",`));
    const running = execa(process.execPath, [program, "switchover"], {
      env: { PATH: `${root}/bin:${process.env.PATH}` },
      reject: false,
      stdio: "ignore",
    });
    await expect
      .poll(() => readFileSync(join(root, "asked"), "utf8"), { timeout: 10_000 })
      .toContain("demote");
    running.kill("SIGKILL");
    await running;
    const file = join(root, "run/framaspace/postgres-cluster.lock");
    expect(await lock(file, 0)).toBeUndefined();
    expect(await lock(file, 10)).toBeTypeOf("number");
  });
});
