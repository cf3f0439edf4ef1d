// `npm run pulumi`: the Pulumi CLI with what this project needs said once: the environment's configuration file, the
// policies, for the platform a look at what is there, and, for stacks of spaces, the way to their databases and buckets,
// open only while those answer (spaces/gated-pulumi/gate.ts). A refresh that lost a bucket from the state all the same is undone.
import { S3Client, ListBucketsCommand } from "@aws-sdk/client-s3";
import { execa } from "execa";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent } from "node:https";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { parseStackName } from "../config.ts";
import { opsHost } from "../infra/inventory/addresses.ts";
import { Authority } from "../infra/pki/certificates.ts";
import { environmentFile } from "../infra/inventory/environment-file.ts";
import { environmentSchema, type Environment } from "../infra/inventory/environment.ts";
import { Access } from "../infra/machine/remote.ts";
import { Secrets } from "../infra/pki/secrets.ts";
import { readStackConfiguration } from "../evaluate/stack-configuration.ts";
import {
  assertAnswering,
  dialTls,
  GATE_IS_OPEN,
  openGate,
  Unreachable,
} from "../spaces/gated-pulumi/gate.ts";
import { servicesOf } from "../spaces/spaces.ts";
import { UserError } from "../validation/user-error.ts";

const USAGE = `npm run pulumi -- COMMAND --stack STACK [options of pulumi's own]

COMMAND is up, preview, refresh or destroy, as pulumi has them. up and preview of the platform look first at what is there.`;

const ROOT = join(import.meta.dirname, "..");
const BUCKET = "minio:index/s3Bucket:S3Bucket";
const MINIO = "pulumi:providers:minio";

/** Options that each command gets unless it was given them. */
const ADDED: Readonly<Record<string, readonly string[]>> = {
  // One space that fails must not cancel what is under way for the others: its result would be nobody's.
  up: ["--policy-pack=policies", "--continue-on-error"],
  preview: ["--policy-pack=policies"],
  refresh: [],
  destroy: ["--continue-on-error"],
};

/**
 * And for the platform's stack: without a look, `up` takes a machine that was deleted at the cloud for one that is there.
 * Not for spaces: with MinIO away, its provider would forget buckets (spaces/gated-pulumi/gate.ts).
 */
const ADDED_FOR_PLATFORM: Readonly<Record<string, readonly string[]>> = {
  up: ["--refresh"],
  preview: ["--refresh"],
};

interface Job {
  cli: string;
  stack: string;
  file: string;
  environmentVariables: Record<string, string>;
}

async function main([command = "", ...options]: string[]): Promise<void> {
  const stack = optionOf(options, "--stack", "-s");
  if (!stack || !(command in ADDED)) throw new UserError(USAGE);
  const { environment, part } = parseStackName(stack);
  const file = optionOf(options, "--config-file") ?? environmentFile(environment);
  const added = [
    ...(ADDED[command] ?? []),
    ...(part.kind === "platform" ? (ADDED_FOR_PLATFORM[command] ?? []) : []),
  ];
  const words = [
    ...options,
    ...(optionOf(options, "--config-file") === undefined ? ["--config-file", file] : []),
    ...added.filter((one) => !options.some((given) => given.startsWith(one.split("=")[0] ?? one))),
  ];
  const job = { cli: findCli(), stack, file, environmentVariables: {} };
  if (part.kind === "platform") {
    process.exitCode = await hand(job, [command, ...words]);
  } else await behindTheGate(job, environment, command, words);
}

/** The value of an option, written either way. */
function optionOf(options: readonly string[], ...names: string[]): string | undefined {
  for (const [index, option] of options.entries())
    for (const name of names) {
      if (option === name) return options[index + 1];
      if (option.startsWith(`${name}=`)) return option.slice(name.length + 1);
    }
  return undefined;
}

/** The CLI that is installed, else npm's, which fetches it. */
function findCli(): string {
  const folders = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !folder.includes("node_modules"));
  const installed = folders.map((folder) => join(folder, "pulumi")).find((path) => existsSync(path));
  return installed ?? join(ROOT, "node_modules/.bin/pulumi");
}

