// `npm run release -- build` against a Nextcloud and an app store on loopback.
import { execa, execaSync } from "execa";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { buildRelease } from "../../release/build-release.ts";
import { readLock } from "../../release/release-lock.ts";
import { startCommand } from "../support/commands.ts";
import { onPath } from "../support/fakes.ts";
import { ReleaseWorld, type Offer, RELEASE_TOOLS } from "../support/release-sources.ts";

describe.skipIf(!onPath(...RELEASE_TOOLS))("a release (gpg, zstd and others on PATH)", () => {
  const VERSION = "34.0.4";
  const CATALOG = "spaces/catalog.yaml";

  let world: ReleaseWorld;
  beforeAll(async () => {
    world = await ReleaseWorld.make();
    return world.close;
  }, 60_000);

  let root: string;
  let cache: string;
  let deck: Offer;
  beforeEach(async () => {
    world.site.routes.clear();
    world.site.asked.length = 0;
    root = world.repository(["viewer", "calendar", "deck"]);
    cache = mkdtempSync(join(world.folder, "cache-"));
    await world.serveNextcloud(VERSION);
    deck = await world.offer("deck", "1.16.2");
    world.serveStore(VERSION, [
      await world.offer("calendar", "5.4.0"),
      deck,
      await world.offer("calendar", "5.10.1"),
      await world.offer("calendar", "5.9.0"),
      await world.offer("calendar", "5.11.0", { nightly: true }),
      await world.offer("calendar", "6.0.0-rc.1"),
      await world.offer("calendar", "6.1.0", { platform: ">=35.0.0 <36.0.0" }),
      await world.offer("unwanted", "1.0.0"),
    ]);
  });

  const said: string[] = [];
  const build = (more: { newest?: boolean; serveAt?: string; cache?: string } = {}) => {
    said.length = 0;
    const say = (text: string) => void said.push(text);
    return buildRelease(VERSION, { root, cache, sources: world.sources, newest: false, say, ...more });
  };
  const read = (file: string) => readFileSync(join(root, file), "utf8");
  const contents = async (archive: string) =>
    (
      await execa("tar", ["--list", "--verbose", "--full-time", "--numeric-owner", "-f", archive])
    ).stdout.split("\n");
  const names = async (archive: string) =>
    (await contents(archive)).map((line) => line.split(" ").at(-1)).filter((name) => !name?.endsWith("/"));

  describe("the archive", () => {
    it("has Nextcloud and the newest fitting version of each app, without what no space may have", async () => {
      const archive = await build();
      expect(await names(archive)).toEqual([
        "nextcloud/apps/calendar/appinfo/info.xml",
        "nextcloud/apps/calendar/js/main.js",
        "nextcloud/apps/calendar/lib/Application.php",
        "nextcloud/apps/deck/appinfo/info.xml",
        "nextcloud/apps/deck/js/main.js",
        "nextcloud/apps/deck/lib/Application.php",
        "nextcloud/apps/files/appinfo/info.xml",
        "nextcloud/apps/viewer/appinfo/info.xml",
        "nextcloud/core/shipped.json",
        "nextcloud/core/signature.json",
        "nextcloud/index.php",
        "nextcloud/lib/versioncheck.php",
        "nextcloud/occ",
        "nextcloud/resources/codesigning/root.crl",
        "nextcloud/resources/codesigning/root.crt",
        "nextcloud/status.php",
        "nextcloud/version.php",
      ]);
      const { stdout } = await execa("tar", ["-xOf", archive, "nextcloud/apps/calendar/appinfo/info.xml"]);
      expect(stdout).toContain("<version>5.10.1</version>");
    });

    it("has one owner, one time that OPcache takes, and no rights but what is needed", async () => {
      const lines = await contents(await build());
      const heads = lines.map((line) => line.replace(/ +/g, " ").split(" "));
      expect(new Set(heads.map(([, owner]) => owner))).toEqual(new Set(["0/0"]));
      expect(new Set(heads.map(([, , , date]) => date))).toEqual(new Set(["2001-09-09"]));
      expect(new Set(heads.map(([mode]) => mode))).toEqual(
        new Set(["drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"]),
      );
      expect(heads.find(([mode]) => mode === "-rwxr-xr-x")?.at(-1)).toBe("nextcloud/occ");
    });

    it("is the same, byte for byte, from another folder and without the lock file", async () => {
      const first = readFileSync(await build());
      const lock = read("release/locks/nextcloud-34.0.4.json");
      root = world.repository(["viewer", "calendar", "deck"]);
      const second = await build({ cache: mkdtempSync(join(world.folder, "another-cache-")) });
      expect(readFileSync(second).equals(first)).toBe(true);
      expect(read("release/locks/nextcloud-34.0.4.json")).toBe(lock);
    });

    it("is what machines unpack", async () => {
      const folder = mkdtempSync(join(world.folder, "machine-"));
      // The words of install-releases.
      execaSync("tar", [
        "--extract",
        `--file=${await build()}`,
        `--directory=${folder}`,
        "--strip-components=1",
        "--no-same-owner",
        "--no-same-permissions",
      ]);
      expect(existsSync(join(folder, "version.php"))).toBe(true);
    });
  });

  describe("the repository", () => {
    it("gets the lock file, and address and checksum in the catalog, whose other lines stay", async () => {
      const before = read(CATALOG);
      const archive = await build();
      const sha256 = execaSync("sha256sum", [archive]).stdout.slice(0, 64);
      const name = `nextcloud-34.0.4-${sha256.slice(0, 12)}.tar.zst`;
      expect(archive).toBe(join(cache, "archives", name));
      expect(read(CATALOG)).toBe(
        before
          .replace(
            "https://artifacts.example.org/nextcloud-34.0.4.tar.zst",
            `https://artifacts.example.org/${name}`,
          )
          .replace("d".repeat(64), sha256),
      );
      const lock = readLock(root, VERSION);
      expect(lock).toMatchObject({
        nextcloud: {
          version: VERSION,
          url: `${world.sources.server}/v34.0.4/nextcloud-34.0.4.tar.bz2`,
          signedBy: world.nextcloud.fingerprint,
        },
        apps: { calendar: { version: "5.10.1" }, deck: { version: "1.16.2" } },
        leftOut: { survey_client: "appsOff" },
        archive: { name, sha256 },
      });
      expect(Object.keys(lock?.apps ?? {})).toEqual(["calendar", "deck"]);
      expect(said.at(-1)).toBe(
        `serve it as https://artifacts.example.org/${name}, and commit release/locks/nextcloud-34.0.4.json and spaces/catalog.yaml`,
      );
      // The program writes what prettier would.
      execaSync("node_modules/.bin/prettier", ["--check", join(root, "spaces"), join(root, "release")]);
    });

    it("keeps its apps: with a lock file the same is built again, until the newest are asked for", async () => {
      const first = readFileSync(await build());
      world.serveStore(VERSION, [await world.offer("calendar", "5.12.0"), deck]);
      world.site.asked.length = 0;
      expect(readFileSync(await build()).equals(first)).toBe(true);
      expect(world.site.asked).toEqual(["/nextcloud.asc"]);
      await build({ newest: true });
      expect(readLock(root, VERSION)?.apps["calendar"]?.version).toBe("5.12.0");
    });

    it("gets a release that the catalog does not have yet, at the address that is given", async () => {
      writeFileSync(
        join(root, CATALOG),
        read(CATALOG)
          .replace(/ {2}34\.0\.4:\n(?: {4}.*\n)+/, "")
          .replaceAll(": 34.0.4", ": 33.0.9"),
      );
      await build({ serveAt: "https://files.example.net/n/" });
      expect(read(CATALOG)).toMatch(
        /state: leaving\n {2}34\.0\.4:\n {4}url: https:\/\/files\.example\.net\/n\/nextcloud-34\.0\.4-[0-9a-f]{12}\.tar\.zst\n {4}sha256: "[0-9a-f]{64}"\n {4}state: current\nwaves:/,
      );
    });
  });

  describe("the network", () => {
    it("cut off, goes on where it ended", async () => {
      const path = "/server/v34.0.4/nextcloud-34.0.4.tar.bz2";
      const archive = world.site.routes.get(path) as Buffer;
      const ranges: (string | undefined)[] = [];
      world.site.routes.set(path, (request, response) => {
        ranges.push(request.headers.range);
        const begin = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
        response.writeHead(begin > 0 ? 206 : 200, { etag: '"x"', "content-length": archive.length - begin });
        if (begin > 0) response.end(archive.subarray(begin));
        else response.write(archive.subarray(0, 1000), () => setTimeout(() => response.destroy(), 200));
      });
      await build();
      expect(ranges).toEqual([undefined, "bytes=1000-"]);
    });

    it("that compresses on its own, whatever is asked for, changes nothing", async () => {
      const path = `/api/v1/platform/${VERSION}/apps.json`;
      const body = gzipSync(world.site.routes.get(path) as string);
      const asked: (string | undefined)[] = [];
      world.site.routes.set(path, (request, response) => {
        asked.push(request.headers["accept-encoding"]);
        response.writeHead(200, { "content-encoding": "gzip", "content-length": body.length }).end(body);
      });
      await build();
      expect(asked).toEqual(["identity"]);
    });

    it("away, is named with what could not be reached, and what came is not asked for again", async () => {
      const calendar = "/apps/calendar-5.10.1.tar.gz";
      const archive = world.site.routes.get(calendar) ?? "";
      world.site.routes.set(calendar, (_, response) => response.destroy());
      await expect(build()).rejects.toThrow(
        `calendar 5.10.1: could not download ${world.site.address}${calendar}: UND_ERR_SOCKET, other side closed. What came so far is kept; type the same command again when it can be reached.`,
      );
      world.site.routes.set(calendar, archive);
      world.site.asked.length = 0;
      await build();
      expect(world.site.asked).not.toContain("/server/v34.0.4/nextcloud-34.0.4.tar.bz2");
      expect(readdirSync(cache).sort()).toEqual(["archives", "downloads"]);
    });

    it("away altogether, is named, too", async () => {
      const sources = { ...world.sources, key: "http://127.0.0.1:1/nextcloud.asc" };
      await expect(
        buildRelease(VERSION, { root, cache, sources, newest: false, say: () => {} }),
      ).rejects.toThrow(
        /^Nextcloud's key: could not download http:\/\/127\.0\.0\.1:1\/nextcloud\.asc: .+ What came so far/,
      );
    });
  });

  it("the command takes other places, and says the end of a failure on one line", async () => {
    const { server, key, fingerprint, store } = world.sources;
    const words = ["--root", root, "--cache", cache, "--server", server, "--key", key, "--store", store];
    const type = (...more: string[]) => startCommand({}, "release", "build", VERSION, ...words, ...more);
    const { status, text } = await type("--fingerprint", fingerprint);
    expect([status, text.split("\n").at(-1)]).toEqual([
      0,
      expect.stringMatching(/serve it as https:.*catalog\.yaml$/),
    ]);
    expect(await type()).toMatchObject({
      status: 1,
      text: expect.stringMatching(
        /^release: http.*\/nextcloud\.asc has the key [0-9A-F]{40}; the pinned one is 28806A878AE423A28372792ED75899B9A724937A\. [^\n]*$/m,
      ),
    });
  });

  it.each([
    ["new", "PHP_VERSION_ID < 80500"],
    ["old", "PHP_VERSION_ID >= 80400"],
  ])("a Nextcloud that is too %s for the machines' PHP is refused", async (_, limit) => {
    const check = `<?php if (${limit}) {\n\texit(1);\n}\n`;
    await world.serveNextcloud(VERSION, { more: { "nextcloud/lib/versioncheck.php": check } });
    await expect(build()).rejects.toThrow(
      /^Nextcloud 34\.0\.4 does not run under PHP 8\.4\.\d+, which the machines have/,
    );
  });

  describe("the catalog", () => {
    it("may not leave out what Nextcloud needs", async () => {
      writeFileSync(
        join(root, CATALOG),
        read(CATALOG).replace("appsOff: [survey_client]", "appsOff: [files]"),
      );
      await expect(build()).rejects.toThrow("files: Nextcloud does not start without it (core/shipped.json)");
    });

    it("may not want and refuse an app", async () => {
      writeFileSync(join(root, CATALOG), read(CATALOG).replace("[survey_client]", "[survey_client, deck]"));
      await expect(build()).rejects.toThrow(
        "deck: spaces/catalog.yaml has it in appsOff and in another list",
      );
    });

    it("without any archive, has to be told where the host serves them", async () => {
      writeFileSync(join(root, CATALOG), read(CATALOG).replaceAll(/ {4}(url|sha256): .*\n/g, ""));
      await expect(build()).rejects.toThrow(
        "the catalog has no archive yet, so nothing says where you serve them; add --serve-at",
      );
    });
  });
});
