// How ops-1 pairs the two storage sites and heals what drives missed. The program runs here with fakes for mc,
// systemctl and curl.
import { execa } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { renderProgram } from "../../../infra/machine/program-file.ts";
import { renderReconcileSettings } from "../../../infra/storage/storage.ts";
import { onPath, fake } from "../../support/fakes.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const tools = onPath("flock");
const PROGRAM = renderProgram("infra/storage/rootfs-ops/usr/local/sbin/reconcile-storage.ts");

let folder = "";
const at = (name: string) => join(folder, name);
const textOf = (name: string) => (existsSync(at(name)) ? readFileSync(at(name), "utf8") : "");

/** MinIO's answers as mc gives them. `called` lists the requests; other files set the state. */
const MC = `cd FOLDER
echo "$*" >>called
shift
case $* in
  "alias list "*) echo '{"URL":"https://storage:9000"}' ;;
  "admin info "*)
    drive='"state":"ok"' uptime=$(<uptime)
    if [ -e unreachable ]; then drive='"state":"offline"'; elif [ -e filling ]; then drive+=',"healing":true'; fi
    echo '{"info":{"deploymentID":"'"$3"'","backend":{"standardSCParity":4,"totalSets":[2],"totalDrivesPerSet":[10]},"servers":[{"endpoint":"https://storage-a1:9000","state":"online","uptime":'"$uptime"',"drives":[{'"$drive"'}]}]}}' ;;
  "admin replicate info "*) if [ -e paired ]; then echo '{"enabled":true,"sites":[{"name":"primary","deploymentID":"primary"},{"name":"replica","deploymentID":"replica"}]}'; else echo '{"enabled":false}'; fi ;;
  "admin replicate add "*)
    left=0; [ ! -e offline ] || left=$(<offline)
    if [ "$left" -gt 0 ]; then
      echo $((left - 1)) >offline
      echo '{"status":"error","error":{"message":"Error received when contacting a peer site (remote target is offline for endpoint https://storage-a:9000)"}}'
      exit 1
    fi
    touch paired ;;
  "admin replicate resync start "*)
    if [ -e cut ]; then rm cut; kill -KILL 0; fi
    if [ -e resyncing ]; then echo '{"status":"error","error":{"message":"site replication resync is already in progress"}}'; exit 1; fi
    if [ -e lacking ]; then echo '{"status":"success","buckets":[{"bucket":"space-iris","status":"started"},{"bucket":"space-lotus","errorDetail":"no target"}]}'; exit; fi
    touch resyncing ;;
  "admin policy attach "*)
    left=0; [ ! -e unknown ] || left=$(<unknown)
    if [ "$left" -gt 0 ]; then
      echo $((left - 1)) >unknown
      echo '{"status":"error","error":{"message":"","cause":{"message":"The specified user does not exist. (Specified user does not exist)"}}}'
      exit 1
    fi ;;
  "admin heal "*)
    if [ -e killed ]; then exit 1; fi
    if [ -e later ]; then touch var/lib/framaspace/storage/gaps-primary; fi
    echo '{"status":"success","type":"object","name":"space-iris/1"}'
    echo '{"status":"success","type":"summary","objects_scanned":41,"objects_healed":3}' ;;
  "ls "*) [ ! -e "$2.buckets" ] || while read -r bucket; do echo '{"key":"'"$bucket/"'"}'; done <"$2.buckets" ;;
  "version info "*) echo '{"versioning":{"status":"Enabled"}}' ;;
esac`;

const { storage: STORAGE } = exampleEnvironment("prod");
/** Gives the program the settings of a platform. */
function declare(storage: typeof STORAGE): void {
  if (!storage) throw new Error("the example has storage");
  writeFileSync(at("etc/framaspace/storage/settings"), renderReconcileSettings(storage));
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "framaspace-reconcile-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const name of [
    "bin",
    "etc/framaspace/storage/policies",
    "etc/framaspace/storage/lifecycle",
    "var/lib/framaspace/storage",
    "run/lock",
  ])
    mkdirSync(at(name), { recursive: true });
  declare(STORAGE);
  writeFileSync(at("uptime"), "1000000");
  writeFileSync(at("etc/framaspace/storage/users"), "");
  writeFileSync(at("etc/framaspace/storage/policies/backup.json"), "{}");
  writeFileSync(at("etc/framaspace/storage/lifecycle/others.json"), '{"Rules":[]}');
  writeFileSync(at("primary.buckets"), "space-iris\nspace-lotus\n");
  fake(at("bin/mc"), MC.replace("FOLDER", folder));
  fake(at("bin/systemctl"), `echo "$*" >>${folder}/systemctl`);
  fake(at("bin/curl"), "");
});

