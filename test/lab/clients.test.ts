// Clients that people use, from Debian's archive, on a real Nextcloud with MinIO. One client uploads, the other must
// get the same bytes. Needs FRAMASPACE_NEXTCLOUD, FRAMASPACE_MINIO and FRAMASPACE_MC. Each client is tested if it is
// installed (apt-get install nextcloud-desktop-cmd rclone litmus).
import { execa } from "execa";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, nextcloudMissing as missing, nextcloudWords, ownLab } from "../support/suite-lab.ts";
import { FILES, UPLOADS, Visitor } from "../support/visitor.ts";

const lab = ownLab("clients", 18451, nextcloudWords());
const ID = "lotus";
const HOST = `${ID}.${DOMAIN}`;
const URL_OF_SPACE = `https://${HOST}:${lab.port}`;
/**
 * A password for the clients, as people make one for each client. Nextcloud takes a quarter of a second to check the
 * account's own password.
 */
let password: string;
let admin: Visitor;

const installed = (program: string) =>
  (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)));
/** The end of the title of a test that needs a client. */
const unless = (program: string) => (installed(program) ? "" : ` (skipped: no ${program} on PATH)`);

/** A folder of this run, with the home of the clients, their folders, and an /etc/hosts with the space. */
let home: string;
const folder = async (name: string) => {
  const path = join(home, name);
  await mkdir(path, { recursive: true });
  return path;
};

/** Runs a client for which the address of the space leads to this machine's loopback. */
async function client(
  words: readonly string[],
  options: { input?: Buffer; env?: Record<string, string> } = {},
) {
  const inside = 'mount --bind "$0" /etc/hosts && exec "$@"';
  const environment = { HOME: home, XDG_CONFIG_HOME: home, QT_QPA_PLATFORM: "offscreen", ...options.env };
  const command = ["--mount", "sh", "-c", inside, join(home, "hosts"), ...words];
  return execa("unshare", command, {
    // litmus writes its logs into the current folder.
    cwd: home,
    env: environment,
    ...(options.input ? { input: options.input } : { stdin: "ignore" }),
    all: true,
    reject: false,
    timeout: 500_000,
  });
}

/** Synchronizes a folder and the space with the desktop client. */
async function sync(local: string): Promise<void> {
  const words = ["--non-interactive", "--trust", "-h", "-n", local, URL_OF_SPACE];
  const { exitCode, all } = await client(["nextcloudcmd", ...words]);
  expect(exitCode, all.split("\n").slice(-15).join("\n")).toBe(0);
}

/** Path → SHA-256 of all files below a folder, and the folders. The client's own files are left out. */
async function tree(root: string): Promise<Record<string, string>> {
  const found: [string, string][] = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    // Nextcloud returns the letters of macOS, which have separate accents, as single letters.
    const name = relative(root, path).normalize("NFC");
    if (/^\.(sync_|owncloudsync|_sync)/.test(entry.name)) continue;
    if (entry.isDirectory()) found.push([name, "folder"]);
    else {
      const hash = createHash("sha256");
      await pipeline(createReadStream(path), hash);
      found.push([name, hash.digest("hex")]);
    }
  }
  return Object.fromEntries(found.sort(([one], [other]) => (one < other ? -1 : 1)));
}

/**
 * Names that people give to their files. Nextcloud does not accept `.htaccess`, and the desktop client does not upload
 * `~$…`.
 */
const NAMES = [
  "Compte rendu de l'AG du 12 mai.odt", "Budget prévisionnel 2027 (v2) – final.ods", "Déjà vu.txt", "De\u0301ja\u0300 vu bis.txt",
  "100 % coton.jpg", "a+b=c.txt", "Facture #42.pdf", "R&D.md", "Qui? Quoi!.txt", 'Le "Lotus".txt', "12:30 réunion.txt",
  "étoile*.txt", "a|b.txt", "<brouillon>.txt", "[Important] à lire.txt", "{modèle}.docx", "chat@asso.vcf",
  "Photo 🌻 été.heic", "名簿.xlsx", "قائمة.txt", "Список.txt", "%20.txt", "%2F.txt", "..deux points.txt", ".caché", "sans extension",
  "deux  espaces.txt", "virgule, point-virgule; etc.csv", "`accent`.txt", "$prix.txt", "^chapeau.txt", "emoji 👩‍👩‍👧.txt",
  "données.json", "page.html", "index.php", "script.js", "config.php", `${"long ".repeat(46)}.txt`, "MAJUSCULES.TXT", "Dossier.d",
]; // prettier-ignore

