// The gate before the spaces' databases and buckets. If MinIO's provider cannot ask about a bucket, it takes the bucket
// for gone, and a refresh then drops it from the state (minioReadBucket in its s3 bucket resource). But neither
// provider loads without the file of its certificate authority, and the state holds the path of that file. So the file
// exists only while a command runs that has checked that both services answer. At any other time, refresh, destroy and
// up --refresh end with an error that names the file, and the state stays as it is.
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { connect, isIP, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { connect as connectTls } from "node:tls";
import { UserError } from "../../validation/user-error.ts";

/** A service that must answer before the gate opens. */
export interface Service {
  kind: "PostgreSQL" | "MinIO";
  host: string;
  port: number;
}

type Address = Pick<Service, "host" | "port">;

/** The process that opens the gate sets this for the engine, and closes the gate itself. */
export const GATE_IS_OPEN = "FRAMASPACE_GATE";

const ROOT = join(import.meta.dirname, "../..");
const SECONDS = 15;

/**
 * Path of the authority's file in a stack's state, relative to the repository. The engine's error shows the file's
 * name.
 */
export function gateFile(stack: string): string {
  return `node_modules/.cache/framaspace/${stack}/only-there-during--npm-run-pulumi.crt`;
}

/** Writes the authority's certificate, which is public, to its path. Returns a function that removes it. */
export function openGate(stack: string, certificate: string): () => void {
  const file = join(ROOT, gateFile(stack));
  mkdirSync(dirname(file), { recursive: true });
  // The file is renamed into place, because the engine may be reading one that an earlier command left.
  writeFileSync(`${file}.${process.pid}`, certificate);
  renameSync(`${file}.${process.pid}`, file);
  return () => rmSync(file, { force: true });
}

/** Rejects unless every service answers. The UserError says what to do. */
export async function assertAnswering(services: readonly Service[], certificate: string): Promise<void> {
  const problems = await Promise.all(
    services.map(async (service) => {
      try {
        await (service.kind === "MinIO" ? askMinio(service, certificate) : askPostgresql(service));
        return [];
      } catch (error) {
        return [`  ${service.kind} at ${service.host}:${service.port}: ${messageOf(error)}`];
      }
    }),
  );
  if (problems.flat().length > 0)
    throw new UserError(
      `What holds the spaces' data is out of reach; nothing was changed.\n${problems.flat().join("\n")}\n  Both are reached through ops-1 (ALL_PROXY; \`npm run pulumi\` opens the way by itself). On ops-1, \`mc admin info serving\` and \`psql service=framaspace\` say how they are; docs/runbooks/ has what to do when a machine or site is lost.`,
    );
}

/** Why a service did not answer. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/** Asks MinIO whether it can write to a majority of its drives. */
async function askMinio(service: Service, ca: string): Promise<void> {
  const socket = await dialTls(service, ca);
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const options = { host: service.host, path: "/minio/health/cluster", createConnection: () => socket };
    get(options, (response) => resolve(response.resume().statusCode)).on("error", reject);
  });
  socket.destroy();
  if (status !== 200) throw new Error(`answers ${status}: too few of its drives are there`);
}

/** Asks PostgreSQL whether it takes TLS: its answer to SSLRequest is then `S` ("Message Formats" in its manual). */
async function askPostgresql(service: Service): Promise<void> {
  (await dialPostgresql(service)).destroy();
}

async function dialPostgresql(service: Address): Promise<Socket> {
  const socket = await dial(service);
  socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
  if ((await readBytes(socket, 1)).toString("latin1") === "S") return socket;
  socket.destroy();
  throw new Error("takes no TLS");
}

/** Opens a TLS connection to PostgreSQL, through the SOCKS proxy if there is one. */
export const dialPostgresqlTls = async (service: Address, ca: string) =>
  secure(await dialPostgresql(service), service.host, ca);

/** Opens a TLS connection to a service, through the SOCKS proxy if there is one. */
export const dialTls = async (service: Address, ca: string) => secure(await dial(service), service.host, ca);

async function secure(socket: Socket, host: string, ca: string): Promise<Socket> {
  // TLS names no server by its address (RFC 6066); its certificate may.
  const secured = connectTls({ socket, host, ca, ...(isIP(host) === 0 && { servername: host }) });
  await connected(secured, "secureConnect");
  return secured;
}

async function dial({ host, port }: Address): Promise<Socket> {
  const proxy = process.env.ALL_PROXY;
  if (!proxy) {
    const socket = connect(port, host);
    await connected(socket, "connect");
    return socket;
  }
  const { hostname, port: proxyPort } = new URL(proxy);
  const socket = connect(Number(proxyPort), hostname);
  await connected(socket, "connect").catch((error: unknown) => {
    throw new Error(`the tunnel ${proxy} (ALL_PROXY) is not open`, { cause: error });
  });
  // SOCKS5 without a password (RFC 1928). It sends the name, because only the far end knows the names.
  socket.write(Buffer.from([5, 1, 0]));
  await readBytes(socket, 2);
  const name = Buffer.from(host);
  socket.write(
    Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, Buffer.from([port >> 8, port & 255])]),
  );
  const [, refused = 1, , kind] = await readBytes(socket, 4);
  if (refused) throw new Error("takes no connection");
  // Skip the address that the proxy connects from.
  await readBytes(socket, kind === 4 ? 18 : 6);
  return socket;
}

async function connected(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.setTimeout(SECONDS * 1000, () => socket.destroy(new Error(`no answer in ${SECONDS} s`)));
    socket.once("error", reject).once("close", () => reject(new Error("closes the connection")));
    socket.once(event, () => resolve());
  });
}

/** Waits for exactly `length` bytes, which are more than none. */
async function readBytes(socket: Socket, length: number): Promise<Buffer> {
  for (;;) {
    const bytes: unknown = socket.read(length);
    if (Buffer.isBuffer(bytes)) return bytes;
    await new Promise<void>((resolve, reject) => {
      const ended = () => reject(new Error("closes the connection"));
      socket.once("close", ended).once("readable", () => {
        socket.off("close", ended);
        resolve();
      });
    });
  }
}
