// Runs our scripts on machines. A script is sent on standard input, never on the command line, because process lists
// show command lines. A script is idempotent, because the provider runs it again when the connection changes.
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { MachineSpec } from "../inventory/addresses.ts";
import { sshKeyPair } from "../pki/keys.ts";
import type { Secrets } from "../pki/secrets.ts";
import { renderProgram } from "./program-file.ts";
import { assignments, hereDocument, quote, type Setting } from "./shell.ts";

const ROOT = join(import.meta.dirname, "../..");

type Connection = pulumi.Unwrap<command.types.input.remote.ConnectionArgs>;

/** A machine that scripts can run on. */
export interface Machine {
  readonly spec: MachineSpec;
  /** How to reach it, with its keys and the expected host key. */
  readonly connection: pulumi.Input<command.types.input.remote.ConnectionArgs>;
  /** Changes when the machine is replaced, so that every script runs again. */
  readonly identity: pulumi.Input<string>;
}

/** How the engine reaches machines: as root, with the deploy key, and all but ops-1 through ops-1. */
export class Access {
  /** The public half of the deploy key, which every machine must accept. */
  readonly deployPublicKey: string;
  /** Public halves of all deploy keys that machines accept: the one in use, and those up to `deploy/trusted`. */
  readonly deployPublicKeys: readonly string[];
  readonly #secrets: Secrets;
  readonly #privateKey: pulumi.Output<string>;

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
    const { publicKey, privateKey } = sshKeyPair(secrets.seed("deploy", "ssh"));
    this.deployPublicKey = publicKey;
    this.deployPublicKeys = secrets
      .trusted("deploy", "ssh")
      .map((generation) => sshKeyPair(secrets.seed("deploy", "ssh", generation)).publicKey);
    this.#privateKey = pulumi.secret(privateKey);
  }

  /** The host key that a cloud machine gets at its first boot. In plain text: mark the private half as secret. */
  hostKey(name: string) {
    return sshKeyPair(this.#secrets.machineSeed(name, "ssh-host-key"));
  }

  /** The connection to ops-1 itself, at its public address. */
  ops(address: pulumi.Input<string>): pulumi.Output<Connection> {
    return this.#connection(address, this.hostKey("ops-1").publicKey);
  }

  /** The connection to any other machine, at its private address, through ops-1. */
  throughOps(opsAddress: pulumi.Input<string>, address: string, hostKey: string): pulumi.Output<Connection> {
    return pulumi
      .all([this.#connection(address, hostKey), this.ops(opsAddress)])
      .apply(([connection, proxy]) => ({ ...connection, proxy }));
  }

  #connection(address: pulumi.Input<string>, hostKey: string): pulumi.Output<Connection> {
    // 30 attempts: a new server takes up to a minute to boot, and cloud-init restarts sshd once.
    return pulumi.all([address, this.#privateKey]).apply(([host, privateKey]) => ({
      host,
      user: "root",
      privateKey,
      hostKey,
      dialErrorLimit: 30,
      perDialTimeout: 15,
    }));
  }
}

/** A file on a machine. */
export interface RemoteFile {
  path: string;
  /** Ends with a newline. */
  content: pulumi.Input<string>;
  /** Octal. @default 0644 */
  mode?: string;
  /** @default root:root */
  owner?: string;
}

/**
 * The files of a folder that mirrors a machine's file system. They belong to root. Programs have mode 0755, others
 * 0644. `NAME.ts` is a program in TypeScript, and gets to the machine as NAME.
 * @param folder Path in this repository: `infra/logs/rootfs`.
 */
export function rootfs(folder: string): RemoteFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => {
      const file = join(parentPath, name);
      const path = `/${relative(join(ROOT, folder), file)}`;
      const mode = path.startsWith("/usr/local/sbin/") ? "0755" : "0644";
      return path.endsWith(".ts")
        ? { path: path.replace(/\.ts$/, ""), mode, content: renderProgram(relative(ROOT, file)) }
        : { path, mode, content: readFileSync(file, "utf8") };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

export interface RemoteScriptArgs {
  machine: Machine;
  /** Path in this repository: `infra/gateway/install.sh`. */
  script: string;
  /** What the script reads as `$NAME`; a list becomes an array. */
  settings?: Readonly<Record<string, pulumi.Input<Setting>>>;
  /** Files that the script's `install_files` writes. */
  files?: readonly RemoteFile[];
  /** Debian packages that the script's `install_packages` installs. */
  packages?: readonly string[];
}

function source(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function renderFile({ path, mode, owner, content }: pulumi.Unwrap<RemoteFile>): string {
  return hereDocument(`file ${quote(path)} ${mode ?? "0644"} ${owner ?? "root:root"}`, content);
}

/**
 * What bash reads on the machine. The braces make bash read the whole script before it runs anything, so that no
 * command of the script can read the rest of it from standard input.
 */
export function renderScript(
  script: string,
  settings: Readonly<Record<string, Setting>>,
  files: readonly pulumi.Unwrap<RemoteFile>[],
): string {
  return [
    "{",
    source("infra/machine/rootfs/usr/local/lib/framaspace/program-lib.sh"),
    source("infra/machine/lib.sh"),
    assignments(settings),
    `install_files() {\n:\n${files.map(renderFile).join("\n")}\n}`,
    source(script),
    "} </dev/null",
    "exit",
    "",
  ].join("\n");
}

/**
 * Runs one of our scripts on a machine, and again whenever the script, its settings, its files or the machine change.
 */
export function remoteScript(
  name: string,
  args: RemoteScriptArgs,
  opts: pulumi.CustomResourceOptions,
): command.remote.Command {
  const { machine, script } = args;
  const settings = {
    MACHINE: machine.spec.name,
    PACKAGES: args.packages ?? [],
    ...args.settings,
    MACHINE_ID: machine.identity,
  };
  const stdin = pulumi
    .all([pulumi.output(settings), pulumi.output(args.files ?? [])])
    .apply(([values, files]) => renderScript(script, values, files));
  return new command.remote.Command(
    name,
    {
      connection: machine.connection,
      // The argument only names the script, for process lists and plans.
      create: `bash -s -- ${script}`,
      stdin: pulumi.secret(stdin),
      logging: "stderr",
      // No script reads it, and sshd would refuse it with a warning (AcceptEnv).
      addPreviousOutputInEnv: false,
    },
    opts,
  );
}
