// Starts a lab's own processes and takes the whole lab down: what `up` and `down` share.
import { existsSync } from "node:fs";
import { readdir, readFile, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, endpointSocket } from "./hcloud/client.ts";
import { restoreHost } from "./host.ts";
import { inside, isPopulated, killGroup, logOf, startProcess, tryLock, type Lab, type Lock } from "./lab.ts";
import { detachDrives, halt, machineNames, unmountBelow } from "./machine.ts";
import { ADMIN, addRouter, namespaces, removeNamespaces } from "./namespaces.ts";
import { UserError } from "../validation/user-error.ts";

/** Seconds that the lab's machines may take to run again after a restart of the host. */
const DAEMON_SECONDS = 180;

/** Locks the lab. One command at a time can hold the lock. */
export async function lockLab(lab: Lab): Promise<Lock> {
  const lock = await tryLock(lab.name);
  if (!lock) throw new UserError(`another command is at work on lab "${lab.name}"; wait for its end.`);
  return lock;
}

/** Restarts the lab's own process, with the current code and settings, and waits until its endpoint answers. */
export async function startDaemon(lab: Lab): Promise<void> {
  await killGroup(lab, "daemon");
  await rm(endpointSocket(lab), { force: true });
  await addRouter(lab);
  const log = logOf(lab, "daemon");
  await startProcess(lab, "daemon", [
    ...inside(lab, ADMIN),
    process.execPath,
    join(import.meta.dirname, "daemon.ts"),
    lab.name,
  ]);
  for (const end = Date.now() + DAEMON_SECONDS * 1000; ; await sleep(50)) {
    if (
      existsSync(endpointSocket(lab)) &&
      (await ask(lab, "GET", "servers").then(
        () => true,
        () => false,
      ))
    )
      return;
    if (isPopulated(lab, "daemon") && Date.now() < end) continue;
    const said = (await readFile(log, "utf8").catch(() => "")).split("\n").slice(-15).join("\n");
    throw new UserError(`the lab's own process did not start. The end of ${log}:\n${said}`);
  }
}

/** Starts the forwarder from the host's loopback, if it does not run. */
export async function startForwarder(lab: Lab, port: number): Promise<void> {
  if (isPopulated(lab, "forwarder")) return;
  await startProcess(lab, "forwarder", [
    process.execPath,
    join(import.meta.dirname, "forwarder.ts"),
    lab.name,
    String(port),
  ]);
}

/** Whether a lab of this name has left anything on this machine. */
export async function exists(lab: Lab): Promise<boolean> {
  return existsSync(lab.directory) || existsSync(lab.cgroup) || (await namespaces(lab)).length > 0;
}

/** Removes every process, mount, loop device, namespace and file of the lab, whatever state it is in. */
export async function takeDown(lab: Lab): Promise<void> {
  await killGroup(lab);
  for (const name of await machineNames(lab)) await halt(lab, name);
  await unmountBelow(lab.directory);
  await detachDrives(lab.directory);
  await removeNamespaces(lab);
  await rm(lab.directory, { recursive: true, force: true });
  if ((await readdir(dirname(lab.directory)).catch(() => [])).length > 0) return;
  await restoreHost();
  // The cgroup above those of all labs. It stays if another lab is just starting.
  await rmdir(dirname(lab.cgroup)).catch(() => {});
}
