// Clients that people use, from Debian's archive, on a real Nextcloud with MinIO. One client uploads, and another one must
// get the same bytes, even while machines are killed. Needs FRAMASPACE_NEXTCLOUD, FRAMASPACE_MINIO and FRAMASPACE_MC.
// Each client is tested if it is installed (apt-get install davfs2 litmus nextcloud-desktop-cmd rclone vdirsyncer).
import { execa } from "execa";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openLab } from "../../lab/lab.ts";
import { rootCertificate } from "../../lab/lets-encrypt.ts";
import { startDaemon } from "../../lab/lifecycle.ts";
import { halt } from "../../lab/machine.ts";
import { fill, tree, writeRandom } from "../support/named-files.ts";
import { fileOf, foldLines, ITEMS, unfoldLines } from "../support/phone-items.ts";
import { installed, RealClients, unless, type Phone } from "../support/real-clients.ts";
import { DOMAIN, nextcloudMissing as missing, nextcloudWords, ownLab } from "../support/suite-lab.ts";
import { FILES, UPLOADS, Visitor } from "../support/visitor.ts";

const lab = ownLab("clients", 18451, nextcloudWords());
const ID = "lotus";
const HOST = `${ID}.${DOMAIN}`;
/**
 * A password for the clients, as people make one for each client. Nextcloud takes a quarter of a second to check the
 * account's own password.
 */
let password: string;
let admin: Visitor;
let clients: RealClients;

/** A new folder of the space. Its name is new, too: in a lab that stays, sync clients keep nothing of an earlier run. */
async function remoteFolder(what: string): Promise<string> {
  const name = `${what}-${randomBytes(4).toString("hex")}`;
  expect((await admin.ask("MKCOL", `${FILES}/${name}`)).status).toBe(201);
  return name;
}

/** What the test of davfs2 needs. */
const MOUNTING = ["mount.davfs", "/dev/fuse", "nextcloudcmd"];

