// `npm run pulumi`: the Pulumi CLI, with what this project needs. It adds the environment's configuration file, the
// policies and, for the platform, a refresh. For stacks of spaces it opens the tunnel to their databases and buckets,
// and the gate before these (gate.ts). If a refresh still loses a bucket from the state, it is undone.
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { opsHost } from "../../infra/inventory/addresses.ts";
import { environmentSchema, type Environment } from "../../infra/inventory/environment.ts";
import { environmentValues } from "../../infra/inventory/environment-values.ts";
import { Access } from "../../infra/machine/remote.ts";
import { Authority } from "../../infra/pki/certificates.ts";
import { Secrets } from "../../infra/pki/secrets.ts";
import { UserError } from "../../validation/user-error.ts";
import { findCli, giveTerminal, type Cli } from "./cli.ts";
import { readCommandLine, type CommandLine } from "./command-line.ts";
import { assertAnswering, GATE_IS_OPEN, openGate } from "./gate.ts";
import { refresh } from "./refresh.ts";
import { servicesOf } from "./services.ts";
import { openTunnel } from "./tunnel.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Reads a configuration file and decrypts it, as the engine does: text by key. */
type ReadConfiguration = (
  file: string,
  passphrase: string,
) => Promise<{ values: Readonly<Record<string, string>> }>;

/**
 * Runs the CLI with the words that were typed. Resolves to its exit status. Throws a UserError for wrong words, and if
 * a stack of spaces must not be touched.
 */
export async function runPulumi(
  typed: readonly string[],
  readConfiguration: ReadConfiguration,
): Promise<number> {
  const line = readCommandLine(typed);
  const cli = { program: findCli(), stack: line.stack, environmentVariables: {} };
  if (line.holds === "platform") return giveTerminal(cli, line.words);
  return runGated(cli, line, readConfiguration);
}

async function runGated(
  cli: Cli,
  { command, environment: name, stack, file, words }: CommandLine,
  readConfiguration: ReadConfiguration,
): Promise<number> {
  const { values } = await readConfiguration(resolve(ROOT, file), await passphrase());
  const environment = parseEnvironment(values);
  const secrets = new Secrets(values["framaspace:masterSecret"] ?? "", name, environment.generations);
  const certificate = await new Authority(secrets, environment.certificates).root();
  const closeTunnel = await openTunnel(opsHost(environment), new Access(secrets).hostKey("ops-1").publicKey);
  let closeGate: (() => void) | undefined;
  try {
    if (command !== "preview") await assertAnswering(servicesOf(environment), certificate);
    closeGate = openGate(stack, certificate);
    const gated = { ...cli, environmentVariables: { [GATE_IS_OPEN]: stack } };
    return await (command === "refresh" ? refresh(gated, words, certificate) : giveTerminal(gated, words));
  } finally {
    closeGate?.();
    await closeTunnel();
  }
}

/** The environment that the program itself will read from the file. */
function parseEnvironment(values: Readonly<Record<string, string>>): Environment {
  const { data } = environmentSchema.safeParse(environmentValues((key) => values[`framaspace:${key}`]));
  if (!data) throw new UserError("the environment's configuration is not valid; `npm run check` says why.");
  return data;
}

/** Finds the passphrase as the CLI does. */
async function passphrase(): Promise<string> {
  const { PULUMI_CONFIG_PASSPHRASE: given, PULUMI_CONFIG_PASSPHRASE_FILE: file } = process.env;
  if (given !== undefined) return given;
  if (file !== undefined) return (await readFile(file, "utf8")).trim();
  throw new UserError(
    "The environment's passphrase is missing: export PULUMI_CONFIG_PASSPHRASE_FILE=… (a file of mode 0600).",
  );
}
