// When a storage server restarts its MinIO. Runs the part of install.sh that decides, with fakes for systemctl and
// curl.
import { execa } from "execa";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { fake } from "../../support/fakes.ts";

const SCRIPT = readFileSync(join(import.meta.dirname, "../../../infra/storage/install.sh"), "utf8");
const PART = /^health\(\) [\s\S]*?^restart_minio\(\) \{[\s\S]*?^\}$/m.exec(SCRIPT)?.[0] ?? "";
const NODES = ["storage-a1", "storage-a2", "storage-a3"];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "framaspace-restart-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "called"), "");
});

/** @param serving The nodes whose MinIO serves. After a start, the MinIO of this machine serves, too. */
async function restart(machine: string, serving: readonly string[], { missed = true, heals = false } = {}) {
  for (const node of serving) writeFileSync(join(folder, `serves-${node}`), "");
  fake(
    `${folder}/systemctl`,
    `echo "$*" >>${folder}/called
case "$*" in
  *is-active*minio*) [ -e ${folder}/serves-${machine} ] ;;
  stop*) rm -f ${folder}/serves-${machine} ;;
  start*) : >${folder}/serves-${machine} ;;
esac`,
  );
  fake(
    `${folder}/curl`,
    `for word; do case $word in https://*) url=$word ;; -D) head=1 ;; esac; done
node=\${url#https://} node=\${node%%:*}
[ -e ${folder}/serves-$node ] || exit 7
if [ -n "$head" ]; then
  case $url in */cluster) echo 'x-minio-healing-drives: ${heals ? 2 : 0}' ;; esac
else
  case $url in *maintenance=true) printf ${missed ? 200 : 412} ;; *) printf 200 ;; esac
fi`,
  );
  fake(`${folder}/journalctl`, "exit 1");
  const input = `set -euo pipefail
MACHINE=${machine} NODES=(${NODES.join(" ")})
fail() { echo "$MACHINE: $*" >&2; exit 1; }
wait_until() { "\${@:3}" || fail "$2: not after $1 s"; }
${PART}
restart_minio`;
  const { exitCode, stderr } = await execa("bash", ["-s"], {
    input,
    reject: false,
    env: { PATH: `${folder}${delimiter}${process.env.PATH ?? ""}` },
  });
  return {
    exitCode,
    stderr,
    started: readFileSync(join(folder, "called"), "utf8").includes("start --no-block"),
  };
}

describe("a storage server's MinIO", () => {
  test("is restarted if the site can do without it", async () => {
    expect(await restart("storage-a2", NODES)).toMatchObject({ exitCode: 0, started: true });
  });

  test("is started if it is new, even though the site serves without it", async () => {
    expect(await restart("storage-a2", ["storage-a1", "storage-a3"])).toMatchObject({
      exitCode: 0,
      started: true,
    });
  });

  test.each([
    ["another node is down", NODES.slice(0, 2), {}, "another node is down"],
    ["drives of others are missing", NODES, { missed: false }, "drives of other nodes are missing"],
    ["a drive is being filled", NODES, { heals: true }, "a replaced drive is still being filled"],
  ])("is not restarted while %s", async (_, serving, state, says) => {
    const { exitCode, stderr, started } = await restart("storage-a2", serving, state);
    expect({ exitCode, started }).toEqual({ exitCode: 1, started: false });
    expect(stderr).toContain(`storage-a2: nothing was restarted: ${says}`);
  });

  test("is started if no node of the site serves yet", async () => {
    expect(await restart("storage-a1", [])).toMatchObject({ exitCode: 0, started: true });
  });
});
