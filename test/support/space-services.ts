// Fakes of what holds spaces' data, as far as `npm run pulumi` asks it: PostgreSQL and MinIO, and a SOCKS proxy before
// them. They listen on this machine's loopback until `closeServices`.
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
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

/**
 * PostgreSQL as far as a login goes (SCRAM-SHA-256 over TLS), and the question of its role. Resolves to its port.
 * @param address That it has in its certificate.
 */
export async function servePostgresqlNode(
  authority: Authority,
  { address, password, standby }: { address: string; password: string; standby: boolean },
): Promise<number> {
  const { certificate, key } = await authority.issue("postgres", ["localhost"], [address, "127.0.0.1"]);
  const context = createSecureContext({ cert: certificate, key });
  return serve(
    createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.write("S");
        const secured = new TLSSocket(socket, { isServer: true, secureContext: context });
        secured.on("error", () => {});
        talk(secured, password, standby);
      });
    }),
  );
}

function talk(socket: Socket, password: string, standby: boolean): void {
  const send = (kind: string, ...parts: (string | Buffer)[]) => {
    const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
    const length = Buffer.alloc(4);
    length.writeInt32BE(content.length + 4);
    socket.write(Buffer.concat([Buffer.from(kind), length, content]));
  };
  const authentication = (kind: number) => Buffer.from([0, 0, 0, kind]);
  const salt = Buffer.from("a salt");
  const salted = pbkdf2Sync(password, salt, 1000, 32, "sha256");
  const hmac = (secret: Buffer, text: string) => createHmac("sha256", secret).update(text).digest();
  let first = "";
  let challenge = "";
  socket.once("data", () => {
    send("R", authentication(10), "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    socket.once("data", (begun: Buffer) => {
      // The name in it counts for nothing: the first message has said who logs in.
      first = /n=[^,]*,r=.*$/.exec(begun.toString("latin1"))?.[0] ?? "";
      challenge = `${first.replace(/^n=[^,]*,/, "")}server,s=${salt.toString("base64")},i=1000`;
      send("R", authentication(11), challenge);
      socket.once("data", (proved: Buffer) => {
        const [, final = "", proof = ""] = /(c=biws,r=[^,]+),p=(.*)$/.exec(proved.toString("latin1")) ?? [];
        const signed = `${first},${challenge},${final}`;
        const stored = createHash("sha256").update(hmac(salted, "Client Key")).digest();
        const signature = hmac(stored, signed);
        const clientKey = Buffer.from(proof, "base64").map((byte, at) => byte ^ (signature[at] ?? 0));
        if (!createHash("sha256").update(clientKey).digest().equals(stored)) {
          send("E", "SFATAL\0C28P01\0\0");
          return;
        }
        send("R", authentication(12), `v=${hmac(hmac(salted, "Server Key"), signed).toString("base64")}`);
        send("R", authentication(0));
        send("K", Buffer.alloc(8));
        send("Z", "I");
        socket.once("data", (query: Buffer) => {
          if (!query.toString("latin1").includes("SHOW in_hot_standby\0")) return;
          const text = standby ? "on" : "off";
          // One column of type text (25), one row.
          send(
            "T",
            Buffer.from([0, 1]),
            "in_hot_standby\0",
            Buffer.alloc(6),
            Buffer.from([0, 0, 0, 25]),
            Buffer.alloc(8),
          );
          send("D", Buffer.from([0, 1, 0, 0, 0, text.length]), text);
          send("C", "SHOW\0");
          send("Z", "I");
        });
      });
    });
  });
}

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
