// A client of object storage, in the network namespace of a web server. It writes, overwrites, deletes and reads with
// checksums, through any node that answers, and records each acknowledgement in the ledger. Or it rereads what the
// ledger lists. Usage: `node client.ts load|verify <OPTIONS-AS-JSON`. The options contain a key. `load` ends at
// SIGTERM, `verify` prints a Verdict.
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
  type ListObjectVersionsCommandOutput,
} from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { Agent } from "node:https";
import type { LookupFunction } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { PORTS } from "../../infra/machine/firewall.ts";
import {
  ABSENT,
  generator,
  isWrite,
  readLedger,
  type Entry,
  type Line,
  type Verdict,
} from "./object-ledger.ts";

export interface ClientOptions {
  /** Name → address. */
  nodes: Record<string, string>;
  /** File with the certificate of the authority. */
  ca: string;
  key: string;
  secret: string;
  bucket: string;
  ledger: string;
  seed: number;
  /** Distinguishes the keys of this client from those of others. */
  prefix: string;
  /** Milliseconds that each writer waits between its writes. */
  rest: number;
}

const WRITERS = 4;
const LARGEST = 256 * 1024;
/**
 * Milliseconds after which a request counts as unanswered. Web servers wait as long (the SDK of Nextcloud has no
 * shorter limit).
 */
const PATIENCE = 5000;

const [work] = process.argv.slice(2);
const options = JSON.parse(readFileSync(0, "utf8")) as ClientOptions;

const lookup: LookupFunction = (name, { all }, done) => {
  const address = options.nodes[name] ?? "";
  if (all) done(null, [{ address, family: 4 }]);
  else done(null, address, 4);
};
const httpsAgent = new Agent({ ca: readFileSync(options.ca), lookup, keepAlive: true, maxSockets: 64 });
const clients = Object.keys(options.nodes).map(
  (name) =>
    new S3Client({
      endpoint: `https://${name}:${PORTS.s3}`,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId: options.key, secretAccessKey: options.secret },
      requestHandler: {
        httpsAgent,
        connectionTimeout: 1000,
        requestTimeout: PATIENCE,
        throwOnRequestTimeout: true,
      },
      maxAttempts: 1,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    }),
);
const clientOf = (node: number) => clients[node % clients.length] ?? clients[0] ?? new S3Client();

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const note = (line: Line) => appendFileSync(options.ledger, `${JSON.stringify(line)}\n`);
const statusOf = (error: unknown) =>
  (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;

const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

/** Tries one node after the other, as config.php does, until one answers. */
async function persistently<T>(
  first: number,
  key: string,
  act: (client: S3Client) => Promise<T>,
): Promise<T | undefined> {
  for (let attempt = 0; !stop.signal.aborted; attempt++)
    try {
      return await act(clientOf(first + attempt));
    } catch (error) {
      const outcome = error instanceof Error ? error.name : String(error);
      note({ time: Date.now(), kind: "unknown", key, outcome });
      await sleep(50);
    }
  return undefined;
}

/** Only one writer writes a key, so that the order of its writes is known. */
async function write(writer: number): Promise<void> {
  const random = generator(options.seed * 31 + writer);
  const keys: string[] = [];
  const latest = new Map<string, Entry>();
  const earlier = new Set<string>();
  for (let turn = 0; !stop.signal.aborted; turn++) {
    const node = Math.floor(random() * clients.length);
    const dice = random();
    const old = keys[Math.floor(random() * keys.length)];
    // Only once: MinIO removes the marker of a deleted object when the object is deleted twice (minio-versions.md).
    if (old !== undefined && dice < 0.15 && latest.get(old)?.kind === "put") {
      const version = await persistently(node, old, (client) => remove(client, old));
      if (version === undefined) return;
      const entry: Entry = {
        time: Date.now(),
        kind: "delete",
        key: old,
        version,
        size: 0,
        sha256: "",
      };
      latest.set(old, entry);
      note(entry);
    } else {
      const key = old !== undefined && dice < 0.3 ? old : `${options.prefix}/${writer}/${turn}`;
      if (key !== old) keys.push(key);
      const body = Buffer.alloc(1 + Math.floor(random() * LARGEST));
      for (let at = 0; at < body.length; at += 4) body.writeUInt8(Math.floor(random() * 256), at);
      const answer = await persistently(node, key, (client) =>
        client.send(new PutObjectCommand({ Bucket: options.bucket, Key: key, Body: body })),
      );
      if (!answer) return;
      const entry: Entry = {
        time: Date.now(),
        kind: "put",
        key,
        version: answer.VersionId ?? "",
        size: body.length,
        sha256: digest(body),
      };
      earlier.add(`${key} ${entry.sha256}`);
      latest.set(key, entry);
      note(entry);
    }
    const read = keys[Math.floor(random() * keys.length)];
    if (read !== undefined) await readBack(node + 1, read, latest.get(read), earlier);
    await sleep(options.rest);
  }
}

/**
 * Deletes an object and returns the version of the delete marker. An answer without a version means that there was
 * nothing to delete. MinIO also says this about an object of which too few parts can be reached
 * (docs/decisions/0015-minio-versions.md). Then nothing was acknowledged.
 */
async function remove(client: S3Client, key: string): Promise<string> {
  const { DeleteMarker, VersionId } = await client.send(
    new DeleteObjectCommand({ Bucket: options.bucket, Key: key }),
  );
  if (DeleteMarker === true && VersionId !== undefined) return VersionId;
  throw Object.assign(new Error(`nothing to delete at ${key}`), { name: ABSENT });
}

/**
 * `stale`: what the key held before. `absent`: nothing, although something was written. `wrong`: something that nobody
 * wrote there.
 */
async function readBack(
  node: number,
  key: string,
  expected: Entry | undefined,
  earlier: ReadonlySet<string>,
): Promise<void> {
  if (!expected) return;
  const outcome = await persistently(node, key, async (client) => {
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: options.bucket, Key: key }));
      const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array();
      const found = digest(bytes);
      if (found === expected.sha256) return "right";
      return earlier.has(`${key} ${found}`) ? "stale" : "wrong";
    } catch (error) {
      if (statusOf(error) === 404) return expected.kind === "delete" ? "right" : ABSENT;
      throw error;
    }
  });
  if (outcome !== undefined) note({ time: Date.now(), kind: "get", key, outcome });
}

