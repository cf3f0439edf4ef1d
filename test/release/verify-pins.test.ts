// `npm run release -- verify` and `-- outdated` after a build, with everything on loopback.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { buildRelease } from "../../release/build-release.ts";
import { outdated } from "../../release/outdated.ts";
import { verifyPins } from "../../release/verify-pins.ts";
import { onPath } from "../support/fakes.ts";
import { ReleaseWorld, RELEASE_TOOLS } from "../support/release-sources.ts";

describe.skipIf(!onPath(...RELEASE_TOOLS))("what is pinned (gpg, zstd and others on PATH)", () => {
  const VERSION = "34.0.4";
  const CONFIGURATION = "Pulumi.demo.yaml";
  const CATALOG = "spaces/catalog.yaml";

  let world: ReleaseWorld;
  beforeAll(async () => {
    world = await ReleaseWorld.make();
    return world.close;
  }, 60_000);

  let root: string;
  let cache: string;
  let archive: string;
  beforeEach(async () => {
    const { site } = world;
    site.routes.clear();
    root = world.repository(["calendar"]);
    cache = mkdtempSync(join(world.folder, "cache-"));
    const change = (file: string, act: (text: string) => string) =>
      writeFileSync(join(root, file), act(readFileSync(join(root, file), "utf8")));
    // Only what is built here: 33.0.9 of the fixture has no archive anywhere.
    change(CATALOG, (text) => text.replace(/ {2}33\.0\.9:\n(?: {4}.*\n)+/, ""));
    for (const [name, bytes] of [
      ["minio", "a server"],
      ["mc", "a client"],
    ] as const) {
      site.routes.set(`/${name}`, bytes);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      change(CONFIGURATION, (text) =>
        text.replace(
          new RegExp(`https://artifacts.example.org/${name}\\n( +)sha256: .*`),
          `${site.address}/${name}\n$1sha256: "${sha256}"`,
        ),
      );
    }
    await world.serveNextcloud(VERSION);
    world.serveStore(VERSION, [await world.offer("calendar", "5.4.0")]);
    archive = await buildRelease(VERSION, {
      root,
      cache,
      sources: world.sources,
      newest: false,
      serveAt: site.address,
      say: () => {},
    });
    site.routes.set(`/${archive.split("/").at(-1)}`, readFileSync(archive));
  });

  describe.skipIf(!onPath("minisign"))("verify (minisign on PATH)", () => {
    const verify = async (fresh = false) => {
      const lines: string[] = [];
      const faults = await verifyPins({
        root,
        cache: fresh ? mkdtempSync(join(world.folder, "fresh-")) : cache,
        env: "demo",
        sources: world.sources,
        say: (line) => void lines.push(line),
      });
      return { faults, lines };
    };

    it("finds everything as it was, on another machine, too", async () => {
      expect(await verify(true)).toEqual({
        faults: 0,
        lines: [
          "✔ minio: is what was pinned",
          "✔ mc: is what was pinned",
          "✔ release 34.0.4: is what was pinned, and what its lock file says",
          `✔ Nextcloud 34.0.4: is signed by ${world.nextcloud.fingerprint}`,
          "✔ calendar 5.4.0, of 34.0.4: is signed by its makers, whose certificate is valid",
        ],
      });
    });

    it("names each that is not, and looks at the others all the same", async () => {
      world.site.routes.set("/mc", "another client");
      world.site.routes.set(`/${archive.split("/").at(-1)}`, "another archive");
      world.site.routes.set("/apps/calendar-5.4.0.tar.gz", "another app");
      const { faults, lines } = await verify(true);
      expect(faults).toBe(3);
      expect(lines.map((line) => line.slice(0, 1)).join("")).toBe("✔✘✘✔✘");
      expect(lines[1]).toMatch(
        /^✘ mc: http.*\/mc serves a file with SHA-256 [0-9a-f]{64}, not the pinned [0-9a-f]{64}\./,
      );
      expect(lines[4]).toBe("✘ calendar 5.4.0, of 34.0.4: calendar: its signature does not fit its archive.");
    });

    it("finds a certificate that was revoked since, by the list of a newer Nextcloud", async () => {
      await world.serveNextcloud("34.0.5", { revoked: ["2001"] });
      world.serveStore("34.0.5", [
        await world.offer("calendar", "5.4.1", {
          certificate: await world.authority.certify("calendar", world.keys.publicKey, {
            serialNumber: "2002",
          }),
        }),
      ]);
      await buildRelease("34.0.5", { root, cache, sources: world.sources, newest: false, say: () => {} });
      const { lines } = await verify();
      expect(lines).toContain(
        "✔ calendar 5.4.1, of 34.0.5: is signed by its makers, whose certificate is valid",
      );
      expect(lines).toContain(
        "✘ calendar 5.4.0, of 34.0.4: calendar: its certificate is revoked by Nextcloud.",
      );
    });

    it("says what is not pinned at all", async () => {
      writeFileSync(
        join(root, CATALOG),
        readFileSync(join(root, CATALOG), "utf8").replaceAll(/ {4}(url|sha256): .*\n/g, ""),
      );
      const { faults, lines } = await verify();
      expect([faults, lines[2]]).toEqual([
        1,
        "✘ release 34.0.4: is not pinned; `npm run check` says what to type.",
      ]);
    });
  });

  describe("outdated", () => {
    const cycle = (major: number, latest: string, eol: string | boolean) => ({
      cycle: String(major),
      latest,
      eol,
    });
    const ask = async (today = "2026-11-29") => {
      const lines: string[] = [];
      const { address } = world.site;
      const status = await outdated({
        root,
        cache,
        env: "demo",
        sources: world.sources,
        news: {
          cycles: `${address}/cycles.json`,
          advisories: `${address}/advisories.json`,
          mc: `${address}/mc.sha256sum`,
          minio: `${address}/minio.json`,
        },
        today,
        say: (line) => void lines.push(line),
      });
      return { status, lines };
    };
    const OLD = "RELEASE.2025-10-15T17-29-55Z";
    const NEW = "RELEASE.2026-06-18T00-00-00Z";

    beforeEach(() => {
      const { routes, address } = world.site;
      routes.set(
        "/cycles.json",
        JSON.stringify([cycle(35, "35.0.2", "2027-09-30"), cycle(34, VERSION, "2027-06-30")]),
      );
      routes.set("/advisories.json", "[]");
      routes.set("/mc.sha256sum", `${"a".repeat(64)} mc.${OLD}\n`);
      routes.set("/minio.json", JSON.stringify({ tag_name: OLD }));
      const file = join(root, CONFIGURATION);
      writeFileSync(
        file,
        readFileSync(file, "utf8")
          .replace(`${address}/minio`, `${address}/minio.${OLD}`)
          .replace(`${address}/mc`, `https://dl.min.io/client/mc.${OLD}`),
      );
    });

    it("says in words that nothing is newer", async () => {
      expect(await ask()).toEqual({ status: 0, lines: ["Nothing is newer than what is pinned."] });
    });

    it("names newer versions, with the faults that they close, and the artifacts'", async () => {
      const { routes } = world.site;
      routes.set("/cycles.json", JSON.stringify([cycle(34, "34.0.5", "2027-06-30")]));
      const closed = (name: string, patched_versions: string, ghsa_id: string) => ({
        ghsa_id,
        severity: "high",
        summary: "Somebody reads what is another's",
        vulnerabilities: [
          { package: { ecosystem: "", name }, vulnerable_version_range: "", patched_versions },
        ],
      });
      routes.set(
        "/advisories.json",
        JSON.stringify([
          closed("Server", "33.0.9, 34.0.5", "GHSA-aaaa"),
          closed("Server", "33.0.7, 34.0.2", "GHSA-bbbb"),
          closed("Calendar app", "5.4.2", "GHSA-cccc"),
          closed("Deck", "5.9.9", "GHSA-dddd"),
        ]),
      );
      world.serveStore(VERSION, [await world.offer("calendar", "5.5.0")]);
      routes.set("/mc.sha256sum", `${"a".repeat(64)} mc.${NEW}\n`);
      routes.set("/minio.json", JSON.stringify({ tag_name: NEW }));
      expect(await ask()).toEqual({
        status: 2,
        lines: [
          "- Nextcloud 34.0.4: 34.0.5 is out, with security fixes: GHSA-aaaa (high) Somebody reads what is another's; type npm run release -- build 34.0.5",
          "- calendar 5.4.0, in release 34.0.4: 5.5.0 is out, with security fixes: GHSA-cccc (high) Somebody reads what is another's",
          "- release 34.0.4 gets them by npm run release -- build 34.0.4 --newest",
          `- minio ${OLD}: ${NEW} is out; serve it, and type npm run release -- pin minio --file FILE --url ADDRESS`,
          `- mc ${OLD}: ${NEW} is out; type npm run release -- pin mc --url https://dl.min.io/client/mc.${NEW}`,
        ],
      });
    });

    it.each([
      ["2027-04-30", []],
      ["2027-05-15", ["- Nextcloud 34 gets its last fixes on 2027-06-30; upgrade to 35"]],
      ["2027-07-01", ["- Nextcloud 34 has got its last fixes on 2027-06-30; upgrade to 35"]],
    ])("on %s says of the end of a major what is due", async (today, lines) => {
      expect((await ask(today)).lines.filter((line) => line.includes("fixes"))).toEqual(lines);
    });

    it("names what it could not ask, and says the rest", async () => {
      world.site.routes.delete("/advisories.json");
      world.site.routes.set("/cycles.json", JSON.stringify([cycle(34, "34.0.5", "2027-06-30")]));
      const { status, lines } = await ask();
      expect(status).toBe(1);
      expect(lines[0]).toBe("- Nextcloud 34.0.4: 34.0.5 is out; type npm run release -- build 34.0.5");
      expect(lines[1]).toMatch(/^- not asked: Nextcloud's advisories: http.*\/advisories\.json answers 404/);
    });
  });
});
