// Documents in Collabora: real Nextcloud with the real PHP of Collabora's connector, the platform's gateways, firewalls
// and settings, and a fake in Collabora's place on office-1. Needs FRAMASPACE_NEXTCLOUD (an archive with
// apps/richdocuments), FRAMASPACE_MINIO and FRAMASPACE_MC.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BALANCER_ADDRESS } from "../../lab/namespaces.ts";
import { OfficeSession, refusal } from "../support/office-session.ts";
import { DOMAIN, nextcloudMissing as missing, nextcloudWords, ownLab } from "../support/suite-lab.ts";
import { FILES, Visitor, type Answer } from "../support/visitor.ts";

const lab = ownLab("office", 18460, nextcloudWords());
const [A, B] = ["iris", "lotus"];
const password = `Aa1-${randomBytes(18).toString("base64url")}`;
const host = (id: string) => `${id}.${DOMAIN}`;
const suite = `wss://collabora.${DOMAIN}:${lab.port}`;

const member = (id: string) => new Visitor(lab.port, host(id), { user: "admin", password });
const occ = (id: string, words: string) => lab.inside(id, `occ ${words}`);

/** What a member's browser gets to open a document. */
interface Opened {
  /** The address by which the suite reads the document (WOPISrc). */
  source: string;
  /** The suite's page for this document. */
  page: string;
  token: string;
}

/** Puts a text file into the space of a member. */
async function write(id: string, name: string, text: string): Promise<number> {
  const { status, headers } = await member(id).ask("PUT", `${FILES}/${name}`, { body: text });
  expect([201, 204]).toContain(status);
  return Number.parseInt(String(headers["oc-fileid"]), 10);
}
const read = async (id: string, name: string) => (await member(id).ask("GET", `${FILES}/${name}`)).text;

/** Asks the connector for a document, as its page does (its src/view/Office.vue and src/helpers/url.js). */
async function open(id: string, fileId: number): Promise<Opened> {
  const asked = await member(id).ask("POST", "/index.php/apps/richdocuments/token", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ fileId }),
  });
  expect(asked.status, asked.text).toBe(200);
  const { urlSrc, token } = JSON.parse(asked.text) as { urlSrc: string; token: string };
  const instance = (await occ(id, "config:system:get instanceid")).trim();
  const source = sourceOf(`https://${host(id)}:${lab.port}`, `${fileId}_${instance}`);
  return { source, page: `${urlSrc}WOPISrc=${encodeURIComponent(source)}`, token };
}
const sourceOf = (address: string, file: string) =>
  `${address}/index.php/apps/richdocuments/wopi/files/${file}`;

const session = ({ source, token }: Opened) => new OfficeSession(suite, source, token);

/** A WOPI request of anybody, through the load balancer. */
const wopi = (id: string, { source, token }: Opened, below = ""): Promise<Answer> =>
  new Visitor(lab.port, host(id)).ask("GET", `${new URL(source).pathname}${below}?access_token=${token}`);

/** The same of office-1, as Collabora sends it. Prints the status and the answer. */
const fromOffice = (id: string, { source, token }: Opened, below = ""): Promise<string> => {
  const name = `${host(id)}:${lab.port}`;
  const to = `--connect-to ${name}:${BALANCER_ADDRESS}:443`;
  // curl takes each name that ends in .localhost for this machine.
  const address = `https://${name}${new URL(source).pathname}${below}?access_token=${token}`;
  return lab.on("office-1", `curl -sk ${to} -w ' %{http_code}' '${address}'`);
};

