// Downloads into a folder outside the repository. What is whole there is not downloaded again; what was cut off goes on
// where it ended. Nothing here is trusted: whoever takes a file from here checks its signature, each time.
import { createHash } from "node:crypto";
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { UserError } from "../validation/user-error.ts";
import type { Say } from "./progress-lines.ts";
import { SENT_ON } from "./sources.ts";

/** Where downloads and archives are kept unless somebody names another folder. */
export const defaultCache = (): string =>
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "framaspace");

/** What is to be downloaded. */
export interface Wanted {
  url: string;
  /** As people know it: `calendar 5.5.1`. */
  what: string;
  /** More bytes than this are refused. */
  most: number;
}

/** Network faults are tried again, this many times in all. */
const ATTEMPTS = 3;
/** A server that sends nothing for this time is given up. */
const SILENT_SECONDS = 60;
const MOST_REDIRECTS = 5;
const MENTION_SECONDS = 5;

/** The network's fault: the same request may succeed later. */
class Broken extends Error {}

export class Downloads {
  readonly #folder: string;
  readonly #say: Say;

  /** @param folder Made if it is missing. */
  constructor(folder: string, say: Say) {
    this.#folder = folder;
    this.#say = say;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** Downloads a file that never changes, unless it is there. Resolves to its path. Throws a UserError. */
  async get(wanted: Wanted): Promise<string> {
    const path = this.#pathOf(wanted.url);
    if (!existsSync(path)) await this.#download(wanted, path);
    return path;
  }

  /** Downloads a file again, whatever is there. Resolves to its path. Throws a UserError. */
  async again(wanted: Wanted): Promise<string> {
    this.discard(wanted.url);
    return this.get(wanted);
  }

  /** Downloads a file that changes. Resolves to its bytes. Throws a UserError. */
  async fresh(wanted: Wanted): Promise<Buffer> {
    const bytes = readFileSync(await this.again(wanted));
    this.discard(wanted.url);
    return bytes;
  }

  /** Forgets what was downloaded from an address, as it proved wrong. */
  discard(url: string): void {
    for (const end of ["", ".part", ".tag"]) rmSync(`${this.#pathOf(url)}${end}`, { force: true });
  }

  #pathOf(url: string): string {
    const name = /([\w.+-]{1,80})(?:[?#].*)?$/.exec(url)?.[1] ?? "file";
    return join(this.#folder, `${createHash("sha256").update(url).digest("hex").slice(0, 16)}-${name}`);
  }

  async #download(wanted: Wanted, path: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#fetch(wanted, path);
        renameSync(`${path}.part`, path);
        rmSync(`${path}.tag`, { force: true });
        return;
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        if (attempt === ATTEMPTS)
          throw new UserError(
            `${wanted.what}: could not download ${wanted.url}: ${error.message}. What came so far is kept; type the same command again when it can be reached.`,
          );
        await new Promise((resolve) => setTimeout(resolve, attempt * 500));
      }
    }
  }

  async #fetch({ url, what, most }: Wanted, path: string): Promise<void> {
    const part = `${path}.part`;
    const tag = existsSync(`${path}.tag`) ? readFileSync(`${path}.tag`, "utf8") : "";
    const had = tag !== "" && existsSync(part) ? statSync(part).size : 0;
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), SILENT_SECONDS * 1000);
    try {
      const headers = {
        // Of what was compressed on the way, nobody announces the size.
        "accept-encoding": "identity",
        ...(had > 0 && { range: `bytes=${had}-`, "if-range": tag }),
      };
      const response = await follow(url, what, { headers, signal: silence.signal });
      if (response.status === 416) {
        this.discard(url);
        throw new Broken("the server no longer has what was begun");
      }
      if (response.status >= 500 || response.status === 429)
        throw new Broken(`the server answers ${response.status}`);
      if (!response.ok || !response.body)
        throw new UserError(
          `${what}: ${url} answers ${response.status}; look whether this version is published there.`,
        );
      const begin = response.status === 206 ? had : 0;
      const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
      const whole = length === null ? undefined : begin + Number(length);
      if ((whole ?? 0) > most) throw tooLarge(url, what, most);
      await writeFile(`${path}.tag`, response.headers.get("etag")?.replace(/^W\/.*/, "") ?? "");

      let bytes = begin;
      let mentioned = performance.now();
      const counting = new Transform({
        transform: (chunk: Buffer, _, done) => {
          timer.refresh();
          bytes += chunk.length;
          if (performance.now() - mentioned > MENTION_SECONDS * 1000) {
            mentioned = performance.now();
            this.#say(`${what}: ${megabytes(bytes)}${whole === undefined ? "" : ` of ${megabytes(whole)}`}`);
          }
          done(bytes > most ? tooLarge(url, what, most) : null, chunk);
        },
      });
      await pipeline(response.body, counting, createWriteStream(part, { flags: begin > 0 ? "a" : "w" }));
      if (whole !== undefined && bytes !== whole)
        throw new Broken(`${bytes} bytes came of the ${whole} that were announced`);
    } catch (error) {
      if (error instanceof UserError) {
        this.discard(url);
        throw error;
      }
      throw error instanceof Broken ? error : new Broken(reasonOf(error), { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Asks an address, and the addresses to which it sends on. Throws a UserError for one of another owner. */
async function follow(first: string, what: string, init: RequestInit): Promise<Response> {
  let url = new URL(first);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const response = await fetch(url, { ...init, redirect: "manual" });
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || response.status === 304 || location === null)
      return response;
    await response.body?.cancel();
    const next = new URL(location, url);
    const known = next.host === url.host || (SENT_ON[url.host]?.test(next.host) ?? false);
    if (!known || (url.protocol === "https:" && next.protocol !== "https:"))
      throw new UserError(
        `${what}: ${url.href} sends on to ${next.protocol}//${next.host}, which is not known to belong to it; nothing was taken from there. If its owner has moved, write the new address, or add the host to release/sources.ts.`,
      );
    url = next;
  }
  throw new UserError(`${what}: ${first} sends on and on; nothing was downloaded.`);
}

function tooLarge(url: string, what: string, most: number): UserError {
  return new UserError(
    `${what}: what ${url} serves is larger than ${megabytes(most)}; it was not kept. Nothing of this kind is that large.`,
  );
}

/** Why a request failed, for people: the code of the network, mostly. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === "AbortError")
    return `the server sent nothing for ${SILENT_SECONDS} s`;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  return "code" in cause && !cause.message.includes(String(cause.code))
    ? `${String(cause.code)}, ${cause.message}`
    : cause.message;
}

/** `3.2 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
