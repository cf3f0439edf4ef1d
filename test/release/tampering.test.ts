// Whatever somebody changes on the way: it is refused with a sentence of its own, and nothing of it is kept.
import { execaSync } from "execa";
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Header } from "tar";
import { describe, beforeAll, expect, it, onTestFinished } from "vitest";
import { gzipSync } from "node:zlib";
import { newestRelease } from "../../release/app-store.ts";
import { buildRelease } from "../../release/build-release.ts";
import { onPath } from "../support/fakes.ts";
import {
  appTree,
  OpenPgpKey,
  pack,
  ReleaseWorld,
  rsaKeys,
  signApp,
  TestAuthority,
  RELEASE_TOOLS,
} from "../support/release-sources.ts";

describe.skipIf(!onPath(...RELEASE_TOOLS))(
  "somebody who tampers with it (gpg, zstd and others on PATH)",
  () => {
    const VERSION = "34.0.4";
    const SERVER = `/server/v${VERSION}/nextcloud-${VERSION}.tar.bz2`;

    let world: ReleaseWorld;
    beforeAll(async () => {
      world = await ReleaseWorld.make();
      return world.close;
    }, 60_000);

    /** What a case may change before the build. */
    interface Scene {
      world: ReleaseWorld;
      routes: ReleaseWorld["site"]["routes"];
      root: string;
      /** Serves this instead of the right version of calendar. */
      calendar: (changes: Parameters<ReleaseWorld["offer"]>[2], version?: string) => Promise<void>;
    }
    type Case = [name: string, change: (scene: Scene) => void | Promise<void>, says: RegExp];

    const flipped = (bytes: Buffer, at: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    const flip = ({ routes }: Scene, path: string, share = 0.5) => {
      const bytes = Buffer.from(routes.get(path) as Buffer | string);
      routes.set(path, flipped(bytes, Math.floor(bytes.length * share)));
    };

    /** An archive with one more entry, which GNU tar would not write by itself. */
    async function withEntry(entry: {
      path: string;
      type?: "File" | "SymbolicLink" | "Link" | "FIFO";
      linkpath?: string;
    }) {
      const rest = await pack(appTree("calendar", "5.4.0"), ["calendar"], ["--format=ustar"]);
      const block = Buffer.alloc(512);
      new Header({ mode: 0o644, uid: 0, gid: 0, size: 0, mtime: new Date(0), type: "File", ...entry }).encode(
        block,
      );
      return gzipSync(Buffer.concat([block, rest]));
    }

    const CASES: Case[] = [
      // The server's archive.
      [
        "a byte of Nextcloud's archive",
        (scene) => flip(scene, SERVER),
        /^Nextcloud 34\.0\.4: its signature does not fit its content; nothing of it was kept/,
      ],
      [
        "a byte of its signature",
        (scene) => flip(scene, `${SERVER}.asc`),
        /^Nextcloud 34\.0\.4: (gpgv finds no signature|its signature)/,
      ],
      [
        "no signature",
        ({ routes }) => void routes.set(`${SERVER}.asc`, "nothing"),
        /^Nextcloud 34\.0\.4: gpgv finds no signature/,
      ],
      [
        "another key's signature",
        async ({ world: { stranger } }) => void (await world.serveNextcloud(VERSION, { key: stranger })),
        /^Nextcloud 34\.0\.4: its signature is of the key [0-9A-F]+, not of the pinned [0-9A-F]{40}/,
      ],
      [
        "another key",
        ({ routes }) => void routes.set("/nextcloud.asc", world.stranger.public),
        /nextcloud\.asc has the key [0-9A-F]{40}; the pinned one is [0-9A-F]{40}/,
      ],
      [
        "another key beside the right one",
        async ({ routes }) => {
          await world.serveNextcloud(VERSION, { key: world.stranger });
          routes.set("/nextcloud.asc", OpenPgpKey.together(world.folder, world.nextcloud, world.stranger));
        },
        /nextcloud\.asc has the key [0-9A-F]{40}, [0-9A-F]{40}; the pinned one is/,
      ],
      [
        "a byte of the key",
        (scene) => flip(scene, "/nextcloud.asc", 0.3),
        /nextcloud\.asc has (no key|the key)|is no OpenPGP key/,
      ],
      [
        "an older archive, rightly signed",
        async () => void (await world.serveNextcloud(VERSION, { inside: "34.0.3" })),
        /nextcloud-34\.0\.4\.tar\.bz2 is signed, but holds Nextcloud 34\.0\.3, not 34\.0\.4/,
      ],
      [
        "an archive cut short",
        ({ routes }) => void routes.set(SERVER, (routes.get(SERVER) as Buffer).subarray(0, 2000)),
        /its signature does not fit its content/,
      ],
      [
        "an archive that ends before its announced size",
        ({ routes }) => {
          const bytes = routes.get(SERVER) as Buffer;
          routes.set(SERVER, (_, response) => {
            response.writeHead(200, { "content-length": bytes.length + 7 });
            response.write(bytes, () => setTimeout(() => response.destroy(), 20));
          });
        },
        /^Nextcloud 34\.0\.4: could not download http.*nextcloud-34\.0\.4\.tar\.bz2: /,
      ],
      [
        "an archive larger than any",
        ({ routes }) =>
          void routes.set(
            SERVER,
            (_, response) => void response.writeHead(200, { "content-length": 2e9 }).write("x"),
          ),
        /^Nextcloud 34\.0\.4: what http.* serves is larger than 1000\.0 MB; it was not kept/,
      ],
      [
        "a redirect to another host",
        ({ routes }) => {
          const elsewhere = world.site.address.replace("127.0.0.1", "localhost");
          routes.set("/elsewhere", routes.get(SERVER) ?? "");
          routes.set(SERVER, (_, response) =>
            response.writeHead(302, { location: `${elsewhere}/elsewhere` }).end(),
          );
        },
        /^Nextcloud 34\.0\.4: http.* sends on to http:\/\/localhost:\d+, which is not known to belong to it; nothing was taken/,
      ],
      [
        "redirects without an end",
        ({ routes }) =>
          void routes.set(SERVER, (_, response) => response.writeHead(302, { location: SERVER }).end()),
        /^Nextcloud 34\.0\.4: .* sends on and on/,
      ],
      // An app's archive and signature.
      [
        "a byte of an app's archive",
        (scene) => flip(scene, "/apps/calendar-5.4.0.tar.gz"),
        /^calendar: its signature does not fit its archive\. It was not kept/,
      ],
      [
        "an app's archive cut short",
        ({ routes }) =>
          void routes.set(
            "/apps/calendar-5.4.0.tar.gz",
            (routes.get("/apps/calendar-5.4.0.tar.gz") as Buffer).subarray(0, 300),
          ),
        /^calendar: its signature does not fit its archive/,
      ],
      [
        "an archive that its makers cut short",
        async ({ calendar }) =>
          calendar({
            archive: (await pack(appTree("calendar", "5.4.0"), ["calendar"], ["--gzip"])).subarray(0, 300),
          }),
        /^calendar: its archive cannot be unpacked: /,
      ],
      [
        "a byte of an app's signature",
        ({ calendar }) =>
          calendar({ signature: flipped(Buffer.from("A".repeat(344), "base64"), 9).toString("base64") }),
        /^calendar: its signature does not fit its archive/,
      ],
      [
        "another app's archive, rightly signed",
        async ({ calendar }) =>
          calendar({ archive: await pack(appTree("deck", "5.4.0"), ["deck"], ["--gzip"]) }),
        /^calendar: its archive holds "deck\/.*"; it may hold one folder only, calendar/,
      ],
      // Certificates.
      [
        "another app's certificate",
        async ({ calendar }) =>
          calendar({ certificate: await world.authority.certify("deck", world.keys.publicKey) }),
        /^calendar: its certificate is of deck, another app\.$/,
      ],
      [
        "another authority's certificate",
        async ({ calendar }) =>
          calendar({ certificate: await world.other.certify("calendar", world.keys.publicKey) }),
        /^calendar: its certificate (is not of Nextcloud's authority|has a wrong signature)/,
      ],
      [
        "the authority's own certificate",
        ({ calendar }) => calendar({ certificate: world.authority.intermediate.toString("pem") }),
        /^calendar: its certificate /,
      ],
      [
        "an expired certificate",
        async ({ calendar }) =>
          calendar({
            certificate: await world.authority.certify("calendar", world.keys.publicKey, { to: -1 }),
          }),
        /^calendar: its certificate has expired\.$/,
      ],
      [
        "a certificate to come",
        async ({ calendar }) =>
          calendar({
            certificate: await world.authority.certify("calendar", world.keys.publicKey, { from: 1 }),
          }),
        /^calendar: its certificate is not valid yet\.$/,
      ],
      [
        "a revoked certificate",
        async () => void (await world.serveNextcloud(VERSION, { revoked: ["77", "2001"] })),
        /^calendar: its certificate is revoked by Nextcloud\.$/,
      ],
      [
        "a byte of the certificate",
        async ({ calendar }) =>
          calendar({
            certificate: (await world.authority.certify("calendar", world.keys.publicKey)).replace(
              /.{5}=*\n-----END/,
              "AAAA=\n-----END",
            ),
          }),
        /^calendar: its certificate /,
      ],
      [
        "no certificate",
        ({ calendar }) => calendar({ certificate: "none" }),
        /^calendar: its certificate cannot be read\.$/,
      ],
      [
        "a certificate for another key",
        async ({ calendar }) =>
          calendar({ certificate: await world.authority.certify("calendar", (await rsaKeys()).publicKey) }),
        /^calendar: its signature does not fit its archive/,
      ],
      [
        "another authority's list of revoked ones",
        async () =>
          void (await world.serveNextcloud(VERSION, { revocations: await world.other.revocations([]) })),
        /^calendar: its certificate cannot be (judged|compared)/,
      ],
      [
        "a list of revoked ones that has expired",
        async () =>
          void (await world.serveNextcloud(VERSION, {
            revocations: await world.authority.revocations([], new Date(Date.now() - 1000)),
          })),
        /^calendar: its certificate cannot be judged: the list of revoked ones has expired/,
      ],
      // What an archive holds.
      [
        "a way out of the folder",
        async ({ calendar }) => calendar({ archive: await withEntry({ path: "calendar/../../evil.php" }) }),
        /^calendar: its archive holds "calendar\/\.\.\/\.\.\/evil\.php", which leads out of its folder/,
      ],
      [
        "an absolute name",
        async ({ calendar }) => calendar({ archive: await withEntry({ path: "/tmp/evil.php" }) }),
        /^calendar: its archive holds "\/tmp\/evil\.php", which leads out of its folder/,
      ],
      [
        "a link out of the folder",
        async ({ calendar }) =>
          calendar({
            archive: await withEntry({ path: "calendar/up", type: "SymbolicLink", linkpath: "../../files" }),
          }),
        /^calendar: its archive holds a link "calendar\/up" to "\.\.\/\.\.\/files", which leads out/,
      ],
      [
        "a file through a link",
        async ({ calendar }) =>
          calendar({
            archive: await withEntry({ path: "calendar/lib", type: "SymbolicLink", linkpath: "js" }),
          }),
        /^calendar: its archive holds "calendar\/lib.*", which goes through a link/,
      ],
      [
        "a hard link",
        async ({ calendar }) =>
          calendar({
            archive: await withEntry({
              path: "calendar/hard",
              type: "Link",
              linkpath: "calendar/js/main.js",
            }),
          }),
        /^calendar: its archive holds "calendar\/hard", which is a Link/,
      ],
      [
        "a pipe",
        async ({ calendar }) =>
          calendar({ archive: await withEntry({ path: "calendar/pipe", type: "FIFO" }) }),
        /^calendar: its archive holds "calendar\/pipe", which is a FIFO/,
      ],
      [
        "a file twice",
        async ({ calendar }) => calendar({ archive: await withEntry({ path: "calendar/js/main.js" }) }),
        /^calendar: its archive holds "calendar\/js\/main\.js" twice/,
      ],
      [
        "a second folder",
        async ({ calendar }) =>
          calendar({
            archive: await pack(
              { ...appTree("calendar", "5.4.0"), "files/lib/evil.php": "" },
              ["calendar", "files"],
              ["--gzip"],
            ),
          }),
        /^calendar: its archive holds "files\/"; it may hold one folder only, calendar/,
      ],
      [
        "no app",
        async ({ calendar }) =>
          calendar({ archive: await pack({ "calendar/readme": "" }, ["calendar"], ["--gzip"]) }),
        /^calendar: its archive has no appinfo\/info\.xml/,
      ],
      [
        "another id",
        ({ calendar }) =>
          calendar({
            tree: {
              ...appTree("calendar", "5.4.0"),
              "calendar/appinfo/info.xml": "<info><id>deck</id><version>5.4.0</version></info>",
            },
          }),
        /^calendar: its appinfo\/info\.xml says that it is deck\./,
      ],
      [
        "two ids",
        ({ calendar }) =>
          calendar({
            tree: {
              ...appTree("calendar", "5.4.0"),
              "calendar/appinfo/info.xml":
                "<info><id>calendar</id><id>deck</id><version>5.4.0</version></info>",
            },
          }),
        /^calendar: its appinfo\/info\.xml says not once which id and version it has/,
      ],
      [
        "an older version under a newer name",
        ({ calendar }) => calendar({ tree: appTree("calendar", "5.3.9") }),
        /^calendar: its appinfo\/info\.xml says version 5\.3\.9, the app store 5\.4\.0/,
      ],
      [
        "an app for another Nextcloud",
        ({ calendar }) =>
          calendar({ tree: appTree("calendar", "5.4.0", 'min-version="31" max-version="33"') }),
        /^calendar 5\.4\.0: it is for Nextcloud 31 to 33, not for 34\.0\.4/,
      ],
      // The store.
      [
        "an app older than the release before has",
        async ({ calendar, root }) => {
          await world.serveNextcloud("34.0.3");
          world.serveStore("34.0.3", [await world.offer("calendar", "5.5.0")]);
          await buildRelease("34.0.3", {
            root,
            cache: mkdtempSync(join(world.folder, "before-")),
            sources: world.sources,
            newest: false,
            say: () => {},
          });
          await calendar({});
        },
        /^calendar: the app store offers 5\.4\.0, but release 34\.0\.3 has 5\.5\.0 \(release\/locks\/nextcloud-34\.0\.3\.json\); Nextcloud refuses an older app/,
      ],
      [
        "a list without the app",
        ({ routes }) => void routes.set(`/api/v1/platform/${VERSION}/apps.json`, "[]"),
        /^calendar: the app store has it not for Nextcloud 34\.0\.4/,
      ],
      [
        "a list that is none",
        ({ routes }) => void routes.set(`/api/v1/platform/${VERSION}/apps.json`, "<html>"),
        /apps\.json is not the app store's list/,
      ],
      [
        "an app that only previews fit",
        ({ calendar }) => calendar({ nightly: true }),
        /^calendar: none of its 1 versions in the app store fits Nextcloud 34\.0\.4/,
      ],
    ];

    it.each(CASES)("%s", async (_, change, says) => {
      const { site, sources } = world;
      site.routes.clear();
      const root = world.repository(["calendar"]);
      const cache = mkdtempSync(join(world.folder, "cache-"));
      await world.serveNextcloud(VERSION);
      const calendar: Scene["calendar"] = async (changes, version = "5.4.0") =>
        world.serveStore(VERSION, [await world.offer("calendar", version, changes)]);
      await calendar({});
      await change({ world, routes: site.routes, root, calendar });
      const catalog = readFileSync(join(root, "spaces/catalog.yaml"), "utf8");
      const locks = globSync("release/locks/*", { cwd: root });

      const build = buildRelease(VERSION, { root, cache, sources, newest: false, say: () => {} });
      await expect(build).rejects.toThrow(says);
      expect(readFileSync(join(root, "spaces/catalog.yaml"), "utf8")).toBe(catalog);
      expect(globSync("release/locks/*", { cwd: root })).toEqual(locks);
      expect(existsSync(join(cache, "archives"))).toBe(false);
      expect(readdirSync(cache)).toEqual(["downloads"]);
      expect(globSync(join(world.folder, "**/evil.php"))).toEqual([]);
    });

    it("what was refused is asked for again, and a right one is taken", async () => {
      const root = world.repository([]);
      const cache = mkdtempSync(join(world.folder, "cache-"));
      const right = await world.serveNextcloud(VERSION);
      world.serveStore(VERSION, []);
      const build = () =>
        buildRelease(VERSION, { root, cache, sources: world.sources, newest: false, say: () => {} });
      world.site.routes.set(SERVER, flipped(right, 1000));
      await expect(build()).rejects.toThrow("its signature does not fit its content");
      world.site.routes.set(SERVER, right);
      await expect(build()).resolves.toMatch(/\.tar\.zst$/);
    });

    it("an archive of Nextcloud that is signed, but not the one of the lock file", async () => {
      const root = world.repository([]);
      await world.serveNextcloud(VERSION);
      world.serveStore(VERSION, []);
      const build = (cache: string) =>
        buildRelease(VERSION, { root, cache, sources: world.sources, newest: false, say: () => {} });
      await build(mkdtempSync(join(world.folder, "cache-")));
      await world.serveNextcloud(VERSION, { more: { "nextcloud/lib/another.php": "" } });
      await expect(build(mkdtempSync(join(world.folder, "cache-")))).rejects.toThrow(
        /it is signed, but it is not the archive that the lock file has/,
      );
    });

    it("an authority that this machine trusts for websites is nobody for apps", async () => {
      const website = await TestAuthority.make("Website");
      const trusted = mkdtempSync(join(world.folder, "trusted-"));
      mkdirSync(trusted, { recursive: true });
      writeFileSync(join(trusted, "root.pem"), website.root.toString("pem"));
      writeFileSync(join(trusted, "code.pem"), website.intermediate.toString("pem"));
      execaSync("openssl", ["rehash", trusted]);
      const before = process.env.SSL_CERT_DIR;
      process.env.SSL_CERT_DIR = trusted;
      onTestFinished(() => {
        if (before === undefined) delete process.env.SSL_CERT_DIR;
        else process.env.SSL_CERT_DIR = before;
      });
      const certificate = await website.certify("calendar", world.keys.publicKey);
      const crl = await website.revocations([]);
      await world.serveNextcloud(VERSION, { revocations: `${await world.authority.revocations([])}${crl}` });
      world.serveStore(VERSION, [await world.offer("calendar", "5.4.0", { certificate })]);
      const root = world.repository(["calendar"]);
      const cache = mkdtempSync(join(world.folder, "cache-"));
      await expect(
        buildRelease(VERSION, { root, cache, sources: world.sources, newest: false, say: () => {} }),
      ).rejects.toThrow("calendar: its certificate is not of Nextcloud's authority.");
    });

    it("the real app store may not send to an address without TLS", () => {
      const archive = Buffer.from("");
      const signature = signApp(archive, world.keys.privateKey);
      const release = (download: string) => ({
        version: "1.0.0",
        download,
        signature,
        platformVersionSpec: "*",
        phpVersionSpec: "*",
        isNightly: false,
      });
      const choose = (download: string) =>
        newestRelease(
          "calendar",
          { id: "calendar", certificate: "", releases: [release(download)] },
          VERSION,
          "https://apps.nextcloud.com/api/v1",
        );
      expect(() => choose("http://example.org/calendar.tar.gz")).toThrow("which is no https address");
      expect(() => choose("file:///etc/passwd")).toThrow("which is no https address");
      expect(choose("https://example.org/calendar.tar.gz").version).toBe("1.0.0");
    });
  },
);
