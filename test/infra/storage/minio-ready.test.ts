// When nginx opens before a MinIO that starts. The program runs here with fakes for curl, systemctl and sleep.
import { execa } from "execa";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { storageMachines } from "../../../infra/inventory/addresses.ts";
import { storageFiles } from "../../../infra/storage/storage.ts";
import { sourceOf, fake } from "../../support/fakes.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const SECRET = "pass-word_1";
const program = sourceOf("minio-ready");

let folder = "";
const at = (name: string) => join(folder, name);
const textOf = (name: string) => (existsSync(at(name)) ? readFileSync(at(name), "utf8") : "");

/** Writes a fake that runs in the folder of the test and records its calls. */
const fakeCommand = (name: string, script: string) =>
  fake(at(`bin/${name}`), `cd ${folder}\necho "${name} $*" >>called\n${script}`);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "framaspace-ready-"));
  for (const name of ["bin", "etc/minio", "run"]) mkdirSync(at(name), { recursive: true });
  writeFileSync(at("etc/minio/environment"), `MINIO_ROOT_USER=root\nMINIO_ROOT_PASSWORD=${SECRET}\n`);
  writeFileSync(at("buckets"), "archive\nbackup\nspace-iris\nspace-lotus\n");
  fakeCommand("sleep", "[ ! -e later ] || rm -f plain");
  fakeCommand("systemctl", "");
  fakeCommand("journalctl", "[ -e lacked ]");
  // MinIO's answers in their real form. Versions are kept for all buckets except those in the file `plain`.
  fakeCommand(
    "curl",
    `[ "$*" = "--config -" ] || exit 0
     [ ! -e refused ] || { rm refused; exit 22; }
     plain=; [ ! -e plain ] || plain=$'\\n'$(<plain)$'\\n'
     while read -r word _ url; do
       [ "$word" = url ] || continue
       url=\${url//\\"/}
       case $url in
         *9000/) printf '<?xml version="1.0"?>\\n<ListAllMyBucketsResult>'
           while read -r bucket; do printf '<Bucket><Name>%s</Name></Bucket>' "$bucket"; done <buckets ;;
         *) bucket=\${url%\\?versioning} bucket=\${bucket##*/}
           if [[ $plain == *$'\\n'"$bucket"$'\\n'* ]]; then printf '<VersioningConfiguration></VersioningConfiguration>'
           else printf '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'; fi ;;
       esac
       printf '\\n%s\\n' "$url"
     done`,
  );
});
afterEach(() => rmSync(folder, { recursive: true }));

async function run(): Promise<number | undefined> {
  const script = program.replaceAll("/etc/framaspace", at("etc")).replaceAll("/run/framaspace", at("run"));
  const { exitCode } = await execa("bash", ["-c", script], {
    stdin: "ignore",
    reject: false,
    env: { PATH: `${at("bin")}:/usr/bin:/bin`, HOSTNAME: "storage-a1" },
  });
  return exitCode;
}
const RESTARTED = "systemctl --no-block restart minio.service";

test("opens if MinIO keeps versions for all buckets of the platform, and puts the secret on no command line", async () => {
  expect(await run()).toBe(0);
  expect(textOf("called")).not.toContain(RESTARTED);
  expect(textOf("called")).toContain("curl --config -");
  expect(textOf("called")).not.toContain(SECRET);
});

test("gives MinIO time to find drives that were missing when it started", async () => {
  expect(await run()).toBe(0);
  expect(textOf("called")).not.toContain("sleep 17");
  writeFileSync(at("lacked"), "");
  expect(await run()).toBe(0);
  expect(textOf("called")).toContain("sleep 17");
});

test.each(["space-lotus", "backup"])("restarts MinIO if it keeps no versions of %s", async (bucket) => {
  writeFileSync(at("plain"), `${bucket}\n`);
  expect(await run()).toBe(1);
  expect(textOf("called")).toContain(RESTARTED);
});

test("asks again if MinIO does not answer", async () => {
  writeFileSync(at("refused"), "");
  writeFileSync(at("plain"), "space-lotus\n");
  expect(await run()).toBe(1);
});

test("ignores a bucket that is not the platform's", async () => {
  writeFileSync(at("buckets"), "my-bucket\nspace-iris\n");
  writeFileSync(at("plain"), "my-bucket\n");
  expect(await run()).toBe(0);
});

test("opens if there is no bucket yet", async () => {
  writeFileSync(at("buckets"), "");
  expect(await run()).toBe(0);
});

test("waits for a bucket that is being made", async () => {
  writeFileSync(at("plain"), "space-lotus\n");
  writeFileSync(at("later"), "");
  expect(await run()).toBe(0);
  expect(textOf("called")).not.toContain(RESTARTED);
});

test("stays closed after three starts, until MinIO has checked again", async () => {
  writeFileSync(at("plain"), "space-lotus\n");
  for (let start = 1; start <= 3; start++) expect(await run()).toBe(1);
  fakeCommand("sleep", '[ "$1" != 15 ] || { cat run/problems/minio >said; rm -f plain; }');
  expect(await run()).toBe(0);
  expect(textOf("called").split(RESTARTED)).toHaveLength(4);
  expect(textOf("said")).toMatch(/^minio versions: .* closed until MinIO has read their settings again\n$/);
  expect(textOf("run/problems/minio")).toBe("");
});

test("opens after seventeen minutes in any case, and reports it until versions are kept", async () => {
  writeFileSync(at("plain"), "space-lotus\n");
  for (let start = 1; start <= 3; start++) expect(await run()).toBe(1);
  expect(await run()).toBe(0);
  expect(textOf("called").match(/^sleep 15$/gm)).toHaveLength(68);
  expect(textOf("run/problems/minio")).toMatch(
    /^minio versions: .* all buckets but 1, such as space-lotus; reconcile-storage all /,
  );
  rmSync(at("plain"));
  expect(await run()).toBe(0);
  expect(textOf("run/problems/minio")).toBe("");
});

test("runs before nginx, which stops with MinIO and starts with it", () => {
  const { storage } = exampleEnvironment("prod");
  const nodes = storageMachines(exampleEnvironment("prod"), "primary");
  if (!storage || !nodes[0]) throw new Error("prod has storage");
  const files = storageFiles(storage.pools, nodes, nodes[0]);
  const contentOf = (name: string) => files.find(({ path }) => path.endsWith(name))?.content;
  expect(contentOf("nginx.service.d/minio.conf")).toContain(
    "[Unit]\nBindsTo=minio.service\nAfter=minio.service\n[Service]\nExecStartPre=/usr/local/sbin/minio-ready\nTimeoutStartSec=infinity\n",
  );
  expect(contentOf("minio.service")).toMatch(/^Wants=.*\bnginx\.service\b/m);
});
