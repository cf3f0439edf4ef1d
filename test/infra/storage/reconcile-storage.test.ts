// How ops-1 pairs the two storage sites and heals what drives missed. The program runs here with fakes for mc,
// systemctl, curl and sleep.
import { execa } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { renderReconcileSettings } from "../../../infra/storage/storage.ts";
import { onPath, sourceOf, fake } from "../../support/fakes.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const tools = onPath("jq", "flock");
const PROGRAM = sourceOf("reconcile-storage");

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
  "admin heal "*)
    if [ -e killed ]; then exit 1; fi
    if [ -e later ]; then touch state/gaps-primary; fi
    echo '{"status":"success","type":"object","name":"space-iris/1"}'
    echo '{"status":"success","type":"summary","objects_scanned":41,"objects_healed":3}' ;;
  "ls "*) [ ! -e "$2.buckets" ] || while read -r bucket; do echo '{"key":"'"$bucket/"'"}'; done <"$2.buckets" ;;
  "version info "*) echo '{"versioning":{"status":"Enabled"}}' ;;
esac`;

const { storage: STORAGE } = exampleEnvironment("prod");
/** Gives the program the settings of a platform. */
function declare(storage: typeof STORAGE): void {
  if (!storage) throw new Error("the example has storage");
  writeFileSync(at("etc/storage/settings"), renderReconcileSettings(storage));
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "framaspace-reconcile-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const name of ["bin", "etc/storage/policies", "etc/storage/lifecycle", "state"])
    mkdirSync(at(name), { recursive: true });
  declare(STORAGE);
  writeFileSync(at("uptime"), "1000000");
  writeFileSync(at("etc/storage/users"), "");
  writeFileSync(at("etc/storage/policies/backup.json"), "{}");
  writeFileSync(at("etc/storage/lifecycle/others.json"), '{"Rules":[]}');
  writeFileSync(at("primary.buckets"), "space-iris\nspace-lotus\n");
  fake(at("bin/mc"), MC.replace("FOLDER", folder));
  fake(at("bin/systemctl"), `echo "$*" >>${folder}/systemctl`);
  fake(at("bin/curl"), "");
  fake(at("bin/sleep"), "");
});

async function reconcile(...words: string[]) {
  const script = PROGRAM.replaceAll("/etc/framaspace", at("etc"))
    .replaceAll("/var/lib/framaspace/storage", at("state"))
    .replaceAll("/run/lock/reconcile-storage", at("lock"));
  const { exitCode, stdout, stderr } = await execa("bash", ["-c", script, "reconcile-storage", ...words], {
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

describe.skipIf(!tools)("reconcile-storage (jq and flock on PATH)", { timeout: 60_000 }, () => {
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
    expect(existsSync(at("state/fill"))).toBe(false);
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
      rmSync(at("state/gaps-replica"));
      await reconcile("watch");
      expect(textOf("systemctl")).toBe("");
    });

    test("after a node was restarted since the last check", async () => {
      declareOneSite();
      await reconcile("watch");
      writeFileSync(at("uptime"), "60");
      utimesSync(at("state/looked-primary"), new Date(), new Date(Date.now() - 50_000));
      await reconcile("watch");
      expect(textOf("systemctl")).toBe("");
      utimesSync(at("state/looked-primary"), new Date(), new Date(Date.now() - 70_000));
      await reconcile("watch");
      expect(textOf("systemctl")).toBe("start --no-block heal-storage@primary.service\n");
    });

    test.each(["killed", "later"])(
      "again if healing was cut off, or a drive failed meanwhile (%s)",
      async (how) => {
        declareOneSite();
        writeFileSync(at("state/gaps-primary"), "");
        writeFileSync(at(how), "");
        await reconcile("heal", "primary");
        await reconcile("watch");
        expect(textOf("systemctl")).toContain("start --no-block heal-storage@primary.service");
      },
    );
  });

  test("refuses an unknown site", async () => {
    const { exitCode, stderr } = await reconcile("heal", "secondary");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("write which site: reconcile-storage heal primary");
  });
});
