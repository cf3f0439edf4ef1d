// How ops-1 learns what will hurt soon: it asks databases, Redis and storage itself, and every machine by a program that
// each has, with a key that opens that program and nothing else.
import * as pulumi from "@pulumi/pulumi";
import { cloudMachines, isStorage, reachableMachines } from "./addresses.ts";
import type { Environment } from "./environment.ts";
import { sshKeyPair } from "./keys.ts";
import { program, type Access, type RemoteFile } from "./remote.ts";
import type { Secrets } from "./secrets.ts";
import { assignments } from "./shell.ts";

const keyOf = (secrets: Secrets) => sshKeyPair(secrets.seed("ops", "health"));

/** What every machine has. */
export function healthDoor(environment: Environment, secrets: Secrets): RemoteFile[] {
  const from = cloudMachines(environment, "ops").map(({ privateAddress }) => privateAddress);
  return [
    program("machine-health"),
    {
      path: "/etc/framaspace/authorized_keys/root-health",
      content: `from="${from.join(",")}",restrict,command="/usr/local/sbin/machine-health" ${keyOf(secrets).publicKey}\n`,
    },
  ];
}

/** What ops-1 has: the program that asks, by timer and whenever somebody wants to know. */
export function healthWatch(environment: Environment, secrets: Secrets, access: Access): RemoteFile[] {
  const machines = reachableMachines(environment);
  return [
    program("platform-health"),
    {
      path: "/etc/framaspace/platform-health/settings",
      content: `${assignments({
        MAIL: environment.administrators.mail,
        REDIS: cloudMachines(environment, "redis")[0]?.name ?? "",
        MACHINES: machines.map(({ name }) => name),
      })}\n`,
    },
    {
      path: "/etc/framaspace/platform-health/key",
      mode: "0600",
      content: pulumi.secret(keyOf(secrets).privateKey),
    },
    {
      path: "/etc/framaspace/platform-health/known_hosts",
      content: machines
        .map((spec) => {
          const key = isStorage(spec) ? spec.server.hostKey : access.hostKey(spec.name).publicKey;
          return `${spec.name} ${key}\n`;
        })
        .join(""),
    },
    { path: "/etc/framaspace/platform-health/ssh_config", content: SSH },
    { path: "/etc/systemd/system/platform-health.service", content: SERVICE },
    { path: "/etc/systemd/system/platform-health.timer", content: TIMER },
  ];
}

const SSH = `Host *
  User root
  IdentityFile /etc/framaspace/platform-health/key
  IdentitiesOnly yes
  UserKnownHostsFile /etc/framaspace/platform-health/known_hosts
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
  ConnectTimeout 5
`;

const SERVICE = `[Unit]
Description=See what will hurt soon, and tell the administrators
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/platform-health --report
`;
// The first look comes when everything has had time to be made.
const TIMER = `[Timer]
OnActiveSec=300
OnUnitInactiveSec=300
[Install]
WantedBy=timers.target
`;
