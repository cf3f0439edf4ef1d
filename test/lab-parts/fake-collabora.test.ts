// The fake in Collabora's place, with the options of the platform's unit, over TCP: what it opens, and what it refuses.
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createPlain, type RequestListener, type Server } from "node:http";
import { createServer as createTls } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { renderCollabora } from "../../infra/office/office.ts";
import { readOptions, type Options } from "../../lab/fake-collabora/document-hosts.ts";
import { fakeCoolwsd } from "../../lab/fake-collabora/fake-coolwsd.ts";
import { createAuthority, issue, rootCertificate } from "../../lab/lets-encrypt.ts";
import { OfficeSession, refusal } from "../support/office-session.ts";

const DOMAIN = "example.org";
const PLATFORM = readOptions(
  [...renderCollabora({ domain: DOMAIN }).matchAll(/"(--o:[^"]*)"/g)].map(([, word = ""]) => word),
);
const PATH = "/index.php/apps/richdocuments/wopi/files/12_oc";
const source = (id: string, scheme = "https") => `${scheme}://${id}.${DOMAIN}${PATH}`;

const folder = mkdtempSync(join(tmpdir(), "framaspace-office-"));
/** Host → token of its document, and the document's text. */
let files: Map<string, { token: string; text: string }>;
/** Requests that arrived, with and without TLS. */
let arrived: string[];
let tls: Server;
/** Has a certificate for the same hosts, from an authority of its own. */
let impostor: Server;
let plain: Server;
let authority: string;

/** Both spaces. Each has one document, of the same number. */
const spaces: RequestListener = (request, response) => {
  const { host = "", "x-cool-wopi-timestamp": time } = request.headers;
  const url = new URL(`https://${host}${request.url}`);
  arrived.push(`${"encrypted" in request.socket ? "https" : "http"}://${url.hostname}`);
  const file = files.get(url.hostname);
  if (file?.token !== url.searchParams.get("access_token")) return void response.writeHead(403).end("[]");
  if (url.pathname === PATH) {
    const info = { BaseFileName: "a.txt", UserCanWrite: true, LastModifiedTime: String(file.text.length) };
    return void response.end(JSON.stringify(info));
  }
  if (request.method !== "POST") return void response.end(file.text);
  if (time !== String(file.text.length)) return void response.writeHead(409).end();
  file.text = "";
  request.on("data", (part: Buffer) => (file.text += part.toString()));
  request.on("end", () => response.end("{}"));
};

const listening = async (server: Server): Promise<number> => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
};

beforeAll(async () => {
  const place = (name: string) => ({ name, directory: join(folder, name) });
  const serverOf = async (name: string) => {
    await createAuthority(place(name));
    const { certificate, privateKey } = await issue(place(name), [`*.${DOMAIN}`]);
    return createTls({ cert: certificate, key: privateKey }, spaces);
  };
  tls = await serverOf("known");
  impostor = await serverOf("unknown");
  authority = readFileSync(rootCertificate(place("known")), "utf8");
  plain = createPlain(spaces);
  await Promise.all([tls, impostor, plain].map(listening));
});
afterAll(() => {
  for (const server of [tls, impostor, plain]) server.close();
  rmSync(folder, { recursive: true });
});

let fake: Server | undefined;
let suite: string;
async function start(options: Options, encrypted = tls): Promise<void> {
  const portOf = (server: Server) => (server.address() as AddressInfo).port;
  const ports: Record<number, number> = { 80: portOf(plain), 443: portOf(encrypted) };
  fake = fakeCoolwsd(options, {
    route: (_host, port) => ({ host: "127.0.0.1", port: ports[port] ?? 1 }),
    authority,
  });
  suite = `ws://127.0.0.1:${await listening(fake)}`;
}
beforeEach(() => {
  arrived = [];
  files = new Map([
    [`iris.${DOMAIN}`, { token: "of-iris", text: "iris" }],
    [`lotus.${DOMAIN}`, { token: "of-lotus", text: "lotus" }],
  ]);
});
afterEach(() => fake?.close());

