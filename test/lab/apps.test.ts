// Apps of a real Nextcloud that could let in people without an invitation: registration, and ONLYOFFICE's connector.
// Tests of an app are skipped if the release lacks it. Needs FRAMASPACE_NEXTCLOUD, FRAMASPACE_MINIO and FRAMASPACE_MC.
import { createHmac, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, nextcloudMissing as missing, nextcloudWords, ownLab } from "../support/suite-lab.ts";
import { FILES, Visitor, type Answer } from "../support/visitor.ts";

const lab = ownLab("apps", 18452, nextcloudWords());
const [A, B] = ["iris", "lotus"];
const password = `Aa1-${randomBytes(18).toString("base64url")}`;

const ops = (command: string) => lab.on("ops-1", command);
const host = (id: string) => `${id}.${DOMAIN}`;
const stranger = (id: string) => new Visitor(lab.port, host(id));
const client = (id: string, user: string, secret: string) =>
  new Visitor(lab.port, host(id), { user, password: secret });
const admin = (id: string) => client(id, "admin", password);
const occ = (id: string, words: string) => lab.inside(id, `occ ${words}`);
const sql = (id: string, statement: string) =>
  lab.inside(id, `base64 -d <<<${Buffer.from(statement).toString("base64")} | sql -f -`);
/** All visitors of the lab have the same address, which Nextcloud first slows down and then refuses. */
const forgive = (id: string) => occ(id, "security:bruteforce:reset 198.51.100.1");
const has = async (app: string) =>
  (await ops(`ls -d /srv/releases/*/apps/${app} 2>/dev/null | wc -l`)) !== "0";

/** Converges a space again with the wanted state of its entry. Returns the changes. */
const converge = async (id: string): Promise<string[]> => {
  const wanted = "del(.version) | del(.redis.database)";
  const result = await ops(
    `jq -c --arg contact "bureau@${id}.example" '${wanted} | .contact //= $contact' /srv/spaces/${id}/config/space.json | converge-space`,
  );
  const { changed } = JSON.parse(result.trim().split("\n").at(-1) ?? "") as { changed: string[] };
  return changed;
};

/** Sends a request to the API of a space's administration, as its administrator. */
const asAdmin = (id: string, method: string, path: string): Promise<Answer> =>
  admin(id).ask(method, `/ocs/v2.php/cloud/${path}?format=json`);

/** Sends a form of a page that a visitor has open. */
async function submit(visitor: Visitor, page: string, fields: Record<string, string>): Promise<Answer> {
  const requesttoken = await visitor.requestToken(page);
  return visitor.ask("POST", page, {
    headers: { "content-type": "application/x-www-form-urlencoded", requesttoken },
    body: new URLSearchParams({ ...fields, requesttoken }).toString(),
  });
}

const mailsTo = async (address: string) =>
  (await lab.lab("mail")).split("─".repeat(80)).filter((mail) => mail.includes(`To: ${address}`));

