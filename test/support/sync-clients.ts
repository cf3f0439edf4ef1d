// People's sync clients at work on one space: they put files, put them again, and upload in chunks, and try again until
// they are told that a file is kept, as such clients do. What was acknowledged is noted here, outside the machines.
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { longestPause } from "./database-ledger.ts";
import { FILES, UPLOADS, type Ask, type Visitor } from "./visitor.ts";

/** Acknowledged files under which a run says nothing. */
const LEAST = 20;
/** A client gives up on a request that says nothing for so long. Nextcloud's own wait for five minutes. */
const PATIENCE_SECONDS = 20;
/**
 * How soon it tries again. A try at a locked file sets the lock's time again, less the whole seconds that have gone
 * (Nextcloud's MemcacheLockingProvider): who tries several times a second keeps the lock.
 */
const RETRY_SECONDS = 1;
/** Within this time from its end on, each client must have been told that what it is at is kept. */
const END_SECONDS = 120;
/** S3 takes no smaller part of an upload in several; two of them are an upload in chunks. */
const CHUNK_BYTES = 5 * 1024 * 1024;

export interface SyncVerdict {
  acknowledged: number;
  /** Acknowledged, and read back otherwise or not at all. Goal: none. */
  lost: string[];
  /** Longest time in which no client was told that a file is kept. */
  secondsWithout: number;
  /** Longest time that a client needed for one file. */
  secondsForOne: number;
  /** How often a request was not answered as it should: by status, or "no answer". */
  refused: Record<string, number>;
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

export class SyncClients {
  readonly #visitor: () => Visitor;
  readonly #folder: string;
  readonly #kept = new Map<string, string>();
  readonly #times: number[] = [];
  readonly #refused: Record<string, number> = {};
  /** What is not taken, and why. */
  readonly #busy = new Map<string, string>();
  #longest = 0;
  /** When clients that were told to end give up. */
  #deadline: number | undefined;
  #working: Promise<unknown> = Promise.resolve();

  /** `visitor` gives the account `admin`; what is written stays in one folder of it. */
  constructor(visitor: () => Visitor, folder: string) {
    this.#visitor = visitor;
    this.#folder = folder;
  }

  /** Begins, and returns once there is as much as a run needs. */
  async start(): Promise<void> {
    const { status } = await this.#visitor().ask("MKCOL", `${FILES}/${this.#folder}`);
    if (status !== 201) throw new Error(`${this.#folder} could not be made: ${status}`);
    onTestFinished(() => {
      this.#deadline ??= Date.now();
    });
    this.#working = Promise.all([this.#client("new"), this.#client("again"), this.#client("chunks")]);
    // Told by `stop`.
    this.#working.catch(() => {});
    await this.more();
  }

  async #client(kind: "new" | "again" | "chunks"): Promise<void> {
    for (let n = 0; this.#deadline === undefined; n++) {
      const path = `${FILES}/${this.#folder}/${kind}-${kind === "again" ? n % 2 : n}.bin`;
      const body = randomBytes(kind === "chunks" ? 2 * CHUNK_BYTES : 20_000);
      const began = Date.now();
      if (kind === "chunks") await this.#upload(path, body);
      else await this.#insist(path, [201, 204], "PUT", path, { body });
      this.#kept.set(path, sha256(body));
      this.#times.push(Date.now() / 1000);
      this.#longest = Math.max(this.#longest, Date.now() - began);
    }
  }

  /** As clients do that know of chunks: one after the other into a directory, which becomes the file. */
  async #upload(path: string, body: Buffer): Promise<void> {
    const directory = `${UPLOADS}/${randomBytes(8).toString("hex")}`;
    const headers = {
      destination: `https://${this.#visitor().host}${path}`,
      "oc-total-length": String(body.length),
    };
    await this.#insist(path, [201, 405], "MKCOL", directory, { headers });
    for (let part = 1; part <= 2; part++) {
      const chunk = body.subarray((part - 1) * CHUNK_BYTES, part * CHUNK_BYTES);
      await this.#insist(path, [200, 201, 204], "PUT", `${directory}/${part}`, { headers, body: chunk });
    }
    // Gone with an answer that never came: the client looks whether the file is there.
    const status = await this.#insist(path, [201, 204, 404], "MOVE", `${directory}/.file`, { headers });
    if (status !== 404) return;
    const { bytes } = await this.#visitor().ask("GET", path);
    if (sha256(bytes) !== sha256(body)) await this.#upload(path, body);
  }

  async #insist(
    file: string,
    wanted: readonly number[],
    method: string,
    path: string,
    ask: Ask,
  ): Promise<number> {
    for (;;) {
      const status = await this.#visitor()
        .ask(method, path, { ...ask, patienceSeconds: PATIENCE_SECONDS })
        .then((answer) => answer.status)
        .catch(() => 0);
      if (wanted.includes(status)) {
        this.#busy.delete(file);
        return status;
      }
      const what = status === 0 ? "no answer" : `${status}`;
      this.#refused[what] = (this.#refused[what] ?? 0) + 1;
      this.#busy.set(file, `${method}: ${what}`);
      if (Date.now() > (this.#deadline ?? Infinity))
        throw new Error(
          `still not taken ${END_SECONDS} s after the clients' end: ${JSON.stringify([...this.#busy])}`,
        );
      await sleep(RETRY_SECONDS * 1000);
    }
  }

  /** Until there is as much again as a run needs. */
  async more(): Promise<void> {
    const wanted = this.#times.length + LEAST;
    for (const end = Date.now() + 180_000; this.#times.length < wanted; await sleep(200))
      if (Date.now() > end)
        throw new Error(
          `no ${LEAST} files were kept within three minutes; at work on ${JSON.stringify([...this.#busy])}`,
        );
  }

  /** Ends all clients, once each has its file kept, and reads everything back. Rejects where one is refused for long. */
  async stop(): Promise<SyncVerdict> {
    this.#deadline = Date.now() + END_SECONDS * 1000;
    await this.#working;
    const lost = [];
    for (const [path, sum] of this.#kept)
      if (sha256((await this.#visitor().ask("GET", path)).bytes) !== sum) lost.push(path);
    return {
      acknowledged: this.#times.length,
      lost,
      secondsWithout: longestPause(this.#times),
      secondsForOne: this.#longest / 1000,
      refused: this.#refused,
    };
  }
}
