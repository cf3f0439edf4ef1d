// install-releases, with folders in place of a machine's: the times of the files of a release, and the apps that it
// removes.
import { execa, execaSync } from "execa";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { sourceOf } from "../../support/fakes.ts";

const FILES = ["index.php", "version.php", "apps/files/style.css"];

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framaspace-releases-"));
});
afterEach(() => {
  // Releases are read-only.
  execaSync("chmod", ["-R", "u+w", root]);
  rmSync(root, { recursive: true, force: true });
});

/** An archive whose files all have the same time. */
async function archive(name: string, seconds: number, content = "<?php\n"): Promise<Buffer> {
  const tree = join(root, name);
  mkdirSync(join(tree, "nextcloud/apps/files"), { recursive: true });
  for (const file of FILES) {
    writeFileSync(join(tree, "nextcloud", file), content);
    utimesSync(join(tree, "nextcloud", file), seconds, seconds);
  }
  await execa("tar", ["-C", tree, "-cf", `${tree}.tar`, "nextcloud"]);
  return readFileSync(`${tree}.tar`);
}

/** Installs archives on a machine under `root`. Archives of an earlier call stay. */
async function install(releases: Record<string, Buffer>): Promise<string> {
  const bodies = Object.values(releases);
  const server = createServer(({ url }, response) => response.end(bodies[Number(url?.slice(1))]));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const list = Object.entries(releases).map(
    ([version, body], n) =>
      `${version} ${createHash("sha256").update(body).digest("hex")} http://127.0.0.1:${port}/${n}\n`,
  );
  return run(list);
}

/** Runs the program with the machine's lists of releases and of apps that no space may have. */
async function run(releases: string[], refusedApps: string[] = []): Promise<string> {
  mkdirSync(join(root, "etc"), { recursive: true });
  writeFileSync(join(root, "etc/releases"), releases.join(""));
  writeFileSync(join(root, "etc/refused-apps"), refusedApps.join(""));
  const script = sourceOf("install-releases")
    .replaceAll("/etc/framaspace", join(root, "etc"))
    .replaceAll("/srv/releases", join(root, "releases"))
    .replace("find /srv/spaces", `find ${root}`);
  return (await execa("bash", ["-c", script])).stdout;
}

const timesOf = (version: string) =>
  FILES.map((file) => statSync(join(root, "releases", version, file)).mtimeMs / 1000);

// OPcache keeps no file whose time is 0, or less than two seconds ago (ZendAccelerator.c).
describe("all files of a release have one time in the past", () => {
  it.each([
    ["0, as in a reproducible archive", 0],
    ["before 1970", -1000],
    ["today", Math.floor(Date.now() / 1000)],
    ["to come", 4_000_000_000],
  ])("if the time in the archive is %s", async (_, seconds) => {
    await install({ "34.0.4": await archive("a", seconds) });
    const [time = 0, ...others] = timesOf("34.0.4");
    expect(others).toEqual([time, time]);
    expect(time).toBeGreaterThanOrEqual(Date.UTC(2000) / 1000);
    expect(time).toBeLessThan(Date.UTC(2010) / 1000);
  });

  it("which is equal on all machines and differs between releases: nginx makes ETags of it", async () => {
    const [one, other] = [await archive("a", 0, "<?php 1;\n"), await archive("b", 0, "<?php 2;\n")];
    await install({ "34.0.4": one, "34.0.5": other });
    const [before, second] = [timesOf("34.0.4")[0], timesOf("34.0.5")[0]];
    expect(before).not.toBe(second);
    execaSync("chmod", ["-R", "u+w", join(root, "releases")]);
    rmSync(join(root, "releases"), { recursive: true });
    await install({ "34.0.4": one });
    expect(timesOf("34.0.4")[0]).toBe(before);
  });

  it("even on a machine that has the release already", async () => {
    const body = await archive("a", 0);
    await install({ "34.0.4": body });
    const [time = 0] = timesOf("34.0.4");
    expect(time).toBeGreaterThan(0);
    for (const file of FILES) utimesSync(join(root, "releases/34.0.4", file), 0, 0);
    expect(await install({ "34.0.4": body })).toBe("");
    expect(timesOf("34.0.4")).toEqual([time, time, time]);
  });
});