/** Gives the terminal to the CLI. Resolves to its exit status. */
async function hand({ cli, environmentVariables }: Job, words: readonly string[]): Promise<number> {
  const { exitCode } = await execa(cli, words, {
    cwd: ROOT,
    env: environmentVariables,
    stdio: "inherit",
    reject: false,
  });
  return exitCode ?? 1;
}

async function behindTheGate(job: Job, name: string, command: string, words: string[]): Promise<void> {
  if (words.some((word) => word === "-r" || word.startsWith("--refresh")))
    throw new UserError(
      `--refresh is a step of its own for spaces, so that it can be undone: npm run pulumi -- refresh --stack ${job.stack}`,
    );
  const { values } = await readStackConfiguration(resolve(ROOT, job.file), await passphrase());
  const environment = environmentOf(values);
  const secrets = new Secrets(values["framaspace:masterSecret"] ?? "", name, environment.generations);
  const certificate = await new Authority(secrets, environment.certificates).root();
  const closeTunnel = await openTunnel(opsHost(environment), new Access(secrets).hostKey("ops-1").publicKey);
  let closeGate: (() => void) | undefined;
  try {
    if (command !== "preview") await assertAnswering(servicesOf(environment), certificate);
    closeGate = openGate(job.stack, certificate);
    const gated = {
      ...job,
      environmentVariables: { ...process.env, [GATE_IS_OPEN]: job.stack } as Record<string, string>,
    };
    if (command === "refresh") process.exitCode = await refresh(gated, words, certificate);
    else process.exitCode = await hand(gated, [command, ...words]);
  } finally {
    closeGate?.();
    await closeTunnel();
  }
}

/** What the program itself will read from the file. */
function environmentOf(values: Readonly<Record<string, string>>): Environment {
  const parse = (text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  };
  const given = Object.keys(environmentSchema.shape).flatMap((key) => {
    const text = values[`framaspace:${key}`];
    return text === undefined ? [] : [[key, parse(text)]];
  });
  const { data } = environmentSchema.safeParse(Object.fromEntries(given));
  if (!data) throw new UserError("the environment's configuration is not valid; `npm run check` says why.");
  return data;
}

/** As the CLI finds it. */
async function passphrase(): Promise<string> {
  const { PULUMI_CONFIG_PASSPHRASE: given, PULUMI_CONFIG_PASSPHRASE_FILE: file } = process.env;
  if (given !== undefined) return given;
  if (file !== undefined) return (await readFile(file, "utf8")).trim();
  throw new UserError(
    "The environment's passphrase is missing: export PULUMI_CONFIG_PASSPHRASE_FILE=… (a file of mode 0600).",
  );
}