async function reconcile(...words: string[]) {
  const program = PROGRAM.replace(
    'reconcileStorage("", process.argv.slice(2))',
    `reconcileStorage("${folder}", process.argv.slice(2), async () => {})`,
  );
  writeFileSync(at("reconcile-storage"), program);
  const { exitCode, stdout, stderr } = await execa(process.execPath, [at("reconcile-storage"), ...words], {
    stdin: "ignore",
    reject: false,
    // In a process group of its own, because one fake kills the whole group.
    detached: true,
    env: { PATH: `${at("bin")}:/usr/bin:/bin` },
  });
  return { exitCode, stdout, stderr };
}
const asked = (what: string) =>
  textOf("called")
    .split("\n")
    .filter((line) => line.startsWith(`--json admin replicate ${what}`));

describe.skipIf(!tools)("reconcile-storage (flock on PATH)", { timeout: 60_000 }, () => {
  test("pairs from the site that holds data, and starts the copy at once", async () => {
    expect(await reconcile()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(asked("add")).toEqual(["--json admin replicate add primary replica"]);
    expect(asked("resync")).toEqual(["--json admin replicate resync start primary replica"]);
    expect(await reconcile()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(asked("add")).toHaveLength(1);
    expect(asked("resync")).toHaveLength(1);
  });

  test("pairs from the replica if the primary site is new", async () => {
    writeFileSync(at("replica.buckets"), textOf("primary.buckets"));
    writeFileSync(at("primary.buckets"), "");
    await reconcile();
    expect(asked("add")).toEqual(["--json admin replicate add replica primary"]);
  });

  test("waits while MinIO still takes a site that is back for unreachable", async () => {
    writeFileSync(at("offline"), "2");
    expect(await reconcile()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(asked("add")).toHaveLength(3);
  });

  test("waits while one of MinIO's nodes does not know a new user yet", async () => {
    writeFileSync(at("etc/framaspace/storage/users"), "backup secret\n");
    writeFileSync(at("unknown"), "2");
    expect(await reconcile()).toMatchObject({ exitCode: 0, stderr: "" });
    const attached = textOf("called")
      .split("\n")
      .filter((line) => line.includes("policy attach"));
    expect(attached).toEqual(Array(3).fill("--json admin policy attach serving backup --user backup"));
  });

  test("starts the copy the next time if it was cut off after the pairing", async () => {
    writeFileSync(at("cut"), "");
    expect(await reconcile()).not.toMatchObject({ exitCode: 0 });
    expect(existsSync(at("resyncing"))).toBe(false);
    expect(await reconcile()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(asked("add")).toHaveLength(1);
    expect(existsSync(at("resyncing"))).toBe(true);
  });

  test("starts the copy again if MinIO was copying already, or left out a bucket", async () => {
    writeFileSync(at("resyncing"), "");
    expect(await reconcile()).toMatchObject({ exitCode: 0, stderr: "" });
    rmSync(at("resyncing"));
    writeFileSync(at("lacking"), "");
    const { exitCode, stderr } = await reconcile();
    expect(exitCode).toBe(1);
    expect(stderr).toContain("not copied from primary to replica: space-lotus: no target (1 in all).");
    rmSync(at("lacking"));
    expect(await reconcile()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(existsSync(at("resyncing"))).toBe(true);
    expect(existsSync(at("var/lib/framaspace/storage/fill"))).toBe(false);
  });

  test("changes nothing if both sites hold buckets and do not know each other", async () => {
    writeFileSync(at("replica.buckets"), textOf("primary.buckets"));
    const { exitCode, stderr } = await reconcile();
    expect(exitCode).toBe(1);
    expect(stderr).toContain("only a person can say which one is right");
    expect([...asked("add"), ...asked("rm"), ...asked("resync")]).toEqual([]);
  });

  describe("heals", () => {
    // What is in the buckets, and in which, makes no difference, but takes time.
    beforeEach(() => writeFileSync(at("primary.buckets"), ""));
    const declareOneSite = () =>
      declare(STORAGE && { ...STORAGE, sites: { primary: STORAGE.sites.primary } });

    test.each(["unreachable", "filling"])("drives that missed data once none is %s", async (state) => {
      await reconcile("watch");
      expect(textOf("systemctl")).toBe("");
      writeFileSync(at(state), "");
      await reconcile("watch");
      expect(textOf("systemctl")).toBe("");
      rmSync(at(state));
      await reconcile("watch");
      expect(textOf("systemctl")).toContain("start --no-block heal-storage@primary.service");
      expect(await reconcile("heal", "primary")).toMatchObject({
        exitCode: 0,
        stdout: "primary: 41 objects checked, 3 written to drives that lacked them",
      });
      rmSync(at("systemctl"));
      rmSync(at("var/lib/framaspace/storage/gaps-replica"));
      await reconcile("watch");
      expect(textOf("systemctl")).toBe("");
    });

    test("after a node was restarted since the last check", async () => {
      declareOneSite();
      await reconcile("watch");
      writeFileSync(at("uptime"), "60");
      utimesSync(at("var/lib/framaspace/storage/looked-primary"), new Date(), new Date(Date.now() - 50_000));
      await reconcile("watch");
      expect(textOf("systemctl")).toBe("");
      utimesSync(at("var/lib/framaspace/storage/looked-primary"), new Date(), new Date(Date.now() - 70_000));
      await reconcile("watch");
      expect(textOf("systemctl")).toBe("start --no-block heal-storage@primary.service\n");
    });

    test.each(["killed", "later"])(
      "again if healing was cut off, or a drive failed meanwhile (%s)",
      async (how) => {
        declareOneSite();
        writeFileSync(at("var/lib/framaspace/storage/gaps-primary"), "");
        writeFileSync(at(how), "");
        await reconcile("heal", "primary");
        await reconcile("watch");
        expect(textOf("systemctl")).toContain("start --no-block heal-storage@primary.service");
      },
    );
  });

  test("says what MinIO says, which takes many lines", async () => {
    fake(
      at("bin/mc"),
      `case "$*" in
  *"alias list"*) echo '{"URL":"https://storage:9000"}' ;;
  *) printf '{\\n "status": "error",\\n "error": {\\n  "message": "Unable to get service info",\\n  "cause": {\\n   "message": "drives are gone"\\n  }\\n }\\n}\\n'; exit 1 ;;
esac`,
    );
    expect(await reconcile()).toMatchObject({
      exitCode: 1,
      stderr: "ops-1: storage: mc admin info primary: drives are gone",
    });
  });

  test("compares versions, and takes no half list for a whole one", async () => {
    writeFileSync(at("replica.buckets"), "space-iris\n");
    const version = (key: string, age: number) =>
      JSON.stringify({
        status: "success",
        key,
        versionId: "v1",
        size: 3,
        etag: "e",
        lastModified: new Date(Date.now() - age * 1000).toISOString(),
      });
    fake(
      at("bin/mc"),
      `if [ "$2 $3" = "ls --recursive" ]; then
  echo '${version("both", 600)}'
  case $5 in
    primary/*) echo '${version("ours", 600)}'; echo '${version("young", 10)}' ;;
    *) [ ! -e ${at("half")} ] || { printf '{\\n "status": "error"\\n}\\n'; exit 1; } ;;
  esac
  exit
fi
${MC.replace("FOLDER", folder)}`,
    );
    expect(await reconcile("compare")).toMatchObject({
      exitCode: 1,
      stdout: "only on primary: space-iris/ours v1 3 e false\nonly on primary: space-lotus (the bucket)",
    });
    writeFileSync(at("half"), "");
    expect((await reconcile("compare")).stderr).toMatch(/mc ls of replica\/space-iris ended with status 1/);
  });

  test("refuses a word that it does not know", async () => {
    expect((await reconcile("wach")).stderr).toContain(
      'there is no "wach"; write one of watch, all, compare',
    );
    expect(textOf("called")).toBe("");
  });

  test("refuses an unknown site", async () => {
    const { exitCode, stderr } = await reconcile("heal", "secondary");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("write which site: reconcile-storage heal primary");
  });
});
