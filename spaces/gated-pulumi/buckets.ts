// Lists the buckets that MinIO has.
import { ListBucketsCommand, S3Client } from "@aws-sdk/client-s3";
import { Agent } from "node:https";
import { UserError } from "../../validation/user-error.ts";
import type { Cli } from "./cli.ts";
import { dialTls, messageOf } from "./gate.ts";
import { exportState, minioLogin } from "./state.ts";

/**
 * Names of all buckets. It asks MinIO with the key in the state, because a refresh uses that key. If that key is no
 * longer right, MinIO refuses it, and a refresh would take this refusal, too, for a bucket that is gone. Throws a
 * UserError.
 * @param ca MinIO's certificate authority, as PEM.
 */
export async function listBuckets(cli: Cli, ca: string): Promise<Set<string>> {
  const login = minioLogin(await exportState(cli, "--show-secrets"));
  if (!login) throw new UserError(`${cli.stack} has no MinIO provider in its state: run up first.`);
  // Connect first: the agent needs an open connection at once.
  const socket = await dialTls(login, ca).catch((error: unknown) => {
    throw new UserError(`MinIO at ${login.host}:${login.port}: ${messageOf(error)}. Nothing was changed.`);
  });
  const httpsAgent = new Agent({ keepAlive: false, maxSockets: 1 });
  httpsAgent.createConnection = () => socket;
  const client = new S3Client({
    endpoint: `https://${login.host}:${login.port}`,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: login.user, secretAccessKey: login.password },
    requestHandler: { httpsAgent },
    maxAttempts: 1,
  });
  try {
    const { Buckets = [] } = await client.send(new ListBucketsCommand({}));
    return new Set(Buckets.flatMap(({ Name }) => Name ?? []));
  } catch (error) {
    throw new UserError(
      `MinIO does not take the key that the state of ${cli.stack} holds (${messageOf(error)}): a refresh would take every bucket for gone. Nothing was changed. If the key was rotated, run \`npm run pulumi -- up --stack ${cli.stack}\` first.`,
    );
  } finally {
    client.destroy();
  }
}
