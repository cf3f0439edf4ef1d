// Fakes of what holds spaces' data, as far as `npm run pulumi` asks it: PostgreSQL and MinIO, and a SOCKS proxy before
// them. They listen on this machine's loopback until `closeServices`.
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import type { Authority } from "../../infra/pki/certificates.ts";

const servers: Server[] = [];

async function serve(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // It listens on a port.
  return (server.address() as AddressInfo).port;
}

/** Ends all that was started here. */
export function closeServices(): void {
  for (const server of servers.splice(0)) server.close();
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const port = await serve(createServer());
  await new Promise((resolve) => servers.pop()?.close(resolve));
  return port;
}

/** PostgreSQL as far as it is asked: one byte for SSLRequest. Resolves to its port. */
export const servePostgresql = (answer = "S") =>
  serve(createServer((socket) => socket.once("data", () => socket.end(answer)).on("error", () => {})));

export interface FakeMinio {
  port: number;
  /** Status of its health. */
  health: number;
  /** Names of its buckets; undefined where it refuses the key. */
  buckets: string[] | undefined;
}

/** MinIO with a certificate of the authority for `name`; what it answers can be changed at any time. */
export async function serveMinio(authority: Authority, name = "localhost"): Promise<FakeMinio> {
  const { certificate, key } = await authority.issue("storage", [name], ["127.0.0.1"]);
  const minio: FakeMinio = { port: 0, health: 200, buckets: [] };
  const server = createHttpsServer({ cert: certificate, key }, (request, response) => {
    const path = request.url?.split("?")[0];
    if (path === "/minio/health/cluster") response.writeHead(minio.health).end();
    else if (path !== "/") response.writeHead(404).end();
    else if (minio.buckets) {
      const list = minio.buckets.map((bucket) => `<Bucket><Name>${bucket}</Name></Bucket>`).join("");
      response.setHeader("Content-Type", "application/xml");
      response.end(`<ListAllMyBucketsResult><Buckets>${list}</Buckets></ListAllMyBucketsResult>`);
    } else response.writeHead(403).end("<Error><Code>AccessDenied</Code></Error>");
  });
  minio.port = await serve(server);
  return minio;
}

/** A SOCKS5 proxy without a password (RFC 1928) that connects `host:port` to a port of this machine. Resolves to its port. */
export const serveProxy = (ports: Readonly<Record<string, number>>) =>
  serve(
    createServer((client) => {
      client.on("error", () => {});
      client.once("data", () => {
        client.write(Buffer.from([5, 0]));
        client.once("data", (request: Buffer) => {
          const end = 5 + (request[4] ?? 0);
          const name = request.subarray(5, end).toString();
          const target = connect(ports[`${name}:${request.readUInt16BE(end)}`] ?? 0, "127.0.0.1");
          target.on("error", () => client.end(Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0])));
          target.on("connect", () => {
            client.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
            client.pipe(target).pipe(client);
          });
        });
      });
    }),
  );
