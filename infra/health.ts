// How ops-1 learns what will hurt soon: it asks databases, Redis and storage itself, and every machine by a program that
// each has, with a key that opens that program and nothing else.
import { cloudMachines, reachableMachines } from "./addresses.ts";
import type { Environment } from "./environment.ts";
import { opsDoor, opsKey } from "./ops-keys.ts";
import { program, type Access, type RemoteFile } from "./remote.ts";
import type { Secrets } from "./secrets.ts";
import { assignments } from "./shell.ts";

/** What every machine has. */
export function healthDoor(environment: Environment, secrets: Secrets): RemoteFile[] {
  return [
    program("infra/files/machine-health.sh"),
    {
      path: "/etc/framaspace/authorized_keys/root-health",
      content: opsDoor(environment, secrets, "health", "/usr/local/sbin/machine-health"),
    },
  ];
}

/** What ops-1 has: the program that asks, by timer and whenever somebody wants to know. */
export function healthWatch(environment: Environment, secrets: Secrets, access: Access): RemoteFile[] {
  const machines = reachableMachines(environment);
  return [
    program("infra/files/platform-health.sh"),
    {
      path: "/etc/framaspace/health/settings",
      content: `${assignments({
        MAIL: environment.administrators.mail,
        REDIS: cloudMachines(environment, "redis")[0]?.name ?? "",
        MACHINES: machines.map(({ name }) => name),
      })}\n`,
    },
    ...opsKey("health", { secrets, access, machines }),
    { path: "/etc/systemd/system/platform-health.service", content: SERVICE },
    { path: "/etc/systemd/system/platform-health.timer", content: TIMER },
  ];
}

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