describe("with the platform's options", () => {
  beforeEach(() => start(PLATFORM));

  test("names the suite's own address, whoever asks", async () => {
    const answer = await fetch(`${suite.replace("ws", "http")}/hosting/discovery`);
    expect(await answer.text()).toContain(`urlsrc="https://collabora.${DOMAIN}/browser/fake/cool.html?"`);
  });

  test("opens a document, and saves it twice", async () => {
    const session = await new OfficeSession(suite, source("iris"), "of-iris").opened();
    expect(await session.text()).toBe("iris");
    for (const text of ["iris, one", "iris, one, two"]) {
      session.write(text.slice(text.lastIndexOf(",")));
      expect(await session.save()).toBe(true);
      expect(files.get(`iris.${DOMAIN}`)?.text).toBe(text);
    }
    await session.close();
    expect(new Set(arrived)).toEqual(new Set([`https://iris.${DOMAIN}`]));
  });

  test("overwrites no document that somebody has changed meanwhile", async () => {
    const session = await new OfficeSession(suite, source("iris"), "of-iris").opened();
    files.set(`iris.${DOMAIN}`, { token: "of-iris", text: "changed meanwhile" });
    expect(await session.save()).toBe(false);
    await session.close();
    expect(files.get(`iris.${DOMAIN}`)?.text).toBe("changed meanwhile");
  });

  test("keeps documents of one number in two spaces apart", async () => {
    const iris = await new OfficeSession(suite, source("iris"), "of-iris").opened();
    iris.write(", unsaved");
    const lotus = await new OfficeSession(suite, source("lotus"), "of-lotus").opened();
    expect(await lotus.text()).toBe("lotus");
    const second = await new OfficeSession(suite, source("iris"), "of-iris").opened();
    expect(await second.text()).toBe("iris, unsaved");
    await Promise.all([iris, lotus, second].map((session) => session.close()));
  });

  test("refuses a token of another space", async () => {
    expect(await refusal(suite, source("lotus"), "of-iris")).toContain("unauthorized");
    expect(arrived).toEqual([`https://lotus.${DOMAIN}`]);
  });

  test.each([
    `https://iris.${DOMAIN}.evil.test${PATH}`,
    `https://evil.test/iris.${DOMAIN}${PATH}`,
    `https://iris.${DOMAIN}@evil.test${PATH}`,
    `https://evil@iris.${DOMAIN}${PATH}`,
    `https://iris.${DOMAIN}:80${PATH}`,
    `http://iris.${DOMAIN}:443${PATH}`,
    `https://iris.exampleXorg${PATH}`,
    `https://localhost${PATH}`,
    `file:///etc/passwd`,
  ])("asks nobody for %s", async (address) => {
    expect(await refusal(suite, address, "of-iris")).toMatch(/unauthorized|400/);
    expect(arrived).toEqual([]);
  });

  test("sends no token without TLS", async () => {
    expect(await refusal(suite, source("iris", "http"), "of-iris")).toContain("unauthorized");
    expect(arrived).toEqual([]);
  });
});

test("gives no token to whoever has no certificate of the space", async () => {
  await start(PLATFORM, impostor);
  expect(await refusal(suite, source("iris"), "of-iris")).toContain("unauthorized");
  expect(arrived).toEqual([]);
});

describe("with other options, as Collabora would,", () => {
  test.each(["ssl.ssl_verification", "storage.ssl.enable"])(
    "checks no certificate without %s",
    async (option) => {
      await start({ ...PLATFORM, [option]: "false" }, impostor);
      await (await new OfficeSession(suite, source("iris"), "of-iris").opened()).close();
      expect(arrived).toContain(`https://iris.${DOMAIN}`);
    },
  );

  test("sends the token without TLS where the address's scheme decides", async () => {
    await start({ ...PLATFORM, "storage.ssl.as_scheme": "true" });
    await (await new OfficeSession(suite, source("iris", "http"), "of-iris").opened()).close();
    expect(arrived).toContain(`http://iris.${DOMAIN}`);
  });

  test("serves one space alone without groups", async () => {
    const { "storage.wopi.alias_groups[@mode]": _, ...rest } = PLATFORM;
    await start(rest);
    await (await new OfficeSession(suite, source("iris"), "of-iris").opened()).close();
    expect(await refusal(suite, source("lotus"), "of-lotus")).toContain("unauthorized");
  });
});