/**
 * Checks every acknowledged version by its content, the latest state of every key, and that nobody else wrote anything.
 */
async function verify(): Promise<Verdict> {
  const lines = readLedger(options.ledger);
  const entries = lines.filter(isWrite);
  const verdict: Verdict = { checked: 0, stable: 0, stale: [], lost: [], unexpected: [], unknown: 0 };
  const latest = new Map(entries.map((entry) => [entry.key, entry]));
  // An attempt without an answer may have been a write.
  const uncertain = new Set(
    lines.flatMap((line) => (line.kind === "unknown" && line.outcome !== ABSENT ? [line.key] : [])),
  );
  const queue = entries.map((entry, index) => ({ entry, node: index }));
  const reread = async () => {
    for (let item = queue.pop(); item; item = queue.pop()) {
      const { entry, node } = item;
      verdict.checked++;
      const found = await findVersion(node, entry);
      if (found === "lost") verdict.lost.push(`${entry.kind} ${entry.key} ${entry.version}`);
      else if (latest.get(entry.key) === entry) {
        const shown = await findLatest(node + 1, entry);
        if (shown) verdict.stable++;
        else if (uncertain.has(entry.key)) verdict.unknown++;
        else verdict.stale.push(`${entry.kind} ${entry.key}`);
      } else verdict.stable++;
    }
  };
  await Promise.all(Array.from({ length: 8 }, reread));
  await findUnexpected(entries, uncertain, verdict);
  return verdict;
}

/**
 * Asks one node after the other until one gives an answer, which may be a refusal. Nodes that have just come back may
 * not know all of their neighbours yet. They keep requests waiting until they know their buckets.
 */
async function answered<T>(node: number, ask: (client: S3Client) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++)
    try {
      return await ask(clientOf(node + attempt));
    } catch (error) {
      if ((statusOf(error) ?? 500) < 500 || attempt === 5) throw error;
      await sleep(500);
    }
}

async function contentOf(node: number, target: { Key: string; VersionId?: string }): Promise<string> {
  const request = { Bucket: options.bucket, ...target };
  return answered(node, async (client) => {
    const { Body } = await client.send(new GetObjectCommand(request));
    return digest((await Body?.transformToByteArray()) ?? new Uint8Array());
  });
}

/** A version is lost only if three nodes say that it is not there. */
async function findVersion(node: number, { kind, key, version, sha256 }: Entry): Promise<"there" | "lost"> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const target = { Key: key, VersionId: version };
    try {
      if (kind === "put") {
        if ((await contentOf(node + attempt, target)) === sha256) return "there";
      } else
        await answered(node + attempt, (client) =>
          client.send(new HeadObjectCommand({ Bucket: options.bucket, ...target })),
        );
    } catch (error) {
      // S3 gives this status to a request for a delete marker by its version.
      if (kind === "delete" && statusOf(error) === 405) return "there";
      await sleep(500);
    }
  }
  return "lost";
}

async function findLatest(node: number, { kind, key, sha256 }: Entry): Promise<boolean> {
  try {
    return (await contentOf(node, { Key: key })) === sha256 && kind === "put";
  } catch (error) {
    return kind === "delete" && statusOf(error) === 404;
  }
}

async function findUnexpected(
  entries: readonly Entry[],
  uncertain: ReadonlySet<string>,
  verdict: Verdict,
): Promise<void> {
  const known = new Set(entries.map(({ key, version }) => `${key} ${version}`));
  for (let marker: { KeyMarker?: string; VersionIdMarker?: string } | undefined = {}; marker;) {
    const request = { Bucket: options.bucket, Prefix: `${options.prefix}/`, ...marker };
    const page: ListObjectVersionsCommandOutput = await answered(0, (client) =>
      client.send(new ListObjectVersionsCommand(request)),
    );
    for (const { Key = "", VersionId = "" } of [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])])
      if (!known.has(`${Key} ${VersionId}`)) {
        if (uncertain.has(Key)) verdict.unknown++;
        else verdict.unexpected.push(`${Key} ${VersionId}`);
      }
    marker =
      page.IsTruncated === true && page.NextKeyMarker !== undefined
        ? {
            KeyMarker: page.NextKeyMarker,
            ...(page.NextVersionIdMarker !== undefined && { VersionIdMarker: page.NextVersionIdMarker }),
          }
        : undefined;
  }
}

if (work === "verify") console.log(JSON.stringify(await verify()));
else await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
httpsAgent.destroy();
