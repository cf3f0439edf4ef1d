// A real Nextcloud in the lab: what a person, a sync client and a browser do with a space, and what nobody may do with
// another space. Needs FRAMASPACE_NEXTCLOUD (one release archive; or an older and a newer one with a colon between them;
// or also a third, still newer, that takes no chunks of old clients, such as 34.0.1), FRAMASPACE_MINIO and FRAMASPACE_MC.
// FRAMASPACE_IMAGINARY adds previews, and an installed Chromium adds the tests in a browser.
import { execa } from "execa";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { isUpgrading } from "../../bench/measure-spaces.ts";
import { PACKAGES } from "../../infra/machine/packages.ts";
import { openLab } from "../../lab/lab.ts";
import { startDaemon } from "../../lab/lifecycle.ts";
import { halt, insideMachine } from "../../lab/machine.ts";
import {
  DOMAIN,
  givenLab,
  nextcloudMissing as missing,
  nextcloudWords,
  ownLab,
} from "../support/suite-lab.ts";
import { type } from "../support/runbook.ts";
import { FILES, slowBody, UPLOADS, Visitor } from "../support/visitor.ts";

const {
  FRAMASPACE_IMAGINARY: imaginary,
  FRAMASPACE_SCREENSHOTS: pictures = join(tmpdir(), "framaspace-screenshots"),
} = process.env;
const browser = ["chromium", "chromium-browser", "google-chrome"]
  .flatMap((name) => (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name)))
  .find((path) => existsSync(path));

const ROOT = join(import.meta.dirname, "../..");
const WORDS = [...nextcloudWords(), ...(imaginary === undefined ? [] : ["--imaginary", imaginary])];
const lab = ownLab("nextcloud", 18446, WORDS);

/**
 * Whether the lab is new. Spaces of a used lab may be on any release, have spent their mails, and remember wrong
 * passwords.
 */
const isNew = !givenLab || !existsSync(openLab(lab.name).directory);

const [SMALL, LARGE] = ["iris", "lotus"];
const SPACES = [SMALL, LARGE] as const;
const CONTACTS: Readonly<Record<string, string>> = {
  [SMALL]: "bureau@iris.example",
  [LARGE]: "contact@lotus.example",
};
/** The passwords that the administrators choose in this run. */
const passwords = Object.fromEntries(
  SPACES.map((id) => [id, `Aa1-${randomBytes(18).toString("base64url")}`]),
);

const ops = (command: string) => lab.on("ops-1", command);
const inside = lab.inside.bind(lab);
const occ = (id: string, words: string) => inside(id, `occ ${words}`);
/**
 * Nextcloud slows down and then refuses a client after some refusals. All visitors of the lab have the same address.
 */
const forgive = (id: string) => occ(id, "security:bruteforce:reset 198.51.100.1");
const settings = (id: string, key: string) => ops(`jq -r .${key} /srv/spaces/${id}/config/space.json`);
const host = (id: string) => `${id}.${DOMAIN}`;
const stranger = (id: string) => new Visitor(lab.port, host(id));
const client = (id: string, user = "admin", password = passwords[id] ?? "") =>
  new Visitor(lab.port, host(id), { user, password });
const sha256 = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("hex");

/** A script that sends the form of the login page, for a release without the script that draws the form. */
const formOf = (fields: Record<string, string>) => `
  const form = Object.assign(document.createElement("form"), { method: "post" });
  const fields = { ...${JSON.stringify(fields)}, timezone: "Europe/Paris", timezone_offset: "1", requesttoken: document.head.dataset.requesttoken };
  for (const [name, value] of Object.entries(fields))
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  document.body.append(form);
  form.submit();`;

/** Writes the config.php of the page, with the values that a person would put in place of its dots and examples. */
const FILL_IN = String.raw`<?php
$space = json_decode(file_get_contents('space.json'), true);
$manifest = json_decode(file_get_contents('manifest.json'), true);
$platform = json_decode(file_get_contents('/etc/framaspace/platform.json'), true);
echo strtr(file_get_contents('config.php'), [
    '…nextcloud.instanceId…' => $space['nextcloud']['instanceId'],
    '…nextcloud.passwordSalt…' => $space['nextcloud']['passwordSalt'],
    '…nextcloud.secret…' => $space['nextcloud']['secret'],
    '…release…' => $manifest['release'],
    'https://cloud.example.org' => 'http://127.0.0.1:8090',
    'cloud.example.org' => '127.0.0.1:8090',
    'localhost' => $platform['database']['hosts'],
    's3.example.org' => $platform['s3']['hosts'][0] . "', 'port' => 9000, 'use_ssl' => true, 'region' => 'us-east-1",
    "'key' => '…'" => "'key' => 'cloud'",
    "'…'" => "'" . getenv('password') . "'",
]);
`;

/** The links to choose a password in all mails to an address, newest last. */
async function links(address: string): Promise<URL[]> {
  const mails = (await lab.lab("mail")).split("─".repeat(80)).filter((text) => text.includes(address));
  return mails.flatMap((text) =>
    [...text.matchAll(/https:\/\/\S+\/lostpassword\/reset\/form\/\S+/g)].map(([link]) => new URL(link)),
  );
}

/** The objects of a space's bucket, as MinIO's administrator sees them: key → size. */
async function objects(id: string): Promise<Map<string, number>> {
  const lines = await ops(`mc ls --json --recursive serving/space-${id} | jq -r '"\\(.key) \\(.size)"'`);
  return new Map(
    lines
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split(" "))
      .map(([key = "", size]) => [key, Number(size)]),
  );
}