/** A SOCKS proxy through ops-1, whose host key is known; one that ALL_PROXY names already is used as it is. */
async function openTunnel(host: string, hostKey: string): Promise<() => Promise<void>> {
  if (process.env.ALL_PROXY) return async () => {};
  const folder = await mkdtemp(join(tmpdir(), "framaspace-tunnel-"));
  await writeFile(join(folder, "known_hosts"), `ops-1 ${hostKey}\n`);
  const port = await freePort();
  const options = [
    "ExitOnForwardFailure=yes",
    "HostKeyAlias=ops-1",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=10",
  ];
  const trust = [...options, `UserKnownHostsFile=${join(folder, "known_hosts")}`].flatMap((one) => [
    "-o",
    one,
  ]);
  const words = ["-N", "-D", `127.0.0.1:${port}`, ...trust, `root@${host}`];
  const ssh = execa("ssh", words, { stdin: "inherit", stdout: "ignore", stderr: "inherit", reject: false });
  const end = new AbortController();
  void ssh.finally(() => end.abort());
  const close = async () => {
    ssh.kill();
    await ssh;
    await rm(folder, { recursive: true });
  };
  while (!(await isOpen(port))) {
    if (end.signal.aborted) {
      await close();
      throw new UserError(
        `ssh root@${host} does not open the way to databases and buckets; nothing was changed.`,
      );
    }
    await sleep(100);
  }
  const proxy = `socks5://127.0.0.1:${port}`;
  Object.assign(process.env, { ALL_PROXY: proxy, HTTPS_PROXY: proxy });
  return close;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

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

/** The stack's state as the CLI exports it. */
async function exportState(
  { cli, stack }: Job,
  ...flags: string[]
): Promise<{ text: string; resources: Resource[] }> {
  const { stdout } = await execa(cli, ["stack", "export", "--stack", stack, ...flags], { cwd: ROOT });
  return { text: stdout, resources: exported.parse(JSON.parse(stdout)).deployment.resources ?? [] };
}

const bucketsOf = (resources: readonly Resource[]) => resources.filter(({ type }) => type === BUCKET);

/** Refreshes, and puts the state back where MinIO still has a bucket that the refresh took for gone. */
async function refresh(job: Job, words: readonly string[], certificate: string): Promise<number> {
  const before = await exportState(job);
  const buckets = bucketsOf(before.resources);
  if (buckets.length > 0) await listBuckets(job, certificate);
  const status = await hand(job, ["refresh", ...words]);
  const left = new Set(bucketsOf((await exportState(job)).resources).map(({ urn }) => urn));
  const dropped = buckets.filter(({ urn }) => !left.has(urn));
  if (dropped.length === 0) return status;
  const there = await listBuckets(job, certificate).catch(() => undefined);
  const wrong = dropped.filter(({ id }) => !there || there.has(id ?? ""));
  if (wrong.length === 0) return status;
  await execa(job.cli, ["stack", "import", "--stack", job.stack], { cwd: ROOT, input: before.text });
  throw new UserError(
    `The refresh took ${wrong.length} of ${buckets.length} buckets for gone (${wrong
      .map(({ id }) => id)
      .slice(0, 5)
      .join(
        ", ",
      )}), but ${there ? "MinIO has them" : "MinIO no longer answers"}: it must have been away in between. The state is again what it was before; run the refresh again.`,
  );
}

/**
 * Names of all buckets, asked for with the key that the state holds, because a refresh uses that one: where it is no
 * longer right, MinIO's refusal would count as "gone", too.
 */
async function listBuckets(job: Job, ca: string): Promise<Set<string>> {
  const { resources } = await exportState(job, "--show-secrets");
  const provider = resources.find(({ type }) => type === MINIO);
  if (!provider) throw new UserError(`${job.stack} has no MinIO provider in its state: run up first.`);
  const text = z.union([
    z.string(),
    z.object({ plaintext: z.string() }).transform(({ plaintext }) => z.string().parse(JSON.parse(plaintext))),
  ]);
  const { minioServer, minioUser, minioPassword } = z
    .object({ minioServer: text, minioUser: text, minioPassword: text })
    .parse(provider.inputs);
  const [host = "", port] = minioServer.split(":");
  // Connected beforehand: the agent wants its connection at once.
  const socket = await dialTls({ host, port: Number(port) }, ca);
  const httpsAgent = new Agent({ keepAlive: false, maxSockets: 1 });
  httpsAgent.createConnection = () => socket;
  const client = new S3Client({
    endpoint: `https://${minioServer}`,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: minioUser, secretAccessKey: minioPassword },
    requestHandler: { httpsAgent },
    maxAttempts: 1,
  });
  try {
    const { Buckets = [] } = await client.send(new ListBucketsCommand({}));
    return new Set(Buckets.flatMap(({ Name }) => Name ?? []));
  } catch (error) {
    const why = error instanceof Error ? error.message || error.name : String(error);
    throw new UserError(
      `MinIO does not take the key that the state of ${job.stack} holds (${why}): a refresh would take every bucket for gone. Nothing was changed. If the key was rotated, run \`npm run pulumi -- up --stack ${job.stack}\` first.`,
    );
  } finally {
    client.destroy();
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UserError || error instanceof Unreachable)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
