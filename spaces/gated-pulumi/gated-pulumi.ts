// `npm run pulumi`: the Pulumi CLI, with what this project needs. It adds the environment's configuration file, the
// policies and, for the platform, a refresh. For stacks of spaces it opens the tunnel to their databases and buckets,
// and the gate before these (gate.ts). If a refresh still loses a bucket from the state, it is undone.
import { basename, join, resolve } from "node:path";
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
import { assertTakesWrites } from "./node-role.ts";
import { readPassphrase } from "./passphrase.ts";
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
  const way = await openWay(name, resolve(ROOT, file), readConfiguration);
  let closeGate: (() => void) | undefined;
  try {
    if (command !== "preview") {
      await assertAnswering(servicesOf(way.environment), way.certificate);
      await way.assertTakesWrites();
    }
    closeGate = openGate(stack, way.certificate);
    const gated = { ...cli, environmentVariables: { [GATE_IS_OPEN]: stack } };
    return await (command === "refresh"
      ? refresh(gated, words, way.certificate)
      : giveTerminal(gated, words));
  } finally {
    closeGate?.();
    await way.close();
  }
}

/** The open way to the databases and buckets of an environment's spaces. */
export interface Way {
  environmentName: string;
  environment: Environment;
  /** Of the platform's certificate authority, as PEM. */
  certificate: string;
  /** Throws a UserError if the PostgreSQL node that the configuration names is a standby. */
  assertTakesWrites: () => Promise<void>;
  close: () => Promise<void>;
}

/**
 * Opens the way to the databases and buckets of an environment's spaces: the tunnel, for this process and its children.
 * Throws a UserError if the configuration cannot be read, or the tunnel not be opened.
 * @param file The environment's configuration file.
 */
export async function openWay(
  environmentName: string,
  file: string,
  readConfiguration: ReadConfiguration,
): Promise<Way> {
  const { values } = await readConfiguration(file, await readPassphrase());
  const environment = parseEnvironment(values);
  const secrets = new Secrets(
    values["framaspace:masterSecret"] ?? "",
    environmentName,
    environment.generations,
  );
  const certificate = await new Authority(secrets, environment.certificates).root();
  const close = await openTunnel(opsHost(environment), new Access(secrets).hostKey("ops-1").publicKey);
  const asked = { environment, secrets, certificate, file: basename(file) };
  return {
    environmentName,
    environment,
    certificate,
    assertTakesWrites: () => assertTakesWrites(asked),
    close,
  };
}

/** The environment that the program itself will read from the file. */
function parseEnvironment(values: Readonly<Record<string, string>>): Environment {
  const { data } = environmentSchema.safeParse(environmentValues((key) => values[`framaspace:${key}`]));
  if (!data) throw new UserError("the environment's configuration is not valid; `npm run check` says why.");
  return data;
}