describe.skipIf(missing.length > 0)(
  `a real Nextcloud${missing.length > 0 ? ` (skipped: ${missing.join(", ")} not set)` : ""}`,
  { timeout: 900_000 },
  () => {
    const content = randomBytes(300_000);
    /** The releases of the archives, oldest first. */
    let releases: string[] = [];

    beforeAll(async () => {
      await lab.prepare();
      if (!givenLab) await lab.up();
      if (!isNew) for (const id of SPACES) await forgive(id);
      releases = (await ops("cut -d' ' -f1 /etc/framaspace/releases | sort -V")).split("\n");
      console.log(`Nextcloud ${releases.join(" and ")}`);
    });
    afterAll(() => lab.remove());

    test.each(SPACES)("%s is installed with the real release, not with the fake", async (id) => {
      const { status, text } = await stranger(id).ask("GET", "/status.php");
      expect(status).toBe(200);
      expect(JSON.parse(text)).toMatchObject({
        installed: true,
        maintenance: false,
        needsDbUpgrade: false,
        versionstring: releases[0],
        productname: "Nextcloud",
      });
    });

    test("a redirect keeps the host and port of the visitor", async () => {
      const { status, headers } = await stranger(SMALL).ask("GET", "/");
      expect(status).toBe(302);
      expect(headers.location).toBe(`https://${host(SMALL)}:${lab.port}/login`);
      const { headers: calendar } = await stranger(SMALL).ask("GET", "/.well-known/caldav");
      expect(new URL(calendar.location ?? "", `https://${host(SMALL)}`).pathname).toBe("/remote.php/dav/");
    });

    test.each(SPACES)(
      "%s: the invited administrator chooses a password with the link, and logs in",
      async (id) => {
        if (!isNew) await occ(id, "user:welcome --reset-password admin");
        const link = (await links(CONTACTS[id] ?? "")).at(isNew ? 0 : -1);
        expect(link?.host).toBe(`${host(id)}:${lab.port}`);
        if (!link) return;
        const forged = new URL(link.href.replace(/form\/[^/]+/, `form/${randomBytes(10).toString("hex")}`));
        const { text: refused } = await stranger(id).choosePassword(forged, passwords[id] ?? "");
        expect(JSON.parse(refused)).toMatchObject({ status: "error" });
        const { text } = await stranger(id).choosePassword(link, passwords[id] ?? "");
        expect(JSON.parse(text)).toMatchObject({ status: "success" });
        const again = await stranger(id).choosePassword(link, "Another-password-1");
        expect(JSON.parse(again.text)).toMatchObject({ status: "error" });

        const person = stranger(id);
        const landed = await person.logIn("admin", passwords[id] ?? "");
        expect(landed.status).toBe(303);
        expect(landed.headers.location).not.toContain("/login");
        const files = await person.ask("GET", "/apps/files/");
        expect(files.status).toBe(200);
        expect(files.text).toContain('data-user="admin"');
        const wrong = await stranger(id).logIn("admin", "Wrong-password-1");
        expect(wrong.headers.location).toContain("/login");
        await forgive(id);
      },
    );

    test("nobody can install apps, use the web updater or read logs", async () => {
      const admin = stranger(SMALL);
      await admin.logIn("admin", passwords[SMALL] ?? "");
      const requesttoken = await admin.requestToken("/apps/files/");
      const install = await admin.ask("POST", "/settings/apps/enable", {
        headers: { "content-type": "application/json", requesttoken },
        body: JSON.stringify({ appIds: ["integration_github"], groups: [] }),
      });
      expect(install.status).not.toBe(200);
      for (const path of ["/updater/index.php", "/apps/logreader/", "/settings/admin/serverinfo"])
        expect((await admin.ask("GET", path)).status, path).not.toBe(200);
    });

    describe("files", () => {
      test("a file uploaded by WebDAV is one object in the bucket of its space, and reads back the same", async () => {
        const before = { [SMALL]: await objects(SMALL), [LARGE]: await objects(LARGE) };
        const put = await client(LARGE).ask("PUT", `${FILES}/rapport.bin`, { body: content });
        expect([201, 204]).toContain(put.status);
        const key = `urn:oid:${Number.parseInt(/^\d+/.exec(String(put.headers["oc-fileid"]))?.[0] ?? "", 10)}`;
        const after = await objects(LARGE);
        expect(after.get(key)).toBe(content.length);
        expect(await ops(`mc cat serving/space-${LARGE}/${key} | sha256sum | cut -d' ' -f1`)).toBe(
          sha256(content),
        );
        // Meanwhile, Nextcloud may have added a preview or a script to the other space.
        const others = [...(await objects(SMALL))].filter(([other]) => !before[SMALL]?.has(other));
        expect(others.map(([, size]) => size)).not.toContain(content.length);
        const read = await client(LARGE).ask("GET", `${FILES}/rapport.bin`);
        expect(sha256(read.bytes)).toBe(sha256(content));
        console.log(`${key} of ${content.length} bytes: one of ${after.size} objects in space-${LARGE}`);
      });

      test("a file of unknown length is complete", async () => {
        const parts = Array.from({ length: 40 }, () => randomBytes(10_000));
        const put = await client(LARGE).ask("PUT", `${FILES}/finder.bin`, { body: parts });
        expect([201, 204]).toContain(put.status);
        const read = await client(LARGE).ask("GET", `${FILES}/finder.bin`);
        expect(sha256(read.bytes)).toBe(sha256(Buffer.concat(parts)));
      });

      test("a large file is uploaded in chunks, and a range of it can be read", async () => {
        const upload = `${UPLOADS}/${randomBytes(8).toString("hex")}`;
        const destination = `https://${host(LARGE)}:${lab.port}${FILES}/film.bin`;
        const headers = { destination, "oc-total-length": String(3 * 6_000_000) };
        const visitor = client(LARGE);
        expect((await visitor.ask("MKCOL", upload, { headers })).status).toBe(201);
        const chunks = Array.from({ length: 3 }, () => randomBytes(6_000_000));
        for (const [index, body] of chunks.entries())
          expect([200, 201]).toContain(
            (await visitor.ask("PUT", `${upload}/${index + 1}`, { headers, body })).status,
          );
        expect([201, 204]).toContain((await visitor.ask("MOVE", `${upload}/.file`, { headers })).status);
        const whole = Buffer.concat(chunks);
        const range = await visitor.ask("GET", `${FILES}/film.bin`, {
          headers: { range: "bytes=5999000-6001000" },
        });
        expect(range.status).toBe(206);
        expect(sha256(range.bytes)).toBe(sha256(whole.subarray(5_999_000, 6_001_001)));
        const read = await visitor.ask("GET", `${FILES}/film.bin`);
        expect(sha256(read.bytes)).toBe(sha256(whole));
      });

      test("calendars, contacts, folders, trash and versions work", async () => {
        const visitor = client(LARGE);
        const propfind = (path: string, depth = "1") => visitor.ask("PROPFIND", path, { headers: { depth } });
        expect((await propfind("/remote.php/dav/calendars/admin/")).status).toBe(207);
        expect((await propfind("/remote.php/dav/addressbooks/users/admin/")).status).toBe(207);
        expect([201, 405]).toContain((await visitor.ask("MKCOL", `${FILES}/Archives`)).status);
        await visitor.ask("PUT", `${FILES}/Archives/note.md`, { body: "one" });
        await visitor.ask("PUT", `${FILES}/Archives/note.md`, { body: "two" });
        expect((await visitor.ask("GET", `${FILES}/Archives/note.md`)).text).toBe("two");
        await visitor.ask("PUT", `${FILES}/weg.txt`, { body: "gone" });
        expect((await visitor.ask("DELETE", `${FILES}/weg.txt`)).status).toBe(204);
        expect((await propfind("/remote.php/dav/trashbin/admin/trash")).text).toContain("weg.txt");
        const listed = await propfind(`${FILES}/`);
        expect(listed.text).toContain("rapport.bin");
        expect(listed.text).not.toContain("weg.txt");
      });

      test.skipIf(imaginary === undefined)(
        `a picture has a preview${imaginary === undefined ? " (skipped: FRAMASPACE_IMAGINARY not set)" : ", made by Imaginary"}`,
        async () => {
          const picture = await stranger(LARGE).ask("GET", "/core/img/favicon-touch.png");
          expect(picture.status).toBe(200);
          await client(LARGE).ask("PUT", `${FILES}/image.png`, { body: picture.bytes });
          const preview = await client(LARGE).ask(
            "GET",
            "/index.php/core/preview.png?file=/image.png&x=64&y=64&a=1",
          );
          expect(preview.status).toBe(200);
          expect(preview.headers["content-type"]).toMatch(/^image\//);
          expect(preview.bytes.length).toBeGreaterThan(100);
        },
      );
    });

    describe("the other space", () => {
      test("does not accept this space's account and password", async () => {
        expect((await client(SMALL, "admin", passwords[LARGE]).ask("PROPFIND", `${FILES}/`)).status).toBe(
          401,
        );
        expect((await client(SMALL).ask("PROPFIND", `${FILES}/`)).status).toBe(207);
        expect((await client(SMALL).ask("GET", `${FILES}/rapport.bin`)).status).toBe(404);
        const landed = await stranger(SMALL).logIn("admin", passwords[LARGE] ?? "");
        expect(landed.headers.location).toContain("/login");
        await forgive(SMALL);
      });

      test("does not accept this space's session under any cookie name", async () => {
        const person = stranger(LARGE);
        await person.logIn("admin", passwords[LARGE] ?? "");
        expect((await person.ask("GET", "/apps/files/")).status).toBe(200);
        const [own, other] = [
          await settings(LARGE, "nextcloud.instanceId"),
          await settings(SMALL, "nextcloud.instanceId"),
        ];
        expect(person.cookies.has(own)).toBe(true);
        const thief = stranger(SMALL);
        for (const [name, value] of person.cookies) thief.cookies.set(name, value);
        thief.cookies.set(other, person.cookies.get(own) ?? "");
        const seen = await thief.ask("GET", "/apps/files/");
        expect(seen.status).not.toBe(200);
        expect(seen.text).not.toContain('data-user="admin"');
        expect((await thief.ask("PROPFIND", `${FILES}/`)).status).toBe(401);
        await forgive(SMALL);
        // One more request as itself: the session was valid all the time.
        expect((await person.ask("GET", "/apps/files/")).status).toBe(200);
      });

      test("does not open its bucket to this space's key", async () => {
        const as = (id: string, bucket: string) =>
          ops(
            `export MC_HOST_a="https://${id}:$(jq -r .s3.secret /srv/spaces/${id}/config/space.json)@$(jq -r '.s3.hosts[0]' /etc/framaspace/platform.json):9000"; mc --config-dir /tmp/mc-a ls a/space-${bucket} 2>&1 | tail -n 1; rm -rf /tmp/mc-a`,
          );
        expect(await as(LARGE, LARGE)).toContain("urn:oid:");
        expect(await as(LARGE, SMALL)).toContain("Access Denied");
        expect(await as(SMALL, LARGE)).toContain("Access Denied");
      });

      test("accepts no more accounts than its plan has", async () => {
        const allowed = Number(await settings(SMALL, "limits.accounts"));
        const answers: string[] = [];
        for (let n = 2; n <= allowed + 1; n++) {
          const { text } = await client(SMALL).ask("POST", "/ocs/v2.php/cloud/users?format=json", {
            headers: { "content-type": "application/json" },
            body: JSON.stringify({
              userid: `member-${n}`,
              password: `Aa1-${randomBytes(18).toString("base64url")}`,
            }),
          });
          answers.push(/"statuscode":(\d+)/.exec(text)?.[1] ?? text);
        }
        expect(answers.at(-1)).toBe("107");
        expect(Number(await inside(SMALL, 'sql -c "SELECT count(*) FROM oc_users"'))).toBe(allowed);
      });
    });

    describe.skipIf(browser === undefined)(
      `in a browser${browser === undefined ? " (skipped: no chromium on PATH)" : ""}`,
      () => {
        let page: Page;
        const refused: string[] = [];
        /** What was refused, except files that the release itself lacks. */
        const refusedOfOurs = async () => {
          const checked = refused.splice(0).map(async (what) => {
            const path = /https:\/\/[^/]+\/([\w./-]+)/.exec(what)?.[1];
            if (path === undefined) return [what];
            const there = await lab.on(
              "web-1",
              `[ ! -e '/srv/spaces/${LARGE}/release/${path}' ] || echo there`,
            );
            return there === "there" ? [what] : [];
          });
          return (await Promise.all(checked)).flat();
        };
        const address = (path: string) => `https://${host(LARGE)}:${lab.port}${path}`;
        /**
         * Archives of a release without its largest files lack the main script. Their pages stay as the server sends
         * them.
         */
        let hasScript = false;

        beforeAll(async () => {
          await mkdir(pictures, { recursive: true });
          const started = await chromium.launch({
            ...(browser !== undefined && { executablePath: browser }),
            // It shows only our own pages, and root gets no sandbox.
            args: ["--no-sandbox", `--host-resolver-rules=MAP *.${DOMAIN} 127.0.0.1, EXCLUDE 127.0.0.1`],
          });
          const context = await started.newContext({
            ignoreHTTPSErrors: true,
            viewport: { width: 1280, height: 800 },
            locale: "fr-FR",
          });
          page = await context.newPage();
          page.on("console", (message) => {
            if (/Content.Security.Policy|MIME type|mixed content/i.test(message.text()))
              refused.push(message.text());
          });
          page.on("response", (response) => {
            if (response.status() >= 400 && !response.url().endsWith(".map"))
              refused.push(`${response.status()} ${response.url()}`);
          });
          hasScript = (await stranger(LARGE).ask("GET", "/dist/core-common.js")).status === 200;
          return () => started.close();
        });

        test("the login page is in French, with the name and styles of the space, and nothing is refused", async () => {
          await page.goto(address("/"));
          if (hasScript) await page.waitForSelector("input[name=password]");
          else await page.waitForTimeout(3000);
          await page.screenshot({ path: join(pictures, "login.png") });
          expect(page.url()).toBe(address("/login"));
          expect(await page.title()).toBe("S’identifier – Collectif Lotus");
          expect(await page.evaluate("getComputedStyle(document.body).backgroundImage")).toMatch(/url\(/);
          expect(await page.evaluate("document.styleSheets.length")).toBeGreaterThanOrEqual(3);
          expect(await refusedOfOurs()).toEqual([]);
        });

        test("a person logs in and sees the files", async () => {
          if (hasScript) {
            await page.fill("input[name=user]", "admin");
            await page.fill("input[name=password]", passwords[LARGE] ?? "");
            await page.click("button[type=submit]");
          } else await page.evaluate(formOf({ user: "admin", password: passwords[LARGE] ?? "" }));
          await page.waitForURL((url) => !url.pathname.startsWith("/login"));
          await page.goto(address("/apps/files/"));
          if (hasScript) await page.waitForSelector("text=rapport");
          else await page.waitForTimeout(3000);
          await page.screenshot({ path: join(pictures, "files.png") });
          expect(await page.title()).toMatch(/Fichiers.*Collectif Lotus/);
          expect(await page.getAttribute("head", "data-user")).toBe("admin");
          expect(await refusedOfOurs()).toEqual([]);
          console.log(
            `screenshots in ${pictures}${hasScript ? "" : "; the release lacks dist/core-common.js, so its pages are without what that script draws"}`,
          );
        });
      },
    );

    describe("an export that people take away", () => {
      /**
       * The blocks of docs/take-your-space-away.md, as a person would type them. The example of the page is this very
       * space.
       */
      const blocks = [
        ...readFileSync(join(ROOT, "docs/take-your-space-away.md"), "utf8").matchAll(
          /^( *)```(sh|php)\n(.*?)^ *```$/gms,
        ),
      ].map(([, indent = "", kind, text = ""]) => ({
        kind,
        text: text.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
      }));
      const typed = (part: string) => {
        const found = blocks.find(
          ({ kind, text }) => (kind === "php") === (part === "$CONFIG") && text.includes(part),
        );
        if (!found) throw new Error(`docs/take-your-space-away.md has no block with ${part}`);
        return found.text;
      };
      /** The file with a new password. Only the role and the user that are made for this test have it, too. */
      const SECRETS = "/root/take/secrets";
      const asStock = `set -e; cd /root/take/lotus; . ${SECRETS}
        export PGHOST=$(jq -r .database.hosts /etc/framaspace/platform.json) PGTARGETSESSIONATTRS=read-write PGSSLMODE=require PGCHANNELBINDING=disable PGUSER=cloud PGPASSWORD=$password
        export MC_HOST_mine="https://cloud:$password@$(jq -r '.s3.hosts[0]' /etc/framaspace/platform.json):9000"`;
      const run = (script: string) => ops(`bash <<'END_OF_TYPED'\n${asStock}\n${script}\nEND_OF_TYPED`);
      const clear = () =>
        ops(
          `[ ! -e /root/take/server ] || kill "$(cat /root/take/server)" 2>/dev/null; rm -rf /root/take /var/www/nextcloud
           DEBIAN_FRONTEND=noninteractive apt-get -q -y purge 'php8.4-*' 2>&1
           printf '%s\n' 'DROP DATABASE IF EXISTS cloud WITH (FORCE);' 'DROP ROLE IF EXISTS cloud;' | psql service=framaspace -q 2>&1
           mc rb --force serving/my-bucket 2>&1; mc admin user remove serving cloud 2>&1; true`,
        );

      beforeAll(async () => {
        await clear();
        // ops-1 is the stock Nextcloud's host. It has no PHP of its own.
        const php = PACKAGES.worker.filter((name) => name.startsWith("php"));
        await ops(
          `DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install ${php.join(" ")}`,
        );
        // A client that stopped in the middle of a file: an export always finds some.
        const upload = `${UPLOADS}/${randomBytes(8).toString("hex")}`;
        const headers = {
          destination: `https://${host(LARGE)}:${lab.port}${FILES}/half.bin`,
          "oc-total-length": "18000000",
        };
        await client(LARGE).ask("MKCOL", upload, { headers });
        await client(LARGE).ask("PUT", `${upload}/1`, { headers, body: randomBytes(6_000_000) });
        await client(LARGE).ask("PUT", `${FILES}/${encodeURIComponent("Été à la mer.txt")}`, {
          body: "sable",
        });
        const said = await ops(`set -o pipefail; export-space ${LARGE} | tail -n 1`);
        const name = z.object({ export: z.string() }).parse(JSON.parse(said)).export;
        await ops(`set -e; umask 077; mkdir -p /root/take; cd /root/take
          mc cp --quiet --recursive serving/archive/${name}/ lotus/ >/dev/null
          echo "password=$(head -c 24 /dev/urandom | base64 | tr +/ -_)" >${SECRETS}; . ${SECRETS}
          printf '%s\n' "CREATE ROLE cloud LOGIN PASSWORD '$password';" 'CREATE DATABASE cloud OWNER cloud TEMPLATE template0;' | psql service=framaspace -q
          mc mb --quiet serving/my-bucket >/dev/null; printf 'cloud\n%s\n' "$password" | mc admin user add serving >/dev/null
          mc admin policy attach serving readwrite --user cloud >/dev/null`);
      });
      afterAll(clear);

      test("is complete by its checksums, and gives each account's files without Nextcloud", async () => {
        await run("sha256sum --quiet --check <(grep -v '  objects/' SHA256SUMS)");
        await run(typed("object::user:"));
        expect(await ops("sha256sum </root/take/lotus/data/admin/rapport.bin | cut -d' ' -f1")).toBe(
          sha256(content),
        );
        expect(await ops("cat '/root/take/lotus/data/admin/Été à la mer.txt'")).toBe("sable");
      });

      test("runs in a stock Nextcloud: the account, its password and its files are there", async () => {
        await run(`${typed("pg_restore")}\n${typed("mine/my-bucket")} >/dev/null`);
        const config = Buffer.from(typed("$CONFIG")).toString("base64");
        const program = Buffer.from(FILL_IN).toString("base64");
        await run(`mkdir -p /var/www; cp -r /srv/releases/${releases[0]} /var/www/nextcloud; chmod -R u+w /var/www/nextcloud; mkdir /var/www/nextcloud/data
          echo ${config} | base64 -d >config.php; echo ${program} | base64 -d >fill-in.php
          export password; php fill-in.php >/var/www/nextcloud/config/config.php
          touch /var/www/nextcloud/data/.ncdata; chown -R www-data:www-data /var/www/nextcloud; chmod 0770 /var/www/nextcloud/data; chmod 0640 /var/www/nextcloud/config/config.php`);
        const stock = "runuser -u www-data --preserve-environment -- env HOME=/var/www/nextcloud/data php";
        const said = await run(
          `cd /var/www/nextcloud; ${stock} occ upgrade 2>&1 || [ $? = 3 ]; ${stock} occ maintenance:data-fingerprint; ${stock} occ user:list
           setsid ${stock} -S 127.0.0.1:8090 -t /var/www/nextcloud >/root/take/server.log 2>&1 </dev/null & echo $! >/root/take/server`,
        );
        expect(said).toContain("admin: Administration");
        const got = await execa(
          process.execPath,
          [
            "bin/lab.ts",
            "--name",
            lab.name,
            "ssh",
            "ops-1",
            "for n in $(seq 50); do curl -s -o /dev/null http://127.0.0.1:8090/status.php && break; sleep 0.2; done; curl -s -K - http://127.0.0.1:8090/remote.php/dav/files/admin/rapport.bin | sha256sum | cut -d' ' -f1",
          ],
          { cwd: lab.tree, input: `user = "admin:${passwords[LARGE]}"\n` },
        );
        expect(got.stdout).toBe(sha256(content));
      });
    });

    describe("a wrong clock", () => {
      /** The services that must restart to see the other time. */
      const SERVICES = {
        web: "php8.4-fpm nginx",
        redis: "redis-server",
        postgres: "postgresql@17-main",
      } as const;
      type Service = keyof typeof SERVICES;
      const LIBRARY = "/usr/local/lib/libfaketime.so.1";
      const VARIABLES = ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"] as const;
      /** Debian starts PostgreSQL with only this environment. */
      const POSTGRES = "/etc/postgresql/17/main/environment";
      /** The program that tells a machine's time, to ops-1 too. */
      const DATE = "/usr/local/bin/date";
      let library = Buffer.alloc(0);

      beforeAll(async () => {
        const folder = await mkdtemp(join(tmpdir(), "framaspace-clock-"));
        await execa("apt-get", ["download", "--quiet=2", "libfaketime"], { cwd: folder });
        await execa("sh", ["-c", "dpkg -x ./*.deb ."], { cwd: folder });
        const { stdout } = await execa("find", [".", "-name", "libfaketime.so.1"], { cwd: folder });
        library = readFileSync(join(folder, stdout));
        await rm(folder, { recursive: true });
      });

      /**
       * All machines share the clock of this one. Changes it for one machine, in the service and in the program that
       * tells the time.
       */
      async function setOff(service: Service, machine: string, seconds: number): Promise<void> {
        const [program = "", ...words] = await insideMachine(openLab(lab.name), machine);
        const write = (path: string, input: Buffer | string) =>
          execa(program, [...words, "sh", "-c", `cat >${path} && chmod 0755 ${path}`], { input });
        const values = [LIBRARY, `${seconds >= 0 ? "+" : ""}${seconds}`, "1"];
        const settings = VARIABLES.map((name, index) => `${name}=${values[index]}`);
        await write(LIBRARY, library);
        await write(DATE, `#!/bin/sh\nexport ${settings.join(" ")}\nexec /usr/bin/date "$@"\n`);
        if (service === "postgres")
          await write(POSTGRES, settings.map((line) => `${line.replace("=", " = '")}'\n`).join(""));
        else await lab.on(machine, `systemctl set-environment ${settings.join(" ")}`);
        await lab.on(machine, `systemctl restart ${SERVICES[service]}`);
      }
      const setRight = (service: Service, machine: string) =>
        lab.on(
          machine,
          `rm -f ${DATE} ${POSTGRES}; systemctl unset-environment ${VARIABLES.join(" ")}; systemctl restart ${SERVICES[service]}; rm -f ${LIBRARY}`,
        );
      const alarms = () => ops("platform-health || true");

      /** The machine that works for the space. The gateways choose its web server. */
      async function working(service: Service): Promise<string> {
        if (service === "postgres") return lab.primary();
        if (service === "redis") return "redis-1";
        return lab.webServerOf(LARGE);
      }

      /** Uploads twenty files and reads each back. Returns how many were kept. */
      async function kept(prefix: string): Promise<number> {
        let count = 0;
        for (let n = 0; n < 20; n++) {
          const path = `${FILES}/${prefix}-${n}.txt`;
          const put = await client(LARGE).ask("PUT", path, { body: `${prefix} ${n}` });
          if (![201, 204].includes(put.status)) continue;
          const read = await client(LARGE).ask("GET", path);
          if (read.text === `${prefix} ${n}`) count++;
        }
        return count;
      }

      test.each([
        ["web", 3600],
        ["web", -3600],
        ["redis", 3600],
        ["redis", -3600],
        ["postgres", 3600],
        ["postgres", -3600],
      ] as const)(
        "%s by %i seconds: an alarm reports it, and nothing remains afterwards",
        async (service, seconds) => {
          const machine = await working(service);
          let meanwhile = 0;
          try {
            await setOff(service, machine, seconds);
            expect(await alarms()).toMatch(
              new RegExp(
                `^${machine} clock: 3(600|599) seconds ${seconds > 0 ? "ahead of" : "behind"} that of ops-1`,
                "m",
              ),
            );
            meanwhile = await kept(`off-${machine}-${seconds}`);
          } finally {
            await setRight(service, machine);
          }
          const began = Date.now();
          await expect
            .poll(async () => (await client(LARGE).ask("PROPFIND", `${FILES}/`)).status, { timeout: 60_000 })
            .toBe(207);
          console.log(
            `${machine} ${seconds} s off: ${meanwhile} of 20 files kept meanwhile, complete ${((Date.now() - began) / 1000).toFixed(1)} s after`,
          );
          await expect.poll(alarms, { timeout: 60_000, interval: 2000 }).not.toContain("clock");
          expect(await kept(`right-${machine}-${seconds}`)).toBe(20);
          const person = stranger(LARGE);
          expect((await person.logIn("admin", passwords[LARGE] ?? "")).headers.location).not.toContain(
            "/login",
          );
          await expect.poll(alarms, { timeout: 120_000, interval: 5000 }).not.toMatch(/^postgres/m);
        },
      );
    });

    test("a space restored to a moment tells its clients, which would otherwise delete newer files", async () => {
      const visitor = client(LARGE);
      const fingerprint = async () => {
        const body = `<?xml version="1.0"?><propfind xmlns="DAV:" xmlns:oc="http://owncloud.org/ns"><prop><oc:data-fingerprint/></prop></propfind>`;
        const { status, text } = await visitor.ask("PROPFIND", FILES, { headers: { depth: "0" }, body });
        expect(status).toBe(207);
        return /<oc:data-fingerprint>([^<]*)</.exec(text)?.[1];
      };
      await type(lab, "backups", "Make one now", { machine: await lab.primary() });
      await visitor.ask("PUT", `${FILES}/moment.txt`, { body: "then" });
      const before = await fingerprint();
      await sleep(2000);
      const moment = await ops("date -u '+%F %T'");
      await sleep(2000);
      await visitor.ask("PUT", `${FILES}/moment.txt`, { body: "since" });
      console.log(await ops(`restore-space-at ${LARGE} '${moment}' 2>&1`));
      expect((await visitor.ask("GET", `${FILES}/moment.txt`)).text).toBe("then");
      const after = await fingerprint();
      expect(after).toMatch(/^[0-9a-f]{32}$/);
      expect(after).not.toBe(before);
      const put = await visitor.ask("PUT", `${FILES}/moment.txt`, { body: "from a client" });
      expect(put.status).toBe(204);
      await ops(
        `jq -c 'del(.version, .dataFingerprint)' /srv/spaces/${LARGE}/config/space.json | converge-space`,
      );
      expect(await fingerprint()).toBe(after);
    });

    test("an upgrade that is undone keeps everything acknowledged, even with uploads under way at its start", async (context) => {
      const [old = "", next] = releases;
      if (next === undefined) return context.skip("FRAMASPACE_NEXTCLOUD names one archive only");
      const visitor = client(LARGE);
      const body = randomBytes(200_000);
      const seen = (command: string) =>
        expect
          .poll(() => ops(`${command} && echo yes || true`), { timeout: 600_000, interval: 500 })
          .toBe("yes");
      const put = (name: string, until: Promise<unknown>) =>
        visitor.ask("PUT", `${FILES}/${name}`, slowBody(body, until));
      await visitor.ask("PUT", `${FILES}/overwritten.bin`, { body: "before" });
      const broken = `/srv/releases/${next}/status.php`;
      await lab.on("web-2", `mv ${broken} ${broken}.aside`);
      for (const name of ["soon", "late"]) await visitor.ask("DELETE", `${FILES}/${name}.bin`);
      await ops("touch /run/began");
      const dumped = seen(`test /var/lib/framaspace/kept/${LARGE}/upgrade.sql.zst -nt /run/began`);
      const puts = [
        put(
          "soon.bin",
          seen(`test -e /srv/spaces/${LARGE}/maintenance`).then(() => sleep(5000)),
        ),
        put("late.bin", dumped),
        put("overwritten.bin", dumped),
      ];
      await sleep(3000);
      const said = await ops(
        `jq -c 'del(.version) | .release = "${next}"' /srv/spaces/${LARGE}/config/space.json | converge-space 2>&1 || true`,
      );
      await lab.on("web-2", `mv ${broken}.aside ${broken}`);
      expect(said).toContain(`from ${old} to ${next} failed, and was undone: it serves ${old} again`);
      const [soon, late, overwritten] = await Promise.all(puts);
      console.log(said, soon?.status, late?.status, overwritten?.status);
      const read = async (name: string) => {
        const { status, bytes } = await visitor.ask("GET", `${FILES}/${name}`);
        return status === 200 ? sha256(bytes) : status;
      };
      expect(soon?.status).toBe(201);
      expect(await read("soon.bin")).toBe(sha256(body));
      expect(late?.status).toBeGreaterThanOrEqual(500);
      expect(await read("late.bin")).toBe(404);
      expect(overwritten?.status).toBeGreaterThanOrEqual(500);
      expect(await read("overwritten.bin")).toBe(sha256("before"));
      const again = await visitor.ask("PUT", `${FILES}/late.bin`, { body });
      expect(again.status).toBe(201);
      expect(await read("late.bin")).toBe(sha256(body));
      expect(await ops(`export-space ${LARGE} 2>&1 || true`)).toContain(`"release":"${old}"`);
    });

    test("a failed upgrade is undone: pages, files, and everything that an export needs", async (context) => {
      const [old = "", next] = releases;
      if (next === undefined) return context.skip("FRAMASPACE_NEXTCLOUD names one archive only");
      const broken = `/srv/releases/${next}/status.php`;
      await lab.on("web-2", `mv ${broken} ${broken}.aside`);
      const said = await ops(
        `jq -c 'del(.version) | .release = "${next}"' /srv/spaces/${LARGE}/config/space.json | converge-space 2>&1 || true`,
      );
      await lab.on("web-2", `mv ${broken}.aside ${broken}`);
      expect(said).toContain(`from ${old} to ${next} failed, and was undone: it serves ${old} again`);
      expect(JSON.parse((await stranger(LARGE).ask("GET", "/status.php")).text)).toMatchObject({
        versionstring: old,
        needsDbUpgrade: false,
      });
      expect((await stranger(LARGE).ask("GET", "/login")).status).toBe(200);
      expect(sha256((await client(LARGE).ask("GET", `${FILES}/rapport.bin`)).bytes)).toBe(sha256(content));
      expect(await ops(`export-space ${LARGE} 2>&1 || true`)).toContain(`"release":"${old}"`);
    });

    test("a wave moves to the next release: one space is upgraded, the other is not, and nothing is lost", async (context) => {
      const [old = "", next] = releases;
      if (next === undefined) return context.skip("FRAMASPACE_NEXTCLOUD names one archive only");
      await client(LARGE).ask("PUT", `${FILES}/before.txt`, { body: "before the upgrade" });
      await lab.edit("spaces/catalog.yaml", "  34.0.4:\n", `  ${old}:\n`);
      await lab.edit("spaces/catalog.yaml", "  35.0.2:\n", `  ${next}:\n`);
      await lab.edit("spaces/catalog.yaml", /canary: .*/, `canary: ${old}`);
      await lab.edit("spaces/catalog.yaml", /early: .*/, `early: ${old}`);
      await lab.edit("spaces/catalog.yaml", /main: .*/, `main: ${next}`);
      // The moments when occ works on the space, seen by ops-1, and the answers that a visitor gets meanwhile.
      await ops(
        `systemd-run --quiet --collect --unit=watch-occ bash -c "while sleep 0.1; do ! ${isUpgrading(LARGE)} || date +%s.%N; done >/run/occ-times"`,
      );
      const seen: { at: number; status: number }[] = [];
      const over = new AbortController();
      const watching = (async () => {
        for (; !over.signal.aborted; await new Promise((resolve) => setTimeout(resolve, 50))) {
          const at = Date.now() / 1000;
          seen.push({ at, status: (await stranger(LARGE).ask("GET", "/status.php")).status });
        }
      })();
      await lab.up().finally(() => over.abort());
      await watching;
      const times = (await ops("systemctl stop watch-occ; cat /run/occ-times"))
        .split("\n")
        .filter(Boolean)
        .map(Number);
      const occSeconds = (times.at(-1) ?? NaN) - (times[0] ?? NaN);
      const closed = seen.filter(({ status }) => status !== 200);
      const outage = (closed.at(-1)?.at ?? NaN) - (closed[0]?.at ?? NaN);
      console.log(
        `${old} → ${next}: unreachable for ${outage.toFixed(1)} s, of which occ upgrade took ${occSeconds.toFixed(1)} s; ${seen.length} probes, answers ${[...new Set(seen.map(({ status }) => status))].join(", ")}`,
      );
      expect(new Set(seen.map(({ status }) => status))).toEqual(new Set([200, 503]));
      expect(outage).toBeLessThan(occSeconds + 3);
      const versions = await Promise.all(
        SPACES.map(
          async (id) =>
            JSON.parse((await stranger(id).ask("GET", "/status.php")).text) as { versionstring: string },
        ),
      );
      expect(versions.map(({ versionstring }) => versionstring)).toEqual([old, next]);
      expect((await client(LARGE).ask("GET", `${FILES}/before.txt`)).text).toBe("before the upgrade");
      expect(sha256((await client(LARGE).ask("GET", `${FILES}/rapport.bin`)).bytes)).toBe(sha256(content));
    });

    test("a release that takes no chunks of old clients stops at the first space", async (context) => {
      const [old = "", next = "", broken] = releases;
      if (broken === undefined) return context.skip("FRAMASPACE_NEXTCLOUD names no third archive");
      await lab.edit("spaces/catalog.yaml", `  ${next}:\n`, `  ${next}:\n    state: current\n  ${broken}:\n`);
      for (const wave of ["canary", "early", "main"])
        await lab.edit("spaces/catalog.yaml", new RegExp(`${wave}: .*`), `${wave}: ${broken}`);
      const said = await lab.up().then(
        () => "",
        (error: unknown) => String(error),
      );
      const first =
        /space (\w+), upgrade: from [\d.]+ to [\d.]+ failed, and was undone/.exec(said)?.[1] ?? "";
      const other = SPACES.find((id) => id !== first);
      console.log(said.match(/^.*space \w+, upgrade: .*$/gm)?.join("\n"));
      expect(said).toMatch(/Why: .*web-\d answers chunk 1 of old clients with 413/);
      expect(said).toContain(`space ${other}, upgrade: ${broken} failed in ${first}, the first space that`);
      for (const [id, release] of [
        [SMALL, old],
        [LARGE, next],
      ] as const)
        expect(JSON.parse((await stranger(id).ask("GET", "/status.php")).text)).toMatchObject({
          versionstring: release,
          maintenance: false,
        });
      expect(sha256((await client(LARGE).ask("GET", `${FILES}/rapport.bin`)).bytes)).toBe(sha256(content));
      expect(await occ(first, "user:list")).not.toContain("framaspace-try");
    });

    test("an upgrade whose worker loses its power is undone, and done when the worker is back", async (context) => {
      const [old = "", next] = releases;
      if (next === undefined) return context.skip("FRAMASPACE_NEXTCLOUD names one archive only");
      const status = async () => {
        const { text } = await stranger(SMALL).ask("GET", "/status.php");
        return JSON.parse(text) as { versionstring: string; maintenance: boolean };
      };
      const serves = (versionstring: string) => ({ versionstring, maintenance: false });
      const read = async () => sha256((await client(SMALL).ask("GET", `${FILES}/kept.bin`)).bytes);
      const upgrade = () =>
        ops(
          `jq -c 'del(.version) | .release = "${next}"' /srv/spaces/${SMALL}/config/space.json | converge-space 2>&1 || true`,
        );
      expect(await status()).toMatchObject(serves(old));
      await client(SMALL).ask("PUT", `${FILES}/kept.bin`, { body: content });
      const converging = upgrade();
      await ops(`timeout 120 sh -c "until ${isUpgrading(SMALL)}; do sleep 0.02; done"`);
      try {
        await halt(openLab(lab.name), "worker-1");
        expect(await converging).toContain(
          `space ${SMALL}, upgrade: from ${old} to ${next} failed, and was undone: it serves ${old} again, nothing is lost. Why: its worker was lost meanwhile, or none takes a connection`,
        );
        expect(await status()).toMatchObject(serves(old));
        expect(await read()).toBe(sha256(content));
      } finally {
        await startDaemon(openLab(lab.name));
      }
      await expect.poll(upgrade, { timeout: 300_000 }).toContain(`upgraded ${old} to ${next}`);
      expect(await status()).toMatchObject(serves(next));
      expect(await read()).toBe(sha256(content));
    });
  },
);
