// A visitor who uses a space from outside, with the cookies of a browser or the password of a sync client. All requests
// go to the lab's port on this machine's loopback.
import { request, type RequestOptions } from "node:https";
import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** The WebDAV paths of the files of the account `admin`, and of its uploads in chunks. */
export const FILES = "/remote.php/dav/files/admin";
export const UPLOADS = "/remote.php/dav/uploads/admin";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
  text: string;
}

export interface Ask {
  headers?: Record<string, string>;
  /**
   * Text or bytes are sent with their length. An iterable is sent in chunks without a length, as fast as it gives them.
   */
  body?: string | Buffer | Iterable<Buffer> | AsyncIterable<Buffer>;
  /** How long to wait for the answer. Without it: for ever. */
  patienceSeconds?: number;
}

/**
 * A body for a request that has to last. It sends a byte twice a second, because a load balancer closes silent
 * connections, and the rest once `until` resolves.
 */
export function slowBody(content: Buffer, until: Promise<unknown>): Pick<Ask, "body" | "headers"> {
  const over = Symbol("over");
  const body = (async function* () {
    let sent = 0;
    while ((await Promise.race([until.then(() => over), sleep(500)])) !== over && sent + 1 < content.length)
      yield content.subarray(sent, ++sent);
    await until;
    yield content.subarray(sent);
  })();
  return { body, headers: { "content-length": String(content.length) } };
}

export class Visitor {
  readonly #port: number;
  readonly host: string;
  readonly #login: { user: string; password: string } | undefined;
  readonly cookies = new Map<string, string>();

  /** With a login, each request carries it, as the requests of a sync client do. */
  constructor(port: number, host: string, login?: { user: string; password: string }) {
    this.#port = port;
    this.host = host;
    this.#login = login;
  }

  /** Sends one request. Does not follow redirects. */
  async ask(
    method: string,
    path: string,
    { headers = {}, body, patienceSeconds }: Ask = {},
  ): Promise<Answer> {
    const options: RequestOptions = {
      host: "127.0.0.1",
      port: this.#port,
      servername: this.host,
      method,
      path,
      // The certificate is the lab's own.
      rejectUnauthorized: false,
      agent: false,
      ...(patienceSeconds !== undefined && { signal: AbortSignal.timeout(patienceSeconds * 1000) }),
      headers: {
        host: `${this.host}:${this.#port}`,
        // Without this header, Nextcloud takes a request with cookies for a forged request of another site.
        "ocs-apirequest": "true",
        ...(this.cookies.size > 0 && {
          cookie: [...this.cookies].map((pair) => pair.join("=")).join("; "),
        }),
        ...(typeof body === "string" && { "content-length": String(Buffer.byteLength(body)) }),
        ...(Buffer.isBuffer(body) && { "content-length": String(body.length) }),
        ...headers,
      },
      ...(this.#login && { auth: `${this.#login.user}:${this.#login.password}` }),
    };
    return new Promise((resolve, reject) => {
      const asked = request(options, (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("end", () => {
          for (const line of response.headers["set-cookie"] ?? []) this.#keep(line);
          const bytes = Buffer.concat(parts);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            bytes,
            text: bytes.toString(),
          });
        });
        response.on("error", reject);
      });
      asked.on("error", reject);
      if (typeof body === "string" || Buffer.isBuffer(body)) asked.end(body);
      else Readable.from(body ?? []).pipe(asked);
    });
  }

  #keep(line: string): void {
    const [pair = ""] = line.split(";");
    const [name = "", ...value] = pair.split("=");
    if (value.join("=") === "deleted") this.cookies.delete(name);
    else this.cookies.set(name, value.join("="));
  }

  /** The token that a page of Nextcloud gives to its scripts, to show that a request comes from the page. */
  async requestToken(page: string): Promise<string> {
    const { status, text } = await this.ask("GET", page);
    const token = /data-requesttoken="([^"]+)"/.exec(text)?.[1];
    if (token === undefined) throw new Error(`${page} answers ${status}, and has no request token`);
    return token;
  }

  /** Enters account and password on the login page. */
  async logIn(user: string, password: string): Promise<Answer> {
    const requesttoken = await this.requestToken("/login");
    return this.ask("POST", "/login", {
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        origin: `https://${this.host}:${this.#port}`,
      },
      body: new URLSearchParams({
        user,
        password,
        timezone: "Europe/Paris",
        timezone_offset: "1",
        requesttoken,
      }).toString(),
    });
  }

  /** Chooses a password through the link of a mail, as the page does. */
  async choosePassword(link: URL, password: string): Promise<Answer> {
    const requesttoken = await this.requestToken(link.pathname);
    const [token = "", user = ""] = link.pathname.split("/").slice(-2);
    return this.ask("POST", `/lostpassword/set/${token}/${user}`, {
      headers: { "content-type": "application/json", requesttoken },
      body: JSON.stringify({ password, proceed: true }),
    });
  }
}