describe.skipIf(missing.length > 0)(
  `apps of a real Nextcloud${missing.length > 0 ? ` (skipped: ${missing.join(", ")} not set)` : ""}`,
  { timeout: 900_000 },
  () => {
    beforeAll(async () => {
      await lab.prepare();
      await lab.up();
      for (const id of [A, B]) {
        await lab.inside(id, `export OC_PASS=${password}; occ user:resetpassword --password-from-env admin`);
        await forgive(id);
      }
    });
    afterAll(() => lab.remove());

    test("the administrator of a space sees the page where apps are enabled and disabled", async () => {
      const person = stranger(A);
      await person.logIn("admin", password);
      expect((await person.ask("GET", "/settings/apps")).status).toBe(200);
      const { status, text } = await person.ask("GET", "/settings/apps/list");
      expect(status).toBe(200);
      expect(text).toContain('"id":"activity"');
    });

    describe("registration", () => {
      const name = `nouveau-${randomBytes(3).toString("hex")}`;
      const secret = `Bb2-${randomBytes(18).toString("base64url")}`;
      const PAGE = "/apps/registration/";

      test("is disabled in a space that did not ask for it, although each release has it", async (context) => {
        if (!(await has("registration"))) return context.skip();
        expect((await stranger(A).ask("GET", PAGE)).status).not.toBe(200);
        expect((await stranger(A).ask("GET", "/login")).text).not.toContain("apps/registration");
        return undefined;
      });

      test("gives a stranger an account that opens nothing until a member of the space enables it", async (context) => {
        if (!(await has("registration"))) return context.skip();
        expect((await asAdmin(A, "POST", "apps/registration")).status).toBe(200);
        const person = stranger(A);
        const address = `${name}@ailleurs.example`;
        await submit(person, PAGE, { email: address });
        const [mail = ""] = await mailsTo(address);
        const link = /https:\/\/\S+(\/apps\/registration\/register\/\S+)/.exec(mail)?.[1] ?? "";
        const fields = { loginname: name, fullname: "", phone: "", password: secret };
        const registered = await submit(person, link, fields);
        expect(registered.status).toBe(200);
        expect(registered.text).not.toContain(`data-user="${name}"`);

        const { text } = await asAdmin(A, "GET", `users/${name}`);
        expect(JSON.parse(text)).toMatchObject({ ocs: { data: { id: name, enabled: false } } });
        const files = `/remote.php/dav/files/${name}/`;
        expect((await client(A, name, secret).ask("PROPFIND", files)).status).not.toBe(207);
        const refused = stranger(A);
        await refused.logIn(name, secret);
        const page = await refused.ask("GET", "/apps/files/");
        expect(page.status).not.toBe(200);
        expect(page.text).not.toContain(`data-user="${name}"`);

        await forgive(A);
        expect((await asAdmin(A, "PUT", `users/${name}/enable`)).status).toBe(200);
        expect((await client(A, name, secret).ask("PROPFIND", files)).status).toBe(207);
        return undefined;
      });

      test("sends at most five mails in five minutes to one visitor", async (context) => {
        if (!(await has("registration"))) return context.skip();
        const asked: number[] = [];
        for (let n = 0; n < 6; n++) {
          const { status } = await submit(stranger(A), PAGE, { email: `${name}-${n}@ailleurs.example` });
          asked.push(status);
        }
        expect(asked.at(-1)).toBe(429);
        return undefined;
      });

      test("requires approval again if an administrator let everybody in, and stays enabled", async (context) => {
        if (!(await has("registration"))) return context.skip();
        await occ(A, "config:app:set registration admin_approval_required --value=no --type=boolean");
        expect(await converge(A)).toContain("registration by approval");
        expect(await converge(A)).not.toContain("registration by approval");
        expect(await occ(A, "config:app:get registration admin_approval_required")).toMatch(/^(1|true)$/);
        expect((await stranger(A).ask("GET", PAGE)).status).toBe(200);
        await asAdmin(A, "DELETE", "apps/registration");
        return undefined;
      });
    });

    describe("ONLYOFFICE's connector", () => {
      const known = "the-secret-that-all-spaces-had-in-common";
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
      /** A token in the form of the connector. */
      function signed(payload: unknown): string {
        const body = `${part({ typ: "JWT", alg: "HS256" })}.${part(payload)}`;
        return `${body}.${createHmac("sha256", known).update(body).digest("base64url")}`;
      }

      test("does not open documents of a space that had the app with the secret that another space showed", async () => {
        const content = `papers of ${B}, ${randomBytes(8).toString("hex")}`;
        const put = await admin(B).ask("PUT", `${FILES}/statuts.docx`, { body: content });
        expect([201, 204]).toContain(put.status);
        const fileId = Number.parseInt(String(put.headers["oc-fileid"]), 10);
        // The database as it was when the app was in the catalog.
        await sql(
          B,
          `INSERT INTO oc_appconfig (appid, configkey, configvalue) VALUES ('onlyoffice', 'enabled', 'yes'), ('onlyoffice', 'installed_version', '10.0.0'), ('onlyoffice', 'jwt_secret', '${known}'), ('onlyoffice', 'DocumentServerUrl', 'https://onlyoffice.${DOMAIN}/') ON CONFLICT (appid, configkey) DO UPDATE SET configvalue = excluded.configvalue;`,
        );
        // Removes what web servers remember about enabled apps.
        await sleep(5000);
        const link = `/apps/onlyoffice/download?doc=${signed({ action: "download", fileId, userId: "admin" })}`;
        const headers = { authorization: `Bearer ${signed({ payload: {} })}` };
        const before = await stranger(B).ask("GET", link, { headers });
        expect(before.text).not.toContain(content);
        expect(before.status).not.toBe(200);
        // The space serves all the time.
        expect((await stranger(B).ask("GET", "/login")).status).toBe(200);
        expect((await admin(B).ask("GET", `${FILES}/statuts.docx`)).text).toBe(content);

        expect(await converge(B)).toContain("no onlyoffice");
        expect(await sql(B, "SELECT count(*) FROM oc_appconfig WHERE appid = 'onlyoffice';")).toBe("0");
        expect(await converge(B)).toEqual([]);
      });

      test("cannot be enabled by the administrator of a space, who does not see its page either", async () => {
        expect((await asAdmin(A, "POST", "apps/onlyoffice")).status).not.toBe(200);
        const page = await admin(A).ask("GET", "/settings/admin/onlyoffice");
        expect(page.text).not.toContain("onlyofficeSecret");
      });
    });

    test("a killed worker leaves its session locked for half a minute, and the person stays logged in", async () => {
      const person = stranger(A);
      await person.logIn("admin", password);
      expect((await person.ask("GET", "/apps/files/")).status).toBe(200);
      const probe = "index-killed-worker.php";
      const pid = `/srv/spaces/${A}/tmp/killed-worker`;
      // On one web server only, because a gateway may try another one.
      const web = await lab.webServerOf(A);
      // The worker holds the session, as during a login.
      const code = String.raw`<?php require_once __DIR__ . "/lib/base.php"; \OCP\Server::get(\OCP\ISession::class)->reopen(); file_put_contents("${pid}", getmypid()); sleep(100);`;
      try {
        await lab.on(
          web,
          `base64 -d <<<${Buffer.from(code).toString("base64")} >$(readlink /srv/spaces/${A}/release)/${probe}`,
        );
        const cut = person.ask("GET", `/${probe}`, { patienceSeconds: 90 }).catch(() => undefined);
        await lab.on(
          web,
          `for n in $(seq 100); do [ ! -s ${pid} ] || { kill -9 $(cat ${pid}); exit; }; sleep 0.2; done; exit 1`,
        );
        await cut;
        const begun = Date.now();
        const { status, text } = await person.ask("GET", "/apps/files/", { patienceSeconds: 60 });
        console.log(`its next page: ${status} after ${(Date.now() - begun) / 1000} s`);
        expect(status).toBe(200);
        expect(text).toContain('data-user="admin"');
        // A shorter time would mean that nothing was locked.
        expect(Date.now() - begun).toBeGreaterThan(5_000);
        expect(Date.now() - begun).toBeLessThan(40_000);
      } finally {
        await lab.on(web, `rm -f /srv/releases/*/${probe} ${pid}`);
      }
    });
  },
);
