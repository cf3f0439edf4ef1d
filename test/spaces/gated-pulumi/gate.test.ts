// Who is let through to spaces' databases and buckets: nobody, unless both answer as themselves.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Authority } from "../../../infra/pki/certificates.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";
import { assertAnswering, type Service } from "../../../spaces/gated-pulumi/gate.ts";
import { UserError } from "../../../validation/user-error.ts";
import { closedPort, closeServices, serveMinio, servePostgresql } from "../../support/space-services.ts";

let ca: string;

const authorityOf = (master: string) =>
  new Authority(new Secrets(master, "test", {}), { notBefore: "2026-01-01", years: 10 });

/** A MinIO's port. */
async function minio(health: number, master = "master"): Promise<number> {
  const server = await serveMinio(authorityOf(master));
  server.health = health;
  return server.port;
}

const ask = (kind: Service["kind"], port: number) => assertAnswering([{ kind, host: "localhost", port }], ca);

beforeAll(async () => {
  ca = await authorityOf("master").root();
});
afterAll(closeServices);

test("lets a command through if both answer", async () => {
  const services: Service[] = [
    { kind: "PostgreSQL", host: "localhost", port: await servePostgresql() },
    { kind: "MinIO", host: "localhost", port: await minio(200) },
  ];
  await expect(assertAnswering(services, ca)).resolves.toBeUndefined();
});

test("says who is missing, and that nothing was changed", async () => {
  const port = await closedPort();
  const answers = await minio(200);
  const asked = assertAnswering(
    [
      { kind: "MinIO", host: "localhost", port: answers },
      { kind: "PostgreSQL", host: "localhost", port },
    ],
    ca,
  );
  await expect(asked).rejects.toThrow(UserError);
  await expect(asked).rejects.toThrow(
    new RegExp(`out of reach; nothing was changed.\n {2}PostgreSQL at localhost:${port}: .*ECONNREFUSED`),
  );
  await expect(asked).rejects.not.toThrow(/MinIO at/);
});

test("not to a PostgreSQL without TLS", async () =>
  expect(ask("PostgreSQL", await servePostgresql("N"))).rejects.toThrow("takes no TLS"));

test("not to a port that says nothing and closes", async () =>
  expect(ask("PostgreSQL", await servePostgresql(""))).rejects.toThrow("closes the connection"));

test("refuses a MinIO that lacks drives", async () =>
  expect(ask("MinIO", await minio(503))).rejects.toThrow("answers 503: too few of its drives are there"));

test("refuses a MinIO with a foreign certificate", async () =>
  expect(ask("MinIO", await minio(200, "another master"))).rejects.toThrow(/certificate/));