/** Writes 500 files with those names, from zero bytes to a few hundred kilobytes. */
async function fill(root: string): Promise<void> {
  for (let n = 0; n < 500; n++) {
    const name = NAMES[n % NAMES.length] ?? "";
    const round = Math.floor(n / NAMES.length);
    const path = join(root, round === 0 ? name : join(`Année ${2014 + round}`, `n° ${round}`, name));
    await mkdir(dirname(path), { recursive: true });
    const bytes = n % 17 === 0 ? 0 : n % 50 === 7 ? 300_000 : 1 + ((n * 7919) % 20_000);
    await writeFile(path, randomBytes(bytes));
  }
  await mkdir(join(root, "Dossier vide"));
}

describe.skipIf(missing.length > 0)(
  `clients on a real Nextcloud${missing.length > 0 ? ` (skipped: ${missing.join(", ")} not set)` : ""}`,
  { timeout: 1_200_000 },
  () => {
    beforeAll(async () => {
      home = await mkdtemp(join(tmpdir(), "framaspace-clients-"));
      await writeFile(join(home, "hosts"), `127.0.0.1 localhost ${HOST}\n`);
      await lab.prepare();
      await lab.up();
      const own = `Aa1-${randomBytes(18).toString("base64url")}`;
      const said = await lab.inside(
        ID,
        `export OC_PASS=${own} NC_PASS=${own}; for what in resetpassword auth-tokens:add; do occ user:$what --password-from-env admin; done`,
      );
      password = said.trim().split("\n").at(-1) ?? "";
      if (!/^\w{72}$/.test(password)) throw new Error(`no password was made for the clients: ${said}`);
      admin = new Visitor(lab.port, HOST, { user: "admin", password });
      const netrc = `machine ${HOST} login admin password ${password}\n`;
      await writeFile(join(home, ".netrc"), netrc, { mode: 0o600 });
      // Removes what an earlier run left in a lab that stays.
      const { text } = await admin.ask("PROPFIND", `${FILES}/`, { headers: { depth: "1" } });
      for (const [, path = ""] of text.matchAll(/<d:href>([^<]+)<\/d:href>/g))
        if (path !== `${FILES}/`) await admin.ask("DELETE", path);
    });
    afterAll(async () => {
      await lab.remove();
      await rm(home, { recursive: true, force: true });
    });

    test.skipIf(!installed("nextcloudcmd"))(
      `the desktop client uploads 120 MB in chunks, and another one gets the same file${unless("nextcloudcmd")}`,
      async () => {
        const [one, other] = [await folder("large"), await folder("large-too")];
        await writeFile(join(one, "film.bin"), randomBytes(120_000_000));
        await sync(one);
        await sync(other);
        expect(await tree(other)).toEqual(await tree(one));
        // Not with the client, which asks a person before it empties a space.
        await admin.ask("DELETE", `${FILES}/film.bin`);
      },
    );

    test.skipIf(!installed("nextcloudcmd"))(
      `the desktop client syncs 500 files with real names in both directions${unless("nextcloudcmd")}`,
      async () => {
        const [one, other] = [await folder("names"), await folder("names-too")];
        await fill(one);
        const begun = Date.now();
        await sync(one);
        const up = Date.now();
        await sync(other);
        console.log(`500 files: up in ${(up - begun) / 1000} s, down in ${(Date.now() - up) / 1000} s`);
        expect(Object.values(await tree(one)).filter((hash) => hash !== "folder")).toHaveLength(500);
        expect(await tree(other)).toEqual(await tree(one));

        // The other client changes, renames and deletes files.
        await writeFile(join(other, "Facture #42.pdf"), randomBytes(5000));
        await writeFile(join(other, "Déjà vu.txt"), "");
        await rename(join(other, "R&D.md"), join(other, "R et D.md"));
        await rename(join(other, "Année 2015"), join(other, "Archives 2015"));
        await rm(join(other, "Année 2016"), { recursive: true });
        await sync(other);
        await sync(one);
        expect(await tree(one)).toEqual(await tree(other));
        expect(Object.keys(await tree(one))).toContain("R et D.md");
      },
    );

    describe("chunks as current clients send them", () => {
      test.each([
        ["a MOVE without a length", {}],
        ["a MOVE with a length of 0, as Safari sends it", { "content-length": "0" }],
        ["a MOVE in no chunks", { "transfer-encoding": "chunked" }],
      ])("%s", async (what, extra) => {
        const upload = `${UPLOADS}/${randomBytes(8).toString("hex")}`;
        const name = encodeURIComponent(`${what}.bin`);
        const chunks = Array.from({ length: 3 }, () => randomBytes(6_000_000));
        const headers = { destination: `${URL_OF_SPACE}${FILES}/${name}`, "oc-total-length": "18000000" };
        expect((await admin.ask("MKCOL", upload, { headers })).status).toBe(201);
        for (const [index, body] of chunks.entries())
          expect([200, 201]).toContain(
            (await admin.ask("PUT", `${upload}/${index + 1}`, { headers, body })).status,
          );
        const move = await admin.ask("MOVE", `${upload}/.file`, { headers: { ...headers, ...extra } });
        expect([201, 204]).toContain(move.status);
        const read = await admin.ask("GET", `${FILES}/${name}`);
        expect(read.bytes.equals(Buffer.concat(chunks))).toBe(true);
        const { text } = await admin.ask("PROPFIND", `${FILES}/${name}`);
        expect(text).toContain("<d:getcontentlength>18000000</d:getcontentlength>");
      });
    });

    describe("rclone", () => {
      let environment: Record<string, string>;
      const rclone = async (words: string[], input?: Buffer) => {
        const { exitCode, all } = await client(["rclone", "--no-check-certificate", ...words], {
          env: environment,
          ...(input && { input }),
        });
        expect(exitCode, all).toBe(0);
        return all;
      };
      beforeAll(async () => {
        if (!installed("rclone")) return;
        const { stdout } = await execa("rclone", ["obscure", "-"], { input: password });
        environment = {
          RCLONE_CONFIG_SPACE_TYPE: "webdav",
          RCLONE_CONFIG_SPACE_VENDOR: "nextcloud",
          RCLONE_CONFIG_SPACE_URL: `${URL_OF_SPACE}${FILES}`,
          RCLONE_CONFIG_SPACE_USER: "admin",
          RCLONE_CONFIG_SPACE_PASS: stdout,
        };
      });

      test.skipIf(!installed("rclone"))(
        `copies 500 files to the space and finds each equal, byte by byte${unless("rclone")}`,
        async () => {
          const local = await folder("rclone");
          await fill(local);
          await rclone(["copy", local, "space:rclone", "--create-empty-src-dirs"]);
          await rclone(["check", "--download", local, "space:rclone"]);
          const back = await folder("rclone-back");
          await rclone(["copy", "space:rclone", back, "--create-empty-src-dirs"]);
          expect(await tree(back)).toEqual(await tree(local));
        },
      );

      test.skipIf(!installed("rclone"))(`uploads a stream of unknown length${unless("rclone")}`, async () => {
        const content = randomBytes(30_000_000);
        await rclone(["rcat", "space:flux.bin"], content);
        const { bytes } = await admin.ask("GET", `${FILES}/flux.bin`);
        expect(bytes.equals(content)).toBe(true);
      });
    });

    test.skipIf(!installed("litmus"))(`litmus: WebDAV follows its standard${unless("litmus")}`, async () => {
      await admin.ask("MKCOL", `${FILES}/litmus-base`);
      const words = ["-k", `${URL_OF_SPACE}${FILES}/litmus-base/`, "admin", password];
      const { all } = await client(["litmus", ...words]);
      const failed = all.split("\n").filter((line) => /\bFAIL\b/.test(line));
      console.log(
        all
          .split("\n")
          .filter((line) => /summary|FAIL|WARNING/.test(line))
          .join("\n"),
      );
      expect(all).toMatch(/<- summary for `basic': of \d+ tests run/);
      expect(failed).toEqual([]);
    });
  },
);
