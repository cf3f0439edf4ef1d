// The lab's own answer in place of coolwsd, which is Collabora Online: `fake-coolwsd.ts --o:NAME=VALUE…`. A document is
// its bytes, as text: it can be read, written at the end, and saved. What it refuses, and how it asks a space for a
// document (WOPI), is as in Collabora's wsd/RequestVettingStation.cpp, wsd/wopi/StorageConnectionManager.cpp,
// CheckFileInfo.cpp and WopiStorage.cpp. Messages are those of wsd/protocol.txt.
import { on } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, request as requestPlain, type IncomingMessage, type Server } from "node:http";
import { request as requestTls } from "node:https";
import { join } from "node:path";
import { WebSocketServer, type WebSocket } from "ws";
import { DocumentHosts, readAddress, readOptions, type Address, type Options } from "./document-hosts.ts";

/** What a machine in production has of the world. */
export interface World {
  /** Where connections to a host and port go. */
  route: (host: string, port: number) => { host: string; port: number };
  /** PEM: the one authority whose certificates the machine's own list would vouch for. */
  authority: string;
}

/** Types of documents that the connector's tests and people in a lab open; Collabora knows a hundred. */
const TYPES = {
  "text/plain": "txt",
  "application/vnd.oasis.opendocument.text": "odt",
  "application/vnd.oasis.opendocument.spreadsheet": "ods",
  "application/vnd.oasis.opendocument.presentation": "odp",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
} as const;

/** In Collabora, the hash of its version. */
const BROWSER = "/browser/fake";

/** How often a space may send Collabora elsewhere for one document (net/HttpRequest.hpp has 21). */
const MOST_REDIRECTS = 21;

/** What Collabora closes a connection with that it does not serve (WebSocketHandler, POLICY_VIOLATION). */
const REFUSED = 1008;

interface OpenDocument {
  text: string;
  modifiedTime: string;
  sessions: number;
}

interface FileInfo {
  BaseFileName: string;
  UserCanWrite?: boolean;
  LastModifiedTime?: string;
}

/** Serves until the server is closed. */
export function fakeCoolwsd(options: Options, world: World): Server {
  const hosts = new DocumentHosts(options);
  const spaces = new Spaces(options, world);
  const documents = new Map<string, OpenDocument>();
  const server = createServer((request, response) => {
    const [type, text] = page(request, options) ?? [];
    if (type === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": type }).end(text);
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    const address = documentOf(request.url ?? "");
    if (!address) return void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on("error", () => client.terminate());
      serve(client, address).catch((error: unknown) => {
        console.error(`${address.scheme}://${address.authority}${address.path}: ${String(error)}`);
        client.send("error: cmd=internal kind=unauthorized");
        client.close(REFUSED);
      });
    });
  });
  return server;

  async function serve(client: WebSocket, address: Address): Promise<void> {
    if (!hosts.allows(address)) throw new Error("this host is not allowed");
    // Keeps what arrives during these requests, and ends with the connection.
    const messages = on(client, "message", { close: ["close"] }) as AsyncIterable<[Buffer]>;
    let info = await spaces.checkFileInfo(address);
    const key = hosts.keyOf(address);
    const fetched = documents.has(key) ? "" : await spaces.getFile(address);
    const document = documents.get(key) ?? {
      text: fetched,
      modifiedTime: info.LastModifiedTime ?? "",
      sessions: 0,
    };
    documents.set(key, document);
    document.sessions++;
    try {
      for await (const [message] of messages) {
        const [, command = "", rest = ""] = /^(\S+) ?(.*)$/s.exec(message.toString()) ?? [];
        if (command === "load") client.send("statusindicatorfinish:");
        if (command === "gettextselection") client.send(`textselectioncontent: ${document.text}`);
        if (command === "textinput" && info.UserCanWrite)
          document.text += decodeURIComponent(/(?:^| )text=(\S*)/.exec(rest)?.[1] ?? "");
        if (command !== "save") continue;
        const success = await spaces.putFile(address, document);
        client.send(`unocommandresult: ${JSON.stringify({ commandName: ".uno:Save", success })}`);
        if (!success) continue;
        info = await spaces.checkFileInfo(address);
        document.modifiedTime = info.LastModifiedTime ?? "";
      }
    } finally {
      document.sessions--;
      if (document.sessions === 0) documents.delete(key);
    }
  }
}

/** The document of `/cool/<address, encoded>/ws?…`. Collabora decodes it twice (wsd/RequestDetails.cpp). */
function documentOf(url: string): Address | undefined {
  const [, encoded = ""] = /^\/cool\/([^/?]+)\/ws\b/.exec(url) ?? [];
  try {
    return readAddress(decodeURIComponent(decodeURIComponent(encoded)));
  } catch {
    return undefined;
  }
}

/** Content type and text of a page. */
function page(request: IncomingMessage, options: Options): [string, string] | undefined {
  const path = (request.url ?? "").split("?")[0] ?? "";
  const tls = options["ssl.enable"] === "true" || options["ssl.termination"] === "true";
  const self = `${tls ? "https" : "http"}://${options["server_name"] || request.headers.host}`;
  if (path === "/hosting/discovery") return ["text/xml", discovery(self)];
  if (path === "/hosting/capabilities")
    return [
      "application/json",
      JSON.stringify({ "convert-to": { available: false }, productName: "a fake of Collabora Online" }),
    ];
  if (path === "/") return ["text/plain", "OK"];
  if (path === `${BROWSER}/cool.html`)
    return [
      "text/html; charset=utf-8",
      "<!doctype html><title>Collabora</title><p>A fake answers in Collabora's place: it shows no document.</p>\n",
    ];
  return undefined;
}

