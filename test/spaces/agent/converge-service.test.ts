// converge-space as people and the engine type it, before the service that does the work, with everything around that
// faked.
import { execa } from "execa";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LOTUS, makeOps } from "../../support/fake-ops.ts";
import { onPath, programIn, startOf } from "../../support/fakes.ts";

const IRIS = {
  ...LOTUS,
  id: "iris",
  host: "iris.example.org",
  database: { name: "iris", user: "iris", password: "hidden" },
  redis: { user: "iris", password: "hidden", prefix: "iris:" },
};

let root: string;
let service: ReturnType<typeof startService> | undefined;
const at = (...path: string[]) => join(root, ...path);
const PATIENT = { timeout: 10_000 };
const SOCKET = "run/framaspace/converge.sock";
/** The commands that the program runs are fakes; curl, by which it is asked, is not. */
const WITH_FAKES = () => ({ PATH: `${at("bin")}:${process.env["PATH"]}` });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "service-"));
  makeOps(root);
  writeFileSync(at("program"), startOf(root, "converge-space"));
  const alone = `PATH=${at("bin")}:$PATH exec bash ${at("program")}`;
  const client = programIn(root, "spaces/agent/rootfs-ops/usr/local/sbin/converge-space");
  const started = `exec /usr/bin/node ${root}/converge-space`;
  if (!client.includes(started)) throw new Error(`converge-space no longer runs the program by: ${started}`);
  writeFileSync(at("client"), client.replace(started, alone));
});
afterEach(async () => {
  service?.kill("SIGKILL");
  await service?.catch(() => undefined);
  service = undefined;
  rmSync(root, { recursive: true });
});

const startService = () => execa("bash", [at("program"), "--serve"], { env: WITH_FAKES(), reject: false });

async function serve(): Promise<void> {
  rmSync(at(SOCKET), { force: true });
  service = startService();
  await expect.poll(() => existsSync(at(SOCKET)), PATIENT).toBe(true);
}

async function converge(wanted: object | undefined, ...words: string[]) {
  const { stdout, stderr, exitCode } = await execa("bash", [at("client"), ...words], {
    input: wanted ? JSON.stringify(wanted) : "",
    // As administrators may have it for apt.
    env: { http_proxy: "http://127.0.0.1:9" },
    reject: false,
  });
  const { id, changed } = (stdout === "" ? {} : JSON.parse(stdout)) as { id?: string; changed?: string[] };
  return { id, changed, said: stderr.replaceAll(root, ""), exitCode };
}
const INSTALLED = ["installed 34.0.4", "directory", "administrator", "invitation"];
/** Until the upgrade has begun. The file `fails` holds it up, and makes it fail if it is not taken away. */
const upgrading = () =>
  expect
    .poll(() => existsSync(at("asked")) && readFileSync(at("asked"), "utf8"), PATIENT)
    .toMatch(/^upgrade$/m);
const slowUpgrade = () => {
  const php = readFileSync(at("bin/php"), "utf8");
  const held = `[[ $* != *upgrade ]] || while [ -e "$ROOT/held" ]; do sleep 0.1; done`;
  writeFileSync(at("bin/php"), php.replace('[ ! -e "$ROOT/fails" ]', `${held}\n$&`));
  writeFileSync(at("held"), "");
};
const UP = { ...LOTUS, release: "35.0.2" };

describe.skipIf(!onPath("curl", "flock"))("the service converge-spaces (curl and flock on PATH)", () => {
  it("converges what is asked of it, one after the other, and keeps no lock", async () => {
    await serve();
    expect(statSync(at(SOCKET)).mode & 0o777).toBe(0o700);
    expect(await converge(LOTUS)).toEqual({ id: "lotus", changed: INSTALLED, said: "", exitCode: 0 });
    expect(await converge(LOTUS)).toMatchObject({ changed: [], said: "", exitCode: 0 });
    expect(await converge(undefined, "--again", "lotus")).toMatchObject({ changed: [], exitCode: 0 });
    expect(await converge(UP)).toMatchObject({ exitCode: 0 });
    expect(await converge(UP)).toMatchObject({ changed: [], exitCode: 0 });
  });

  it("tells each caller what concerns it, and nobody else", async () => {
    await serve();
    writeFileSync(at("status"), "500");
    const [lotus, iris] = await Promise.all([converge(LOTUS), converge(IRIS)]);
    const wrong = (id: string) =>
      [
        `space ${id}: not served by web-1 500, web-2 500; tried again twice a minute (systemctl status distribute-spaces)`,
        `space ${id}, web servers: no web server answers as it should`,
      ].join("\n");
    expect(lotus).toEqual({ id: undefined, changed: undefined, said: wrong("lotus"), exitCode: 1 });
    expect(iris).toEqual({ id: undefined, changed: undefined, said: wrong("iris"), exitCode: 1 });
  });

  it("passes on what the commands say, which the program runs", async () => {
    await serve();
    writeFileSync(at("no-database"), "");
    const { said, exitCode } = await converge(LOTUS);
    expect(said).toContain("psql: FATAL: no pg_hba.conf entry\nspace lotus, database: its role cannot use");
    expect(exitCode).toBe(1);
  });

  it("gives the status and the words of the program where what is wanted cannot be read", async () => {
    await serve();
    const { said, exitCode } = await converge(undefined, "--again", "nobody");
    expect(said).toBe("space nobody, reading: nothing is known to be wanted of it");
    expect(exitCode).toBe(1);
    const words = await converge(undefined, "--agian", "lotus");
    expect(words.said).toBe(
      "converge-space: it knows --again ID, and reads what is wanted from standard input",
    );
    expect(words.exitCode).toBe(1);
  });

  it("is not needed: without it, the program is run", async () => {
    expect(await converge(LOTUS)).toEqual({ id: "lotus", changed: INSTALLED, said: "", exitCode: 0 });
    expect(await converge(undefined, "--again", "lotus")).toMatchObject({ changed: [], exitCode: 0 });
    // As a killed service leaves it.
    await serve();
    service?.kill("SIGKILL");
    await service;
    expect(existsSync(at(SOCKET))).toBe(true);
    expect(await converge(LOTUS)).toMatchObject({ changed: [], said: "", exitCode: 0 });
  });

  it("ends what it is at when it is replaced, and takes nothing new", async () => {
    await serve();
    await converge(LOTUS);
    slowUpgrade();
    const upgrade = converge(UP);
    await upgrading();
    service?.kill("SIGTERM");
    await expect.poll(() => existsSync(at(SOCKET)), PATIENT).toBe(false);
    const meanwhile = await converge(undefined, "--again", "nobody");
    expect(meanwhile.said).toBe("space nobody, reading: nothing is known to be wanted of it");
    rmSync(at("held"));
    expect(await upgrade).toMatchObject({ id: "lotus", said: "", exitCode: 0 });
    expect((await service)?.exitCode).toBe(0);
  });

  it("says that nothing is known to be done if it is killed, and the next run finishes", async () => {
    await serve();
    await converge(LOTUS);
    slowUpgrade();
    const upgrade = converge(UP);
    await upgrading();
    service?.kill("SIGKILL");
    expect(await upgrade).toEqual({
      id: undefined,
      changed: undefined,
      said: "converge-space: the service converge-spaces ended meanwhile (journalctl -u converge-spaces); run it again",
      exitCode: 1,
    });
    rmSync(at("held"));
    await serve();
    expect(await converge(undefined, "--again", "lotus")).toMatchObject({ id: "lotus", exitCode: 0 });
    expect(await converge(UP)).toMatchObject({ changed: [], exitCode: 0 });
  });
});
