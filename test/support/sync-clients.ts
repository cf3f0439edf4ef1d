// Sync clients of people that use one space. They upload files, upload them again, and upload in chunks. As real
// clients do, they try again until the server confirms that it keeps a file. Acknowledged files are recorded here,
// outside the machines.
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { longestPause } from "./database-ledger.ts";
import { FILES, UPLOADS, type Ask, type Visitor } from "./visitor.ts";

/** With fewer acknowledged files, a run proves nothing. */
const LEAST = 20;
/**
 * Seconds after which a client gives up on a request without an answer. Nextcloud's own clients wait for five minutes.
 */
const PATIENCE_SECONDS = 20;
/**
 * The pause before the next try. A try at a locked file sets the time of the lock again, less the whole seconds that
 * have passed (Nextcloud's MemcacheLockingProvider). A client that tries several times a second therefore keeps the
 * lock.
 */
const RETRY_SECONDS = 1;
/** Seconds after the end within which each client must get a confirmation for its current file. */
const END_SECONDS = 120;
/** S3 accepts no smaller part in a multipart upload. Two parts make an upload in chunks. */
const CHUNK_BYTES = 5 * 1024 * 1024;

export interface SyncVerdict {
  acknowledged: number;
  /** Acknowledged, but read back different or not at all. Goal: none. */
  lost: string[];
  /** Longest time in which no client got a confirmation. */
  secondsWithout: number;
  /** Longest time that a client needed for one file. */
  secondsForOne: number;
  /** How often a request got another answer than expected: by status, or "no answer". */
  refused: Record<string, number>;
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

export class SyncClients {
  readonly #visitor: () => Visitor;
  readonly #folder: string;
  readonly #kept = new Map<string, string>();
  readonly #times: number[] = [];
  readonly #refused: Record<string, number> = {};
  /** The files that the server does not keep yet, and why. */
  readonly #busy = new Map<string, string>();
  #longest = 0;
  /** When stopped clients give up. */
  #deadline: number | undefined;
  #working: Promise<unknown> = Promise.resolve();

  /** `visitor` returns a visitor with the account `admin`. All files are in one of its folders. */
  constructor(visitor: () => Visitor, folder: string) {
    this.#visitor = visitor;
    this.#folder = folder;
  }

  /** Starts the clients, and returns once there are as many files as a run needs. */
  async start(): Promise<void> {
    const { status } = await this.#visitor().ask("MKCOL", `${FILES}/${this.#folder}`);
    if (status !== 201) throw new Error(`${this.#folder} could not be made: ${status}`);
    onTestFinished(() => {
      this.#deadline ??= Date.now();
    });
    this.#working = Promise.all([this.#client("new"), this.#client("again"), this.#client("chunks")]);
    // `stop` reports the failure.
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

  /** Uploads as clients with chunks do: one after the other into a directory, which becomes the file. */
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
    // 404: an earlier MOVE succeeded and its answer was lost. The client checks whether the file is there.
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
          `still not kept ${END_SECONDS} s after the clients were stopped: ${JSON.stringify([...this.#busy])}`,
        );
      await sleep(RETRY_SECONDS * 1000);
    }
  }

  /** Waits for as many more files as a run needs. */
  async more(): Promise<void> {
    const wanted = this.#times.length + LEAST;
    for (const end = Date.now() + 180_000; this.#times.length < wanted; await sleep(200))
      if (Date.now() > end)
        throw new Error(
          `no ${LEAST} files were kept within three minutes; at work on ${JSON.stringify([...this.#busy])}`,
        );
  }

  /**
   * Stops all clients as soon as each has its file kept, and reads everything back. Rejects if a client is refused for
   * too long.
   */
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
