// prepare-release, with Nextcloud and PostgreSQL faked.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeRelease } from "../../support/fake-release.ts";
import { onPath } from "../../support/fakes.ts";

const PREPARED = "var/lib/framaspace/releases/34.0.4";
let folder: string;
let ops: FakeRelease;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "prepare-release-"));
  ops = new FakeRelease(join(folder, "machine"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const failed = (stderr: string) => ({ exitCode: 1, stdout: "", stderr });
const prepare = async (...words: string[]) => {
  const { exitCode, stdout, stderr } = await ops.prepare(words.length > 0 ? words : undefined);
  return { exitCode, stdout, stderr };
};
const done = { exitCode: 0, stdout: "release 34.0.4 prepared", stderr: "" };
const nothing = { exitCode: 0, stdout: "", stderr: "" };

describe.skipIf(!onPath("flock"))("prepare-release (flock on PATH)", () => {
  it("has Nextcloud install itself, and keeps what spaces begin with", async () => {
    expect(await prepare()).toEqual(done);
    const text = (name: string) => readFileSync(ops.at(`${PREPARED}/${name}`), "utf8");
    expect(text("version")).toBe("34.0.4.1\n");
    expect(text("apps")).toBe("deck files office\n");
    expect(text("schema.sql")).toContain("INSERT INTO framaspace VALUES ('version', '34.0.4.1')");
    expect(text("schema.sql")).toContain("TRUNCATE %I CASCADE");
    expect(ops.lines("asked").map((line) => line.replaceAll(ops.root, ""))).toEqual([
      "maintenance:install --disable-admin-user --data-dir=/srv/spaces/release-34.0.4/data --database=pgsql --database-host=postgres-1,postgres-2 --database-port=5432 --database-name=golden_34_0_4 --database-user=golden_34_0_4 --database-pass=",
      "app:enable deck office",
      "config:app:set registration admin_approval_required --value=yes --type=boolean",
      "background:cron",
      "db:add-missing-columns",
      "db:add-missing-primary-keys",
      "db:add-missing-indices",
      "maintenance:repair --include-expensive",
      "config:app:set richdocuments preview_generation --value=no",
      "config:app:set richdocuments public_wopi_url --value=https://collabora.example.org",
      "config:app:set richdocuments wopi_allowlist --value=10.0.41.0/24",
      "config:app:set richdocuments wopi_url --value=http://office-1:9980",
      "integrity:check-core --output=json",
      "integrity:check-app --all --output=json",
    ]);
  });

  it("says how its files differ from what their makers signed, and keeps all of it", async () => {
    // As Nextcloud 33.0.3 says it.
    const file = { expected: "7a55", current: "" };
    const core = {
      INVALID_HASH: { "core/fonts/NotoSans-Bold.ttf": file },
      FILE_MISSING: { "dist/core-common.js": file },
    };
    writeFileSync(ops.at("core"), `[nextcloud][PHP][3] {"level":3}\n${JSON.stringify(core)}\n`);
    writeFileSync(ops.at("core-ends"), "1");
    const text = { EXTRA_FILE: { "js/a.js": file, "js/b.js": file } };
    const deck = { EXCEPTION: { class: "InvalidSignatureException", message: "Certificate is not valid." } };
    writeFileSync(
      ops.at("apps"),
      `text: 1 errors found:\n${JSON.stringify(text)}\nregistration: App signature not found, skipping app integrity check\ndeck: 1 errors found:\n${JSON.stringify(deck)}\n`,
    );
    writeFileSync(ops.at("apps-ends"), "1");
    expect(await prepare()).toEqual({
      ...done,
      stderr:
        'warning: release 34.0.4: 5 differences from what its makers signed: core: INVALID_HASH core/fonts/NotoSans-Bold.ttf, core: FILE_MISSING dist/core-common.js, deck: Certificate is not valid., and 2 more. Move no wave to it; see /var/lib/framaspace/releases/34.0.4/integrity.json, and docs/releases.md: "If its files differ"',
    });
    expect(JSON.parse(readFileSync(ops.at(`${PREPARED}/integrity.json`), "utf8"))).toEqual({
      signed: true,
      differences: [
        "core: INVALID_HASH core/fonts/NotoSans-Bold.ttf",
        "core: FILE_MISSING dist/core-common.js",
        "deck: Certificate is not valid.",
        "text: EXTRA_FILE js/a.js",
        "text: EXTRA_FILE js/b.js",
      ],
      unsignedApps: ["registration"],
    });
    expect(readFileSync(ops.at(`${PREPARED}/checksums`), "utf8")).toMatch(/ {2}integrity\.json$/m);
    expect(readFileSync(ops.at(`${PREPARED}/schema.sql`), "utf8")).toContain("oc.integritycheck.checker");
    // The next run has nothing to do, and nothing to say.
    expect(await prepare()).toEqual(nothing);
    ops.catalog({ acceptedReleases: ["34.0.4"] });
    writeFileSync(ops.at(`${PREPARED}/key`), "");
    expect((await prepare()).stderr).toMatch(
      /and 2 more\. They are accepted; all of them: \/var\/lib\/framaspace\/releases\/34\.0\.4\/integrity\.json$/,
    );
  });

  it.each([
    ["1", JSON.stringify({ EXCEPTION: { class: "E", message: "Signature data not found." } })],
    ["2", "integrity:check-core can not be used on git checkouts"],
  ])("warns of a release that nobody signed: status %s", async (status, said) => {
    writeFileSync(ops.at("core"), `${said}\n`);
    writeFileSync(ops.at("core-ends"), status);
    expect(await prepare()).toEqual({
      ...done,
      stderr: "warning: release 34.0.4: not signed, so its integrity can't be checked",
    });
    expect(JSON.parse(readFileSync(ops.at(`${PREPARED}/integrity.json`), "utf8"))).toEqual({
      signed: false,
      differences: [],
      unsignedApps: [],
    });
    expect(ops.lines("asked").at(-1)).toBe("integrity:check-core --output=json");
  });

  it.each(["core", "apps"])(
    "keeps nothing of which it does not know: Nextcloud cannot check %s",
    async (part) => {
      writeFileSync(ops.at(`${part}-ends`), "255");
      expect((await prepare()).stderr).toMatch(
        /^release 34\.0\.4, integrity: occ integrity:check-\w+ ended with status 254; the end of what it said:/,
      );
      expect(existsSync(ops.at(PREPARED))).toBe(false);
    },
  );

  it("leaves neither a database nor a password behind", async () => {
    await prepare();
    expect(Object.keys(ops.state()).filter((path) => !path.startsWith(PREPARED))).toEqual([]);
    expect(readFileSync(ops.at("command-lines"), "utf8")).not.toMatch(/PASSWORD/);
  });

  it("does nothing if what it made is complete and made from the same", async () => {
    await prepare();
    rmSync(ops.at("asked"));
    expect(await prepare()).toEqual(nothing);
    expect(existsSync(ops.at("asked"))).toBe(false);
  });

  it.each<[string, () => void]>([
    ["another archive", () => writeFileSync(ops.at("srv/releases/.34.0.4.sha256"), "of-another\n")],
    ["another list of apps", () => ops.catalog({ apps: ["deck"] })],
    ["another program", () => writeFileSync(ops.at("prepare-release"), "//\n", { flag: "a" })],
    ["a damaged schema", () => writeFileSync(ops.at(`${PREPARED}/schema.sql`), "half")],
  ])("makes it again after %s, and has one folder then", async (_, change) => {
    await prepare();
    const before = Object.keys(ops.state());
    change();
    expect(await prepare()).toEqual(done);
    expect(Object.keys(ops.state())).toEqual(before);
    expect(await prepare()).toEqual(nothing);
  });

  it("is not made again by what spaces do not begin with", async () => {
    await prepare();
    ops.catalog({ cron: { jobsPerWorker: 9 } });
    expect(await prepare()).toEqual(nothing);
  });

  it("says which apps of the catalog a release lacks, before anything is changed", async () => {
    ops.catalog({ apps: ["deck", "forms"], appsOptional: ["polls"] });
    expect(await prepare()).toEqual(
      failed(
        "release 34.0.4: it lacks forms polls, which spaces/catalog.yaml lists under apps or appsOptional; nothing was changed. Build the app into the archive (apps/<name>), or take it off the list",
      ),
    );
    expect(ops.state()).toEqual({});
  });

  it("names the step that failed, with the end of what Nextcloud said, and begins again the next time", async () => {
    writeFileSync(ops.at("fails"), "background:cron");
    const { exitCode, stdout, stderr } = await prepare();
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr.split("\n").slice(0, 2)).toEqual([
      "release 34.0.4, install: occ background:cron ended with status 5; the end of what it said:",
      "occ maintenance:install",
    ]);
    expect(stderr.split("\n").at(-1)).toBe("no luck");
    rmSync(ops.at("fails"));
    expect(await prepare()).toEqual(done);
  });

  it("keeps nothing that holds accounts", async () => {
    writeFileSync(ops.at("accounts"), "1\n");
    expect((await prepare()).stderr).toMatch(/^release 34\.0\.4: what it installs holds accounts or paths/);
    expect(existsSync(ops.at(PREPARED))).toBe(false);
  });

  it("refuses a release that is not there, and what is none", async () => {
    expect(await prepare("35.0.2")).toEqual(
      failed("release 35.0.2: it is not on this machine; run up for the platform"),
    );
    expect(await prepare("../etc")).toEqual(failed("prepare-release: write a version such as 34.0.4"));
  });
});
