// How ops-1 learns what will hurt soon: it asks databases, Redis and storage itself, and every machine by a program that
// each has, with a key that opens that program and nothing else.
import { cloudMachines, reachableMachines } from "../inventory/addresses.ts";
import type { Environment } from "../inventory/environment.ts";
import { forcedCommand, opsKey } from "../machine/ops-keys.ts";
import { rootfs, type Access, type RemoteFile } from "../machine/remote.ts";
import type { Secrets } from "../pki/secrets.ts";
import { assignments } from "../machine/shell.ts";

/** What every machine has. */
export function healthCommand(environment: Environment, secrets: Secrets): RemoteFile[] {
  return [
    ...rootfs("infra/monitoring/rootfs"),
    {
      path: "/etc/framaspace/authorized_keys/root-health",
      content: forcedCommand(environment, secrets, "health", "/usr/local/sbin/machine-health"),
    },
  ];
}

/** What ops-1 has: the program that asks, by timer and whenever somebody wants to know. */
export function healthWatch(environment: Environment, secrets: Secrets, access: Access): RemoteFile[] {
  const machines = reachableMachines(environment);
  return [
    ...rootfs("infra/monitoring/rootfs-ops"),
    {
      path: "/etc/framaspace/health/settings",
      content: `${assignments({
        MAIL: environment.administrators.mail,
        REDIS: cloudMachines(environment, "redis")[0]?.name ?? "",
        MACHINES: machines.map(({ name }) => name),
      })}\n`,
    },
    ...opsKey("health", { secrets, access, machines }),
  ];
}
