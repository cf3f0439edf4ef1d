// docs/releases.md in the lab, with real releases: from archives that are signed and published to spaces that serve
// them. A download server and an app store on loopback play Nextcloud's, with an OpenPGP key and an authority of their
// own; builds and machines take everything from there. Needs FRAMASPACE_NEXTCLOUD (three archives with a colon between
// them, of which the last takes no chunks of old clients, such as 34.0.1), FRAMASPACE_MINIO and FRAMASPACE_MC.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReleaseWorld } from "../support/release-sources.ts";
import { DOMAIN, nextcloudMissing, storageWords, TestLab } from "../support/suite-lab.ts";

const archives = process.env.FRAMASPACE_NEXTCLOUD?.split(":") ?? [];
const missing = [
  ...nextcloudMissing,
  ...(archives.length === 3 ? [] : ["three archives in FRAMASPACE_NEXTCLOUD"]),
];
const CATALOG = "spaces/catalog.yaml";
const SPACES = ["iris", "lotus"] as const;
const APP = "calendar";

describe.skipIf(missing.length > 0)(
  `releases that are built and served${missing.length > 0 ? ` (skipped: no ${missing.join(", ")})` : ""}`,
  { timeout: 1_800_000 },
  () => {
    const lab = new TestLab("releases", 18461, storageWords(), { fetches: true });
    const cache = mkdtempSync(join(tmpdir(), "framaspace-cache-"));
    let world: ReleaseWorld;
    let versions: string[] = [];

    beforeAll(async () => {
      process.env["XDG_CACHE_HOME"] = cache;
      world = await ReleaseWorld.make();
      await lab.prepare();
      const offer = await world.offer(APP, "5.4.0");
      for (const archive of archives) {
        const version = await world.serveRelease(archive);
        world.serveStore(version, [offer]);
        versions = [...versions, version];
      }
      // The app is this world's. The releases of the repository have no archive.
      await lab.edit(CATALOG, /^apps:\n(?: +- .*\n)+/m, `apps: [activity, ${APP}, photos, viewer]\n`);
      await lab.edit(CATALOG, /^appsOptional:\n(?: +- .*\n)+/m, "appsOptional: []\n");
    });
    afterAll(async () => {
      await lab.remove();
      world.close();
      rmSync(cache, { recursive: true });
    });

    /** Types `build`, and does what its last lines say: serves the archive at the address that the catalog has now. */
    const build = async (version: string, ...more: string[]) => {
      const { server, key, fingerprint, store } = world.sources;
      const words = ["--server", server, "--key", key, "--fingerprint", fingerprint, "--store", store];
      const said = await lab.release("build", version, ...words, ...more);
      const name = basename(/ (\/\S+\.tar\.zst), /.exec(said)?.[1] ?? "");
      world.site.routes.set(`/served/${name}`, readFileSync(join(cache, "framaspace/archives", name)));
      world.site.asked.length = 0;
      return { name, said };
    };
    const moveWaves = async (version: string, ...waves: string[]) => {
      for (const wave of waves)
        await lab.edit(CATALOG, new RegExp(`^  ${wave}: .*$`, "m"), `  ${wave}: ${version}`);
    };
    const versionsServed = () =>
      Promise.all(
        SPACES.map(async (id) => {
          const { body } = await lab.probe(`${id}.${DOMAIN}`, { path: "/status.php" });
          return (JSON.parse(body) as { versionstring: string }).versionstring;
        }),
      );

    test("a lab takes the pinned release from where it is served", async () => {
      const [first = ""] = versions;
      const { name, said } = await build(first, "--serve-at", `${world.site.address}/served`);
      expect(said).toContain(`Nextcloud ${first}: signed by ${world.nextcloud.fingerprint}`);
      expect(said).toContain(`${APP} 5.4.0: signed by its makers`);
      await moveWaves(first, "canary", "early", "main");
      await lab.edit(CATALOG, /^ {2}(34\.0\.4|35\.0\.2):\n {4}state: current\n/gm, "");
      console.log(await lab.up());
      expect(world.site.asked).toEqual([`/served/${name}`]);
      expect(await versionsServed()).toEqual([first, first]);
      const enabled = `occ app:list --output=json | jq -r .enabled.${APP}`;
      for (const id of SPACES) expect(await lab.inside(id, enabled)).toBe("5.4.0");
      expect(await lab.on("ops-1", "try-space iris lotus")).toBe("");
    });

    test("the canary space gets the next release, and the other space stays", async () => {
      const [first = "", second = ""] = versions;
      const { name } = await build(second);
      await moveWaves(second, "canary");
      await lab.up();
      expect(world.site.asked).toEqual([`/served/${name}`]);
      expect(await versionsServed()).toEqual([second, first]);
      expect(await lab.on("ops-1", "try-space iris lotus")).toBe("");
    });

    test("a release that takes no chunks of old clients stops at the first space", async () => {
      const [first = "", second = "", broken = ""] = versions;
      await build(broken);
      await moveWaves(broken, "canary", "early", "main");
      const said = await lab.up().then(
        () => "",
        (error: unknown) => String(error),
      );
      console.log(said.match(/^.*space \w+, upgrade: .*$/gm)?.join("\n"));
      expect(said).toMatch(/Why: .*web-\d answers chunk 1 of old clients with 413/);
      expect(said).toContain("the first space that it was tried on");
      expect(await versionsServed()).toEqual([second, first]);
    });
  },
);