function discovery(self: string): string {
  const app = (name: string, action: string) => `    <app name="${name}">\n      ${action}\n    </app>\n`;
  const types = Object.entries(TYPES).map(([name, extension]) =>
    app(
      name,
      `<action default="true" ext="${extension}" name="edit" urlsrc="${self}${BROWSER}/cool.html?"/>`,
    ),
  );
  const capabilities = app(
    "Capabilities",
    `<action ext="" name="getinfo" urlsrc="${self}/hosting/capabilities"/>`,
  );
  return `<?xml version="1.0" encoding="utf-8"?>
<wopi-discovery>
  <net-zone name="external-http">
${types.join("")}${capabilities}  </net-zone>
</wopi-discovery>
`;
}

interface Asked {
  method?: "GET" | "POST";
  headers?: Record<string, string>;
  body?: string;
}

/** The spaces, asked by WOPI. */
class Spaces {
  readonly #options: Options;
  readonly #world: World;

  constructor(options: Options, world: World) {
    this.#options = options;
    this.#world = world;
  }

  /** Rejects if the space does not know the token, or there is no such document. */
  async checkFileInfo(address: Address, redirects = MOST_REDIRECTS): Promise<FileInfo> {
    const { status, location, text } = await this.#ask(address, "", {});
    const elsewhere = [301, 302, 307, 308].includes(status) ? readAddress(location) : undefined;
    if (elsewhere && redirects > 0) return this.checkFileInfo(elsewhere, redirects - 1);
    if (status !== 200) throw new Error(`CheckFileInfo is answered with ${status}`);
    const info = JSON.parse(text) as FileInfo;
    if (typeof info.BaseFileName !== "string" || info.BaseFileName.includes("/"))
      throw new Error("CheckFileInfo names no file");
    return info;
  }

  async getFile(address: Address): Promise<string> {
    const { status, text } = await this.#ask(address, "/contents", {});
    if (status !== 200) throw new Error(`GetFile is answered with ${status}`);
    return text;
  }

  /** Whether the space took the document. */
  async putFile(address: Address, { text, modifiedTime }: OpenDocument): Promise<boolean> {
    const headers = { "X-WOPI-Override": "PUT", "X-COOL-WOPI-Timestamp": modifiedTime };
    const { status } = await this.#ask(address, "/contents", { method: "POST", headers, body: text });
    if (status !== 200) console.error(`PutFile is answered with ${status}`);
    return status === 200;
  }

  #isOn(name: string, otherwise: string): boolean {
    return (this.#options[name] ?? otherwise) === "true";
  }

  #isTls(scheme: string): boolean {
    if (this.#isOn("storage.ssl.as_scheme", "true")) return scheme !== "http";
    return this.#isStorageTls() || this.#isOn("ssl.termination", "false");
  }

  #isStorageTls(): boolean {
    return this.#isOn("storage.ssl.enable", this.#options["ssl.enable"] ?? "true");
  }

  #isVerified(): boolean {
    const isSwitchedOn = this.#isStorageTls() || this.#isOn("storage.ssl.as_scheme", "true");
    return isSwitchedOn && this.#isOn("ssl.ssl_verification", "true");
  }

  #ask(
    { scheme, host, port, path, query }: Address,
    below: string,
    { method = "GET", headers = {}, body = "" }: Asked,
  ): Promise<{ status: number; location: string; text: string }> {
    const isTls = this.#isTls(scheme);
    return new Promise((resolve, reject) => {
      const asked = (isTls ? requestTls : requestPlain)({
        ...this.#world.route(host, port),
        method,
        path: `${path}${below}?${query}`,
        headers: { ...headers, host: `${host}:${port}`, "content-length": Buffer.byteLength(body) },
        agent: false,
        signal: AbortSignal.timeout(30_000),
        ...(isTls && {
          servername: host,
          ca: this.#world.authority,
          rejectUnauthorized: this.#isVerified(),
        }),
      });
      asked.on("error", reject).on("response", (response) => {
        const parts: Buffer[] = [];
        response.on("error", reject).on("data", (part: Buffer) => parts.push(part));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            location: response.headers.location ?? "",
            text: Buffer.concat(parts).toString(),
          }),
        );
      });
      asked.end(body);
    });
  }
}

if (import.meta.main) {
  // The lab has no DNS and no public authority. lab/office-repository.ts wrote into the unit and beside this file what
  // both would say.
  const { LAB_BALANCER: balancer = "", LAB_PORT = "" } = process.env;
  const world: World = {
    route: (_host, port) => ({ host: balancer, port: port === Number(LAB_PORT) ? 443 : port }),
    authority: readFileSync(join(import.meta.dirname, "authority.crt"), "utf8"),
  };
  fakeCoolwsd(readOptions(process.argv.slice(2)), world).listen(9980);
}
