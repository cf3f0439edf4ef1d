// Federation: a member of one space shares a file with a member of another, which Nextcloud does over the internet, by
// public names and addresses. The lab's own domain ends in .localhost, to which Nextcloud sends no request, so this lab
// has another. Needs FRAMASPACE_NEXTCLOUD, FRAMASPACE_MINIO and FRAMASPACE_MC.
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { openLab } from "../../lab/lab.ts";
import { rootCertificate } from "../../lab/lets-encrypt.ts";
import { BALANCER_ADDRESS } from "../../lab/namespaces.ts";
import { nextcloudMissing as missing, nextcloudWords, TestLab } from "../support/suite-lab.ts";
import { FILES, Visitor, type Ask } from "../support/visitor.ts";

const lab = new TestLab("federation", 18463, nextcloudWords());
const DOMAIN = "framaspace.test";
const [GIVER, TAKER] = ["lotus", "iris"];
const password = `Aa1-${randomBytes(18).toString("base64url")}`;
const TEXT = "Statuts de l’association\n";

const member = (id: string) => new Visitor(lab.port, `${id}.${DOMAIN}`, { user: "admin", password });

/** Asks files_sharing's API, and returns what it says of data. */
async function share(
  id: string,
  method: string,
  path: string,
  form?: Record<string, string>,
): Promise<unknown> {
  const ask: Ask = form
    ? {
        body: new URLSearchParams(form).toString(),
        headers: { "content-type": "application/x-www-form-urlencoded" },
      }
    : {};
  const { status, text } = await member(id).ask(
    method,
    `/ocs/v2.php/apps/files_sharing/api/v1/${path}?format=json`,
    ask,
  );
  expect([status, text]).toEqual([200, expect.any(String)]);
  return z.object({ ocs: z.object({ data: z.unknown() }) }).parse(JSON.parse(text)).ocs.data;
}
const shares = z.array(z.object({ id: z.coerce.string(), name: z.string().optional() }));

/** A name server for the lab's domain, on a web server itself: Nextcloud asks one before it sends a request. */
const NAMES = `import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\\0", 12) + 5
    known = query[:end].endswith(b"\\x0aframaspace\\x04test\\0\\0\\1\\0\\1")
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + socket.inet_aton("${BALANCER_ADDRESS}")
    counts = b"\\0\\1\\0\\1\\0\\0\\0\\0" if known else b"\\0\\1\\0\\0\\0\\0\\0\\0"
    server.sendto(query[:2] + b"\\x81\\x80" + counts + query[12:end] + (answer if known else b""), client)`;

/** Gives web servers what the internet gives those of production: names, the port, and trust in the certificate. */
async function connect(): Promise<void> {
  const authority = await readFile(rootCertificate(openLab(lab.name)), "base64");
  const rules = `table ip federation {
    chain output {
      type nat hook output priority -100
      ip daddr ${BALANCER_ADDRESS} tcp dport ${lab.port} dnat to ${BALANCER_ADDRESS}:443
    }
  }`;
  for (const web of ["web-1", "web-2"])
    await lab.on(
      web,
      `base64 -d <<<${Buffer.from(NAMES).toString("base64")} >/root/names.py
       systemd-run -q --unit=names python3 /root/names.py
       rm -f /etc/resolv.conf; echo nameserver 127.0.0.1 >/etc/resolv.conf
       base64 -d <<<${Buffer.from(`${rules}\n`).toString("base64")} | nft -f -
       for bundle in /srv/releases/*/resources/config/ca-bundle.crt; do base64 -d <<<${authority} >>"$bundle"; done`,
    );
}

describe.skipIf(missing.length > 0)(
  `federation between two spaces${missing.length > 0 ? ` (skipped: ${missing.join(", ")} not set)` : ""}`,
  { timeout: 900_000 },
  () => {
    beforeAll(async () => {
      await lab.prepare();
      await lab.edit(
        "Pulumi.lab.yaml",
        "framaspace:domain: framaspace.localhost",
        `framaspace:domain: ${DOMAIN}`,
      );
      await lab.up();
      await connect();
      for (const id of [GIVER, TAKER])
        await lab.inside(id, `export OC_PASS=${password}; occ user:resetpassword --password-from-env admin`);
    });
    afterAll(() => lab.remove());

    test("a space is reached from a web server by its public name, as from anywhere", async () => {
      for (const web of ["web-1", "web-2"]) {
        const address = `https://${TAKER}.${DOMAIN}:${lab.port}/.well-known/ocm`;
        const trusted = "$(ls /srv/releases/*/resources/config/ca-bundle.crt | head -n 1)";
        const said = await lab.on(web, `curl -sSL --cacert "${trusted}" '${address}'`);
        expect(JSON.parse(said)).toMatchObject({ enabled: true });
      }
    });

    test("a member of one shares a file with a member of another, who reads and changes it", async () => {
      expect((await member(GIVER).ask("PUT", `${FILES}/statuts.txt`, { body: TEXT })).status).toBe(201);
      await share(GIVER, "POST", "shares", {
        path: "/statuts.txt",
        shareType: "6",
        shareWith: `admin@${TAKER}.${DOMAIN}:${lab.port}`,
        // To read and to write.
        permissions: "3",
      });

      const [offer] = shares.parse(await share(TAKER, "GET", "remote_shares/pending"));
      expect(offer?.name).toBe("/statuts.txt");
      await share(TAKER, "POST", `remote_shares/pending/${offer?.id}`);
      expect((await member(TAKER).ask("GET", `${FILES}/statuts.txt`)).text).toBe(TEXT);

      const changed = `${TEXT}Article 1\n`;
      expect((await member(TAKER).ask("PUT", `${FILES}/statuts.txt`, { body: changed })).status).toBe(204);
      expect((await member(GIVER).ask("GET", `${FILES}/statuts.txt`)).text).toBe(changed);
    });

    test("what is shared no more is gone", async () => {
      const [given] = shares.parse(await share(GIVER, "GET", "shares"));
      await share(GIVER, "DELETE", `shares/${given?.id}`);
      const read = async () => (await member(TAKER).ask("GET", `${FILES}/statuts.txt`)).status;
      await expect.poll(read, { timeout: 60_000, interval: 2000 }).toBe(404);
    });
  },
);