it("leaves no file of its own in a release, and knows again what it installed", async () => {
  const one = await archive("a", 0);
  expect(await install({ "34.0.4": one })).toBe("release 34.0.4\nrelease 34.0.4 with the host's theme");
  // Nextcloud's integrity check leaves themes out.
  expect(readdirSync(join(root, "releases/34.0.4")).sort()).toEqual([
    "apps",
    "index.php",
    "themes",
    "version.php",
  ]);
  expect(await install({ "34.0.4": one })).toBe("");
  // On a worker, which has no directories of spaces.
  const used = join(root, "releases/.34.0.4.used");
  writeFileSync(used, "");
  expect(await run([])).toBe("");
  const long = Date.now() / 1000 - 31 * 86_400;
  utimesSync(used, long, long);
  expect(await run([])).toBe("release 34.0.4 removed");
  expect(readdirSync(join(root, "releases"))).toEqual([".lock"]);
});

it("refuses a release that has no archive yet, and says what to write", async () => {
  await expect(run(["34.0.4 unbuilt\n"])).rejects.toThrow(
    /release 34\.0\.4 has no archive yet; make it \(npm run release -- build 34\.0\.4\), merge what that writes/,
  );
  expect(readdirSync(join(root, "releases"))).toEqual([".lock"]);
});

it("removes the code of apps that no space may have, even from releases in use", async () => {
  const at = (...path: string[]) => join(root, "releases", ...path);
  for (const release of ["34.0.4", "35.0.2"]) {
    for (const app of ["app_api", "deck", "onlyoffice"])
      mkdirSync(at(release, "apps", app, "lib"), { recursive: true });
    writeFileSync(at(release, "apps/onlyoffice/lib/Crypt.php"), "");
    writeFileSync(at(release, "version.php"), "");
    writeFileSync(at(`.${release}.sha256`), "abc1234\n");
    execaSync("chmod", ["-R", "a-w", at(release)]);
  }
  const list = ["34.0.4", "35.0.2"].map((version) => `${version} abc1234 https://x.example\n`);

  const refused = ["onlyoffice\n", "app_api\n", "files_external\n"];
  expect(await run(list, refused)).toContain(
    "release 34.0.4 without onlyoffice app_api\nrelease 35.0.2 without onlyoffice app_api",
  );
  for (const release of ["34.0.4", "35.0.2"]) {
    for (const app of ["app_api", "onlyoffice"]) expect(existsSync(at(release, "apps", app))).toBe(false);
    expect(existsSync(at(release, "apps/deck/lib"))).toBe(true);
    expect(execaSync("stat", ["-c", "%A", at(release, "apps")]).stdout).toBe("dr-xr-xr-x");
  }
  expect(await run(list, refused)).toBe("");
});

it("puts the host's theme into each release, those that the machine has already too", async () => {
  const at = (...path: string[]) => join(root, "releases", ...path);
  const body = await archive("a", 0);
  expect(await install({ "34.0.4": body })).toBe("release 34.0.4\nrelease 34.0.4 with the host's theme");
  const theme = at("34.0.4/themes/default/defaults.php");
  expect(readFileSync(theme, "utf8")).toBe("<?php require_once '/usr/local/share/framaspace/theme.php';\n");
  // OPcache and ETags: as all files of the release.
  expect(statSync(theme).mtimeMs).toBe(statSync(at("34.0.4/version.php")).mtimeMs);
  expect(execaSync("stat", ["-c", "%A", theme]).stdout).toBe("-r--r--r--");
  expect(await install({ "34.0.4": body })).toBe("");

  execaSync("chmod", ["-R", "u+w", at("34.0.4/themes")]);
  rmSync(at("34.0.4/themes"), { recursive: true });
  expect(await install({ "34.0.4": body })).toBe("release 34.0.4 with the host's theme");
});
