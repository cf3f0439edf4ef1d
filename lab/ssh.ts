// SSH as administrators use it: from the admin's namespace to ops-1, and through ops-1 to all others. It uses the
// deploy key, and host keys that are known in advance.
import { execa } from "execa";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deployKey, knownMachines, type LabConfiguration } from "./configuration.ts";
import { inside, killGroup, withinGroup, type Lab } from "./lab.ts";
import { ADMIN } from "./namespaces.ts";

const directoryOf = (lab: Lab) => join(lab.directory, "ssh");

/** Writes keys, known hosts and configuration. Closes the connections that an earlier command left open. */
export async function writeSshConfiguration(lab: Lab, configuration: LabConfiguration): Promise<void> {
  await killGroup(lab, "ssh");
  const directory = directoryOf(lab);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const machines = knownMachines(configuration);
  const { opsAddress } = configuration.environment;
  const hosts = machines.map(({ name, privateAddress }) =>
    name === "ops-1"
      ? `Host ${name}\n  HostName ${opsAddress}\n  HostKeyAlias ${name}\n`
      : `Host ${name}\n  HostName ${privateAddress}\n  HostKeyAlias ${name}\n  ProxyJump ops-1\n`,
  );
  const knownHosts = machines.map(({ name, hostKey }) => `${name} ${hostKey}\n`);
  await writeFile(join(directory, "deploy"), deployKey(configuration.secrets).privateKey, { mode: 0o600 });
  await writeFile(join(directory, "known_hosts"), knownHosts.join(""));
  await writeFile(
    join(directory, "config"),
    `${hosts.join("")}Host *
  User root
  IdentityFile ${directory}/deploy
  IdentitiesOnly yes
  UserKnownHostsFile ${directory}/known_hosts
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
  ConnectTimeout 5
  ServerAliveInterval 3
  ServerAliveCountMax 3
  ControlMaster auto
  ControlPath ${directory}/%n
  ControlPersist 60
`,
  );
}

/** Words that run SSH to a machine. */
export async function sshTo(lab: Lab, machine: string, options: readonly string[] = []): Promise<string[]> {
  const group = await withinGroup(lab, "ssh");
  return [
    ...group,
    ...inside(lab, ADMIN),
    "ssh",
    "-F",
    join(directoryOf(lab), "config"),
    ...options,
    machine,
  ];
}

/** The result of a command on a machine. */
export interface Ran {
  failed: boolean;
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
}

/** SSH's exit status if it cannot connect. */
const NO_CONNECTION = 255;
const ATTEMPTS = 20;

/** Runs a command on a machine. Tries again if SSH cannot connect, because sshd restarts while it is set up. */
export async function runOn(lab: Lab, machine: string, command: string, input = ""): Promise<Ran> {
  for (let attempt = 1; ; attempt++) {
    const [program, ...words] = [...(await sshTo(lab, machine)), command];
    const { failed, exitCode, stdout, stderr } = await execa(`${program}`, words, { input, reject: false });
    if (exitCode !== NO_CONNECTION || stdout !== "" || attempt === ATTEMPTS)
      return { failed, exitCode, stdout, stderr };
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Runs a command on a machine. Resolves to its standard output. Throws an Error if it fails. */
export async function readOn(lab: Lab, machine: string, command: string, input = ""): Promise<string> {
  const { failed, stdout, stderr } = await runOn(lab, machine, command, input);
  if (failed) throw new Error(`${machine}: ${stderr.trim() || stdout.trim()}`);
  return stdout;
}
