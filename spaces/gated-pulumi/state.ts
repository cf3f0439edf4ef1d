// Exports a stack's state with the CLI, and puts it back.
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { UserError } from "../../validation/user-error.ts";
import { callStack, type Cli } from "./cli.ts";

const BUCKET = "minio:index/s3Bucket:S3Bucket";
const MINIO = "pulumi:providers:minio";

const resource = z.looseObject({
  urn: z.string(),
  type: z.string(),
  id: z.string().optional(),
  inputs: z.record(z.string(), z.unknown()).default({}),
});
type Resource = z.infer<typeof resource>;
const exported = z.looseObject({
  deployment: z.looseObject({ resources: z.array(resource).nullish() }),
});

export interface State {
  /** The text as the CLI exports and imports it. */
  text: string;
  resources: Resource[];
}

/** Reads the stack's state. Without `--show-secrets`, its secrets stay encrypted. Throws a UserError. */
export async function exportState(cli: Cli, ...flags: "--show-secrets"[]): Promise<State> {
  const answer = await callStack(cli, "export", { flags });
  if ("error" in answer)
    throw new UserError(`pulumi stack export of ${cli.stack} failed; nothing was changed:\n${answer.error}`);
  const { deployment } = exported.parse(JSON.parse(answer.output));
  return { text: answer.output, resources: deployment.resources ?? [] };
}

/** Puts an earlier state back. If the CLI does not take it, throws a UserError that says in which file the state is. */
export async function importState(cli: Cli, { text }: State): Promise<void> {
  const answer = await callStack(cli, "import", { input: text });
  if (!("error" in answer)) return;
  // Only its owner can open a new folder of mkdtemp's.
  const file = join(await mkdtemp(join(tmpdir(), `${cli.stack}-`)), "state.json");
  await writeFile(file, text, { mode: 0o600 });
  throw new UserError(
    `The refresh of ${cli.stack} must be undone, but pulumi stack import failed:\n${answer.error}\nThe state from before the refresh is in ${file}. Put it back: pulumi stack import --stack ${cli.stack} --file ${file}`,
  );
}

/** The buckets in a state: `id` is the bucket's name. */
export function bucketsOf({ resources }: State): Resource[] {
  return resources.filter(({ type }) => type === BUCKET);
}

/** How MinIO's provider logs in. */
export interface MinioLogin {
  host: string;
  port: number;
  user: string;
  password: string;
}

/** The login in a state that shows its secrets. Undefined if the state has no MinIO provider. */
export function minioLogin({ resources }: State): MinioLogin | undefined {
  const provider = resources.find(({ type }) => type === MINIO);
  if (!provider) return undefined;
  const text = z.union([
    z.string(),
    z.object({ plaintext: z.string() }).transform(({ plaintext }) => z.string().parse(JSON.parse(plaintext))),
  ]);
  const { minioServer, minioUser, minioPassword } = z
    .object({ minioServer: text, minioUser: text, minioPassword: text })
    .parse(provider.inputs);
  const [host = "", port] = minioServer.split(":");
  return { host, port: Number(port), user: minioUser, password: minioPassword };
}