describe.skipIf(missing.length > 0)(
  `documents in Collabora${missing.length > 0 ? ` (skipped: ${missing.join(", ")} not set)` : ""}`,
  { timeout: 900_000 },
  () => {
    let output: string;
    let connected = false;

    beforeAll(async () => {
      await lab.prepare();
      output = await lab.up();
      connected = (await lab.on("ops-1", "ls -d /srv/releases/*/apps/richdocuments || true")) !== "";
      for (const id of [A, B])
        await lab.inside(id, `export OC_PASS=${password}; occ user:resetpassword --password-from-env admin`);
    });
    afterAll(() => lab.remove());

    test("the lab says that a fake answers in Collabora's place", (context) => {
      if (!connected) return context.skip();
      expect(output).toMatch(/Collabora: .*A fake answers on office-1/);
      return undefined;
    });

    test("a new space can open documents with its first background job", async (context) => {
      if (!connected) return context.skip();
      for (const id of [A, B]) {
        const file = await write(id, "first.txt", "first");
        const begun = Date.now();
        const answers = async () => {
          const body = JSON.stringify({ fileId: file });
          const headers = { "content-type": "application/json" };
          return member(id).ask("POST", "/index.php/apps/richdocuments/token", { headers, body });
        };
        while ((await answers()).status !== 200 && Date.now() < begun + 600_000) await sleep(5000);
        console.log(`${id}: after ${(Date.now() - begun) / 1000} s`);
        expect((await answers()).status).toBe(200);
      }
      return undefined;
    });

    test("a second up changes nothing on office-1 and the gateways", async (context) => {
      if (!connected) return context.skip();
      const again = await lab.up();
      for (const machine of ["office-1", "gateway-1", "gateway-2"])
        expect(again).toContain(`${machine}: role … done, nothing changed`);
      return undefined;
    });

    test("a member opens a document, writes and saves it, and a second member sees it meanwhile", async (context) => {
      if (!connected) return context.skip();
      const file = await write(A, "statuts.txt", "Article 1.");
      const opened = await open(A, file);
      const page = new URL(opened.page);
      expect(page.origin).toBe(`https://collabora.${DOMAIN}:${lab.port}`);
      const shown = await new Visitor(lab.port, page.hostname).ask("GET", `${page.pathname}${page.search}`);
      expect(shown.status).toBe(200);

      const first = await session(opened).opened();
      expect(await first.text()).toBe("Article 1.");
      first.write(" Article 2 : été.");
      const second = await session(await open(A, file)).opened();
      expect(await second.text()).toBe("Article 1. Article 2 : été.");
      expect(await read(A, "statuts.txt")).toBe("Article 1.");
      expect(await first.save()).toBe(true);
      expect(await read(A, "statuts.txt")).toBe("Article 1. Article 2 : été.");
      first.write(" Article 3.");
      expect(await first.save()).toBe(true);
      expect(await read(A, "statuts.txt")).toBe("Article 1. Article 2 : été. Article 3.");
      await Promise.all([first.close(), second.close()]);
      return undefined;
    });

    test("a token of one space opens nothing of another, for nobody", async (context) => {
      if (!connected) return context.skip();
      const secret = `papers of ${B}, ${randomBytes(8).toString("hex")}`;
      const inA = await open(A, await write(A, "a.txt", "of A"));
      const inB = await open(B, await write(B, "b.txt", secret));
      const mixed = { ...inB, token: inA.token };
      // The same request with its own token works: what is refused is the token.
      expect(await fromOffice(B, inB, "/contents")).toBe(`${secret} 200`);
      for (const below of ["", "/contents"]) {
        const said = await fromOffice(B, mixed, below);
        expect(said).toMatch(/ 403$/);
        expect(said).not.toContain(secret);
      }
      expect(await refusal(suite, inB.source, inA.token)).toContain("unauthorized");
      // Nor does a member's login of the other space help.
      const login = await new Visitor(lab.port, host(B), { user: "admin", password }).ask(
        "GET",
        `${new URL(inB.source).pathname}/contents?access_token=${inA.token}`,
      );
      expect(login.status).not.toBe(200);
      expect(login.text).not.toContain(secret);
      return undefined;
    });

    test("a space gives a document to office-1 alone: a token that leaked opens nothing elsewhere", async (context) => {
      if (!connected) return context.skip();
      const secret = `minutes, ${randomBytes(8).toString("hex")}`;
      const opened = await open(A, await write(A, "leak.txt", secret));
      expect(await fromOffice(A, opened, "/contents")).toBe(`${secret} 200`);
      for (const below of ["", "/contents"]) {
        const said = await wopi(A, opened, below);
        expect(said.status).toBe(403);
        expect(said.text).not.toContain(secret);
      }
      // No header makes a visitor office-1.
      const forged = { "x-forwarded-for": "10.0.41.1", "x-real-ip": "10.0.41.1", forwarded: "for=10.0.41.1" };
      const path = `${new URL(opened.source).pathname}/contents?access_token=${opened.token}`;
      const said = await new Visitor(lab.port, host(A)).ask("GET", path, { headers: forged });
      expect(said.status).toBe(403);
      expect(said.text).not.toContain(secret);
      // Nor are other machines office-1, where code of a space may run.
      const name = `${host(A)}:${lab.port}`;
      const web = await lab.on(
        "web-1",
        `curl -sk --connect-to ${name}:${BALANCER_ADDRESS}:443 -w ' %{http_code}' 'https://${name}${path}'`,
      );
      expect(web).toMatch(/ 403$/);
      expect(web).not.toContain(secret);
      return undefined;
    });

    test("converging sets again what somebody of the space has changed", async (context) => {
      if (!connected) return context.skip();
      const opened = await open(A, await write(A, "given.txt", "given to everybody"));
      await occ(A, "config:app:set richdocuments wopi_allowlist --value=0.0.0.0/0");
      await occ(A, "config:app:set richdocuments wopi_url --value=https://elsewhere.example");
      // Web servers remember settings for three seconds.
      await sleep(5000);
      expect((await wopi(A, opened, "/contents")).text).toBe("given to everybody");
      const wanted = `jq -c --arg contact bureau@${A}.example 'del(.version) | del(.redis.database) | .contact //= $contact'`;
      const said = await lab.on("ops-1", `${wanted} /srv/spaces/${A}/config/space.json | converge-space`);
      const { changed } = JSON.parse(said.trim().split("\n").at(-1) ?? "") as { changed: string[] };
      expect(changed).toContain("office settings");
      expect(await occ(A, "config:app:get richdocuments wopi_allowlist")).toBe("10.0.41.0/24");
      expect(await occ(A, "config:app:get richdocuments wopi_url")).toBe("http://office-1:9980");
      await sleep(5000);
      expect((await wopi(A, opened, "/contents")).status).toBe(403);
      return undefined;
    });

    test("office-1 asks nobody but spaces, and over TLS alone", async (context) => {
      if (!connected) return context.skip();
      const { source, token } = await open(A, await write(A, "hosts.txt", "of A"));
      const path = new URL(source).pathname;
      for (const address of [
        `https://evil.test:${lab.port}`,
        `https://${host(A)}.evil.test:${lab.port}`,
        `https://${host(A)}@evil.test:${lab.port}`,
        `https://x.${host(A)}:${lab.port}`,
        `https://localhost:${lab.port}`,
        `http://${host(A)}`,
        "http://10.0.20.1",
      ])
        expect(await refusal(suite, `${address}${path}`, token), address).toContain("unauthorized");
      const log = await lab.on("office-1", "journalctl -u coolwsd -o cat --no-pager");
      expect(log.match(/this host is not allowed/g)?.length).toBeGreaterThanOrEqual(7);
      // The same document, by its own address.
      await (await new OfficeSession(suite, source, token).opened()).close();
      return undefined;
    });

    test("the suite answers web servers and workers, which run background jobs, and no other machine", async (context) => {
      if (!connected) return context.skip();
      const discovery = "curl -s -m 5 http://office-1:9980/hosting/discovery";
      for (const machine of ["web-1", "worker-1"])
        expect(await lab.on(machine, discovery)).toContain(
          `urlsrc="https://collabora.${DOMAIN}:${lab.port}/browser/`,
        );
      expect(await lab.on("redis-1", `${discovery} -o /dev/null -w '%{http_code}' || true`)).toBe("000");
      return undefined;
    });
  },
);
