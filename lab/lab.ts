// The name of a lab, and where its files and processes are. Everything that a lab creates carries its name. So a later
// command finds and removes it, even if the command that created it was killed.
import { execa } from "execa";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { UserError } from "../validation/user-error.ts";

export interface Lab {
  readonly name: string;
  /** Directory of all the lab's files: state, disks, logs. */
  readonly directory: string;
  /** cgroup (v2) of all the lab's processes. To kill it is to kill them all. */
  readonly cgroup: string;
}

/** Names are short because they become part of the names of network namespaces. */
const NAME = /^[a-z][a-z0-9]{0,11}$/;

/** Directory of the base images, which all labs share. */
export const CACHE = "/var/cache/framaspace-lab";

export function openLab(name: string): Lab {
  if (!NAME.test(name))
    throw new UserError(`"${name}" is no name for a lab; write up to 12 letters and digits, a letter first.`);
  return {
    name,
    directory: join("/var/lib/framaspace-lab", name),
    cgroup: join(cgroupRoot(), "framaspace-lab", name),
  };
}

/** Root of the cgroup v2 tree. On hybrid systems it lies beside v1; otherwise it is the only tree. */
function cgroupRoot(): string {
  for (const root of ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"])
    if (existsSync(join(root, "cgroup.procs")) && existsSync(join(root, "cgroup.controllers"))) return root;
  throw new UserError(
    "no cgroup v2 tree under /sys/fs/cgroup; the lab needs Linux 5.14 or later with cgroup2 mounted there.",
  );
}

/** Name of a network namespace of the lab: that of a machine, `router`, `admin` or `lb`. */
export function namespace(lab: Lab, part: string): string {
  return `fs-${lab.name}-${part}`;
}

/** Words that run a command inside a network namespace. `ip netns exec` unshares mounts, so it would hide ours. */
export function inside(lab: Lab, part: string): string[] {
  return ["nsenter", `--net=/run/netns/${namespace(lab, part)}`];
}

/** Words that run a command in a cgroup of the lab. */
export async function withinGroup(lab: Lab, part: string): Promise<string[]> {
  const group = join(lab.cgroup, part);
  await mkdir(group, { recursive: true });
  return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', group];
}

/**
 * Starts a process in a cgroup of the lab. The process outlives this one. Its output goes to a file.
 * @param env The whole environment of the process. Without it, the process gets this process's environment.
 */
export async function startDetached(
  lab: Lab,
  part: string,
  words: readonly string[],
  log: string,
  env?: Readonly<Record<string, string>>,
): Promise<void> {
  // Remove an old cgroup: once killed, it stays marked. Linux would kill what systemd moves from it into new cgroups.
  await killGroup(lab, part);
  const logged = ["sh", "-c", 'exec "$@" >>"$0" 2>&1', log];
  const [command = "", ...rest] = [...(await withinGroup(lab, part)), ...logged, ...words];
  const { nodeChildProcess: child } = execa(command, rest, {
    detached: true,
    cleanup: false,
    reject: false,
    stdio: "ignore",
    env: env ?? {},
    extendEnv: env === undefined,
  });
  child.unref();
  // Wait until it has entered its cgroup. Before that, it seems not to run.
  for (const end = Date.now() + 2000; !isPopulated(lab, part) && child.exitCode === null && Date.now() < end;)
    await sleep(5);
}

/** Starts one of the lab's own processes, with a log file of its name. */
export async function startProcess(lab: Lab, name: string, words: readonly string[]): Promise<void> {
  await startDetached(lab, name, words, logOf(lab, name));
}

/** Log file of one of the lab's own processes. */
export function logOf(lab: Lab, name: string): string {
  return join(lab.directory, `${name}.log`);
}

/** Whether a process runs in a part of the lab, or in the whole lab. */
export function isPopulated(lab: Lab, part = ""): boolean {
  try {
    return readFileSync(join(lab.cgroup, part, "cgroup.events"), "utf8").includes("populated 1");
  } catch {
    return false;
  }
}

/** Ids of all processes in a part of the lab. */
export function processesIn(lab: Lab, part: string): string[] {
  const group = join(lab.cgroup, part);
  try {
    const below = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [
      ...readFileSync(join(group, "cgroup.procs"), "utf8").split("\n").filter(Boolean),
      ...below.flatMap(({ name }) => processesIn(lab, join(part, name))),
    ];
  } catch (error) {
    // The cgroup has gone in the meantime, and its processes with it. Those of short services do.
    if (["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}

/** Milliseconds of processor time that a part of the lab has taken so far. */
export function processorTime(lab: Lab, part: string): number {
  const text = readFileSync(join(lab.cgroup, part, "cpu.stat"), "utf8");
  return Number(/^usage_usec (\d+)$/m.exec(text)?.[1]) / 1000;
}

/** Kills all processes in a part of the lab, or in the whole lab, and waits until they are gone. */
export async function killGroup(lab: Lab, part = ""): Promise<void> {
  const group = join(lab.cgroup, part);
  if (!existsSync(group)) return;
  await writeFile(join(group, "cgroup.kill"), "1");
  for (let tries = 0; isPopulated(lab, part); tries++) {
    if (tries > 300) throw new UserError(`processes in ${group} do not die; see ${group}/cgroup.procs.`);
    await sleep(20);
  }
  await removeGroup(group);
}

async function removeGroup(group: string): Promise<void> {
  for (const entry of await readdir(group, { withFileTypes: true }))
    if (entry.isDirectory()) await removeGroup(join(group, entry.name));
  // The kernel releases a cgroup a moment after its killed processes are gone.
  for (let tries = 0; ; tries++)
    try {
      return await rmdir(group);
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(20);
    }
}

/** A lock that one process at a time can hold. */
export interface Lock {
  close(): void;
}

/** Takes a lock if it is free. It is an abstract socket: the kernel frees it when its holder dies, for any reason. */
export function tryLock(name: string): Promise<Lock | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(undefined));
    server.listen(`\0framaspace-lab ${name}`, () => resolve(server));
  });
}

/** Takes a lock as soon as it is free. Calls `waiting` once if it has to wait. */
export async function waitForLock(name: string, waiting: () => void): Promise<Lock> {
  for (let tries = 0; ; tries++) {
    const lock = await tryLock(name);
    if (lock) return lock;
    if (tries === 0) waiting();
    await sleep(500);
  }
}

/** Process id of a machine's PID 1, as the host sees it. */
export async function leaderOf(lab: Lab, machine: string): Promise<string> {
  const procs = join(lab.cgroup, machineGroup(machine), "payload/init.scope/cgroup.procs");
  const [leader] = (await readFile(procs, "utf8").catch(() => "")).split("\n");
  if (!leader) throw new UserError(`${machine} is not running.`);
  return leader;
}

/** Name of a machine's cgroup within the lab's. */
export function machineGroup(machine: string): string {
  return `machine-${machine}`;
}