describe.skipIf(missing.length > 0)(
  `clients on a real Nextcloud${missing.length > 0 ? ` (skipped: ${missing.join(", ")} not set)` : ""}`,
  { timeout: 1_200_000 },
  () => {
    beforeAll(async () => {
      await lab.prepare();
      await lab.shortenLocks();
      await lab.up();
      const own = `Aa1-${randomBytes(18).toString("base64url")}`;
      const said = await lab.inside(
        ID,
        `export OC_PASS=${own} NC_PASS=${own}; for what in resetpassword auth-tokens:add; do occ user:$what --password-from-env admin; done`,
      );
      password = said.trim().split("\n").at(-1) ?? "";
      if (!/^\w{72}$/.test(password)) throw new Error(`no password was made for the clients: ${said}`);
      admin = new Visitor(lab.port, HOST, { user: "admin", password });
      clients = await RealClients.at({
        host: HOST,
        port: lab.port,
        password,
        authority: rootCertificate(openLab(lab.name)),
      });
      // Removes what an earlier run left in a lab that stays.
      const { text } = await admin.ask("PROPFIND", `${FILES}/`, { headers: { depth: "1" } });
      for (const [, path = ""] of text.matchAll(/<d:href>([^<]+)<\/d:href>/g))
        if (path !== `${FILES}/`) await admin.ask("DELETE", path);
      return () => clients.remove();
    });
    afterAll(() => lab.remove());

    test.skipIf(!installed("nextcloudcmd"))(
      `the desktop client uploads a file of 2 GB in chunks, and another one gets the same file${unless("nextcloudcmd")}`,
      { timeout: 2_400_000 },
      async () => {
        const [one, other] = [await clients.folder("large"), await clients.folder("large-too")];
        await writeRandom(join(one, "film.bin"), 2_000_000_000);
        const begun = Date.now();
        await clients.sync(one, { seconds: 1200 });
        const up = Date.now();
        await clients.sync(other, { seconds: 1200 });
        console.log(`2 GB: up in ${(up - begun) / 1000} s, down in ${(Date.now() - up) / 1000} s`);
        expect(await tree(other)).toEqual(await tree(one));
        // Not with the client, which asks a person before it empties a space.
        await admin.ask("DELETE", `${FILES}/film.bin`);
        await Promise.all([rm(one, { recursive: true }), rm(other, { recursive: true })]);
      },
    );

    test.skipIf(!installed("nextcloudcmd"))(
      `the desktop client syncs 500 files with real names in both directions${unless("nextcloudcmd")}`,
      async () => {
        const [one, other] = [await clients.folder("names"), await clients.folder("names-too")];
        await fill(one);
        const begun = Date.now();
        await clients.sync(one);
        const up = Date.now();
        await clients.sync(other);
        console.log(`500 files: up in ${(up - begun) / 1000} s, down in ${(Date.now() - up) / 1000} s`);
        expect(Object.values(await tree(one)).filter((hash) => hash !== "folder")).toHaveLength(500);
        expect(await tree(other)).toEqual(await tree(one));

        // The other client changes, renames and deletes files.
        await writeFile(join(other, "Facture #42.pdf"), randomBytes(5000));
        await writeFile(join(other, "Déjà vu.txt"), "");
        await rename(join(other, "R&D.md"), join(other, "R et D.md"));
        await rename(join(other, "Année 2015"), join(other, "Archives 2015"));
        await rm(join(other, "Année 2016"), { recursive: true });
        await clients.sync(other);
        await clients.sync(one);
        expect(await tree(one)).toEqual(await tree(other));
        expect(Object.keys(await tree(one))).toContain("R et D.md");
      },
    );

    test.skipIf(!installed("nextcloudcmd"))(
      `a file that two people have changed is there twice${unless("nextcloudcmd")}`,
      async () => {
        const remote = await remoteFolder("conflict");
        const [one, other] = [await clients.folder("conflict"), await clients.folder("conflict-too")];
        const name = "Ordre du jour.txt";
        await writeFile(join(one, name), "1. Accueil\n");
        await clients.sync(one, { remote });
        await clients.sync(other, { remote });
        await writeFile(join(one, name), "1. Accueil\n2. Budget\n");
        await writeFile(join(other, name), "1. Accueil\n2. Élection du bureau\n");
        await clients.sync(one, { remote });
        await clients.sync(other, { remote });

        const contents = async (root: string) => {
          const names = Object.keys(await tree(root));
          return new Map(
            await Promise.all(
              names.map(async (path) => [path, await readFile(join(root, path), "utf8")] as const),
            ),
          );
        };
        const copy = [...(await contents(other)).keys()].find((path) => path !== name) ?? "";
        expect(copy).toMatch(/^Ordre du jour \(conflicted copy .*\)\.txt$/);
        expect(await contents(other)).toEqual(
          new Map([
            [copy, "1. Accueil\n2. Élection du bureau\n"],
            [name, "1. Accueil\n2. Budget\n"],
          ]),
        );

        // The client leaves it to its person what becomes of the copy.
        await rename(join(other, copy), join(other, "Ordre du jour bis.txt"));
        await clients.sync(other, { remote });
        await clients.sync(one, { remote });
        expect(await contents(one)).toEqual(
          new Map([
            ["Ordre du jour bis.txt", "1. Accueil\n2. Élection du bureau\n"],
            [name, "1. Accueil\n2. Budget\n"],
          ]),
        );
        expect(await contents(other)).toEqual(await contents(one));
      },
    );

    describe("a machine is killed while the desktop client uploads", () => {
      const WHAT = {
        "120 MB": { make: (root: string) => writeRandom(join(root, "film.bin"), 120_000_000), least: 1 },
        "500 files": { make: (root: string) => fill(root), least: 100 },
      };
      /** The status that a web server gives for the space, or "000". */
      const statusFrom = (web: string) => lab.statusFrom(web, ID, "/status.php").catch(() => "000");
      const cases = (["web", "gateway"] as const).flatMap((service) =>
        Object.entries(WHAT).map(([what, { make, least }]) => ({ service, what, make, least })),
      );

      test.skipIf(!installed("nextcloudcmd")).each(cases)(
        `$service, $what${unless("nextcloudcmd")}`,
        async ({ service, what, make, least }) => {
          const machine = service === "web" ? await lab.webServerOf(ID) : `${service}-1`;
          const title = `killed ${service} ${what}`.replaceAll(" ", "-");
          const remote = await remoteFolder(title);
          const [one, other] = [await clients.folder(title), await clients.folder(`${title}-too`)];
          await make(one);
          const made = await tree(one);

          const begun = Date.now();
          const enough = Promise.withResolvers<string>();
          let confirmations = 0;
          const confirmed = () => ++confirmations === least && enough.resolve("under way");
          const uploading = clients.insist(one, { remote, confirmed });
          const first = await Promise.race([enough.promise, uploading.then(() => "at its end")]);
          expect(first).toBe("under way");
          try {
            await halt(openLab(lab.name), machine);
            const runs = await uploading;
            console.log(
              `${machine} killed: ${what} up in ${(Date.now() - begun) / 1000} s, ${runs} runs of the client`,
            );
          } finally {
            await startDaemon(openLab(lab.name));
          }
          // It comes back, and no visitor meets it half started.
          const isBack = async () => service === "gateway" || (await statusFrom(machine)) === "200";
          const statuses = new Set<number>();
          do statuses.add((await admin.ask("GET", "/status.php")).status);
          while (!(await isBack()));
          expect([...statuses]).toEqual([200]);
          await clients.sync(other, { remote });
          expect(await tree(other)).toEqual(made);
          expect(await tree(one)).toEqual(made);
        },
      );
    });

    test.skipIf(!installed(...MOUNTING))(
      `davfs2 copies, renames and deletes as in any folder${unless(...MOUNTING)}`,
      async () => {
        const remote = await remoteFolder("davfs");
        const local = await clients.folder("davfs-local");
        const back = await clients.folder("davfs-back");
        await fill(local, 45);
        await writeRandom(join(local, "film.bin"), 30_000_000);
        const env = { LOCAL: local, REMOTE: remote, BACK: back };
        await clients.mounted('cp -r "$LOCAL/." "$REMOTE"', env);
        const other = await clients.folder("davfs-other");
        await clients.sync(other, { remote });
        expect(await tree(other)).toEqual(await tree(local));

        // What the other client writes is there, and its old contents are not.
        await writeFile(join(other, "Facture #42.pdf"), randomBytes(7000));
        await clients.sync(other, { remote });
        const change =
          'mv "R&D.md" "R et D.md"; mv "Dossier vide" Plein; mv 100* Plein; rm index.php; rm -r Ann*';
        await clients.mounted(`cd "$REMOTE"; cp -r . "$BACK"; ${change}`, env);
        expect(await tree(back)).toEqual(await tree(other));
        await clients.sync(other, { remote });
        const left = Object.entries(await tree(back))
          .filter(([path]) => path !== "index.php" && !path.startsWith("Ann"))
          .map(([path, hash]) => [
            path
              .replace("R&D.md", "R et D.md")
              .replace("Dossier vide", "Plein")
              .replace(/^(?=100)/, "Plein/"),
            hash,
          ]);
        expect(await tree(other)).toEqual(Object.fromEntries(left));
      },
    );

    test.skipIf(!installed("vdirsyncer"))(
      `two phones share a calendar and an address book${unless("vdirsyncer")}`,
      async () => {
        const [one, two] = [await clients.phone("phone"), await clients.phone("phone-too")];
        const name = `asso-${randomBytes(4).toString("hex")}`;
        for (const folder of [one.calendars, one.contacts]) await mkdir(join(folder, name));
        const write = (phone: Phone, uid: string, lines: readonly string[]) =>
          writeFile(fileOf(phone, name, uid), foldLines(lines));
        const all = async (phone: Phone) => {
          const found: Record<string, string[]> = {};
          for (const folder of [phone.calendars, phone.contacts])
            for (const file of await readdir(join(folder, name)))
              found[file] = unfoldLines(await readFile(join(folder, name, file), "utf8"));
          return found;
        };

        for (const [uid, lines] of Object.entries(ITEMS)) await write(one, uid, lines);
        await one.discover();
        await one.sync();
        await two.discover();
        await two.sync();
        const items: Record<string, readonly string[]> = Object.fromEntries(
          Object.entries(ITEMS).map(([uid, lines]) => [basename(fileOf(two, name, uid)), lines]),
        );
        expect(await all(two)).toEqual(items);

        const later = ITEMS["event-ag"].map((line) => line.replace("T183000", "T200000"));
        const moved = ITEMS["card-mairie"].map((line) => line.replace("+33 1 23", "+33 9 87"));
        await write(two, "event-ag", later);
        await write(two, "card-mairie", moved);
        for (const uid of ["event-fete", "card-photo"]) await rm(fileOf(two, name, uid));
        await two.sync();
        await one.sync();
        const { "event-fete.ics": _event, "card-photo.vcf": _card, ...left } = items;
        expect(await all(one)).toEqual({ ...left, "event-ag.ics": later, "card-mairie.vcf": moved });
        expect(await all(two)).toEqual(await all(one));
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
        const headers = { destination: `${clients.url}${FILES}/${name}`, "oc-total-length": "18000000" };
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
        const { exitCode, all } = await clients.run(["rclone", "--no-check-certificate", ...words], {
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
          RCLONE_CONFIG_SPACE_URL: `${clients.url}${FILES}`,
          RCLONE_CONFIG_SPACE_USER: "admin",
          RCLONE_CONFIG_SPACE_PASS: stdout,
        };
      });

      test.skipIf(!installed("rclone"))(
        `copies 500 files to the space and finds each equal, byte by byte${unless("rclone")}`,
        async () => {
          const local = await clients.folder("rclone");
          await fill(local);
          await rclone(["copy", local, "space:rclone", "--create-empty-src-dirs"]);
          await rclone(["check", "--download", local, "space:rclone"]);
          const back = await clients.folder("rclone-back");
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
      const words = ["-k", `${clients.url}${FILES}/litmus-base/`, "admin", password];
      const { all } = await clients.run(["litmus", ...words]);
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
