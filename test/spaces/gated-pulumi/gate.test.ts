// The gate lets a command reach the databases and buckets of spaces only if both services answer with their own
// certificates.
import { createServer as createHttpsServer } from "node:https";
import { createServer, type AddressInfo, type Server } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Authority } from "../../../infra/pki/certificates.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";
import { assertAnswering, Unreachable, type Service } from "../../../spaces/gated-pulumi/gate.ts";

const servers: Server[] = [];
let ca: string;

async function serve(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // The server listens on a port.
  return (server.address() as AddressInfo).port;
}

const authorityOf = (master: string) =>
  new Authority(new Secrets(master, "test", {}), { notBefore: "2026-01-01", years: 10 });

/** PostgreSQL as far as the gate asks it: one byte as the answer to SSLRequest. */
const postgresql = (answer: string) =>
  serve(createServer((socket) => socket.once("data", () => socket.end(answer)).on("error", () => {})));

async function minio(status: number, master = "master"): Promise<number> {
  const { certificate, key } = await authorityOf(master).issue("storage", ["localhost"], ["127.0.0.1"]);
  return serve(
    createHttpsServer({ cert: certificate, key }, (request, response) => {
      response.writeHead(request.url === "/minio/health/cluster" ? status : 404).end();
    }),
  );
}

const ask = (kind: Service["kind"], port: number) => assertAnswering([{ kind, host: "localhost", port }], ca);

beforeAll(async () => {
  ca = await authorityOf("master").root();
});
afterAll(() => {
  for (const server of servers) server.close();
});

test("lets a command through if both answer", async () => {
  const services: Service[] = [
    { kind: "PostgreSQL", host: "localhost", port: await postgresql("S") },
    { kind: "MinIO", host: "localhost", port: await minio(200) },
  ];
  await expect(assertAnswering(services, ca)).resolves.toBeUndefined();
});

test("says which service is missing, and that nothing was changed", async () => {
  const port = await postgresql("S");
  await new Promise((resolve) => servers.at(-1)?.close(resolve));
  const answers = await minio(200);
  const asked = assertAnswering(
    [
      { kind: "MinIO", host: "localhost", port: answers },
      { kind: "PostgreSQL", host: "localhost", port },
    ],
    ca,
  );
  await expect(asked).rejects.toThrow(Unreachable);
  await expect(asked).rejects.toThrow(
    new RegExp(`out of reach; nothing was changed.\n {2}PostgreSQL at localhost:${port}: .*ECONNREFUSED`),
  );
  await expect(asked).rejects.not.toThrow(/MinIO at/);
});

test("refuses a PostgreSQL without TLS", async () =>
  expect(ask("PostgreSQL", await postgresql("N"))).rejects.toThrow("takes no TLS"));

test("refuses a port that closes without an answer", async () =>
  expect(ask("PostgreSQL", await postgresql(""))).rejects.toThrow("closes the connection"));

test("refuses a MinIO that lacks drives", async () =>
  expect(ask("MinIO", await minio(503))).rejects.toThrow("answers 503: too few of its drives are there"));

test("refuses a MinIO with a foreign certificate", async () =>
  expect(ask("MinIO", await minio(200, "another master"))).rejects.toThrow(/certificate/));
