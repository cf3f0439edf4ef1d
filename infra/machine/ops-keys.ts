// The SSH keys of ops-1, one for each purpose. Each runs one program (a forced command) on the machines that accept it,
// and only from ops-1.
import * as pulumi from "@pulumi/pulumi";
import { cloudMachines, isStorage, type MachineSpec } from "../inventory/addresses.ts";
import type { Environment } from "../inventory/environment.ts";
import { sshKeyPair } from "../pki/keys.ts";
import type { Secrets } from "../pki/secrets.ts";
import type { Access, RemoteFile } from "./remote.ts";

/** What a key is for. It names the secret (`ops/<purpose>`) and the folder under /etc/framaspace on ops-1. */
type Purpose = "distribute" | "health" | "postgres" | "worker";

const keyOf = (secrets: Secrets, purpose: Purpose) => sshKeyPair(secrets.seed("ops", purpose));

/** A line for a machine's authorized_keys: the purpose's key, used from ops-1, runs `command` there. */
export function forcedCommand(
  environment: Environment,
  secrets: Secrets,
  purpose: Purpose,
  command: string,
): string {
  const from = cloudMachines(environment, "ops").map(({ privateAddress }) => privateAddress);
  return `from="${from.join(",")}",restrict,command="${command}" ${keyOf(secrets, purpose).publicKey}\n`;
}

interface OpsKeyArgs {
  secrets: Secrets;
  access: Access;
  /** Machines that have the purpose's forced command. */
  machines: readonly MachineSpec[];
  /**
   * Seconds that a connection stays open for the next request, or "service" if a service keeps it open. Without it, each
   * request opens its own connection.
   */
  persist?: number | "service";
  /** A machine is given up after two to three times these seconds without a sign of life. @default 3 */
  aliveSeconds?: number;
}

/** The files for `ssh -F /etc/framaspace/<purpose>/ssh_config` on ops-1. */
export function opsKey(
  purpose: Purpose,
  { secrets, access, machines, persist, aliveSeconds = 3 }: OpsKeyArgs,
): RemoteFile[] {
  const folder = `/etc/framaspace/${purpose}`;
  const shared =
    persist === undefined
      ? ""
      : `  ControlMaster ${persist === "service" ? "no" : "auto"}
  ControlPath /run/framaspace/ssh-${purpose}-%h
${persist === "service" ? "" : `  ControlPersist ${persist}\n`}`;
  return [
    { path: `${folder}/key`, mode: "0600", content: pulumi.secret(keyOf(secrets, purpose).privateKey) },
    {
      path: `${folder}/known_hosts`,
      content: machines
        .map((spec) => {
          const key = isStorage(spec) ? spec.server.hostKey : access.hostKey(spec.name).publicKey;
          return `${spec.name} ${key}\n`;
        })
        .join(""),
    },
    {
      path: `${folder}/ssh_config`,
      content: `Host *
  User root
  IdentityFile ${folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile ${folder}/known_hosts
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
  ConnectTimeout 3
  ServerAliveInterval ${aliveSeconds}
  ServerAliveCountMax 2
${shared}`,
    },
  ];
}
