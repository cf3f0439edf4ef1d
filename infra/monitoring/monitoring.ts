// How ops-1 finds problems early. It probes databases, Redis and storage itself. On every machine it runs one program,
// with a key that runs only that program.
import { cloudMachines, reachableMachines } from "../inventory/addresses.ts";
import type { Environment } from "../inventory/environment.ts";
import { forcedCommand, opsKey } from "../machine/ops-keys.ts";
import { rootfs, type Access, type RemoteFile } from "../machine/remote.ts";
import type { Secrets } from "../pki/secrets.ts";
import type { HealthSettings } from "./programs/health-settings.ts";

/** Files on every machine. */
export function healthCommand(environment: Environment, secrets: Secrets): RemoteFile[] {
  return [
    ...rootfs("infra/monitoring/rootfs"),
    {
      path: "/etc/framaspace/authorized_keys/root-health",
      content: forcedCommand(environment, secrets, "health", "/usr/local/sbin/machine-health"),
    },
  ];
}

/** Files on ops-1: the program that probes, run by a timer or by hand. */
export function healthWatch(environment: Environment, secrets: Secrets, access: Access): RemoteFile[] {
  const machines = reachableMachines(environment);
  const settings: HealthSettings = {
    mail: environment.administrators.mail,
    redis: cloudMachines(environment, "redis")[0]?.name ?? "",
    machines: machines.map(({ name }) => name),
  };
  return [
    ...rootfs("infra/monitoring/rootfs-ops"),
    {
      path: "/etc/framaspace/health/settings",
      content: `${JSON.stringify(settings, null, 2)}\n`,
    },
    ...opsKey("health", { secrets, access, machines }),
  ];
}
