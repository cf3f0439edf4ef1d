// What a lab is called and where its things are. Everything a lab makes carries its name, so that it is found again,
// and removed, by whoever comes next, whatever killed the one who made it.
import { execa } from "execa";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { UserError } from "../validation/user-error.ts";

export interface Lab {
  readonly name: string;
  /** State, disks, logs: all of a lab's files. */
  readonly directory: string;
  /** cgroup (v2) that holds each of the lab's processes: killing it kills them all. */
  readonly cgroup: string;
}

/** Names are short because they go into the names of network namespaces. */
const NAME = /^[a-z][a-z0-9]{0,11}$/;

/** Where the images are kept, for all labs. */
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

/** The cgroup v2 tree: the only one, or beside v1 on hybrid systems. */
function cgroupRoot(): string {
  for (const root of ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"])
    if (existsSync(join(root, "cgroup.procs")) && existsSync(join(root, "cgroup.controllers"))) return root;
  throw new UserError(
    "no cgroup v2 tree under /sys/fs/cgroup; the lab needs Linux 5.14 or later with cgroup2 mounted there.",
  );
}

/** Name of a network namespace of the lab: of a machine, or of `router`, `admin`, `lb`. */
export function namespace(lab: Lab, part: string): string {
  return `fs-${lab.name}-${part}`;
}

/** Words that run what follows inside a network namespace. `ip netns exec` would hide our mounts: it unshares them. */
export function inside(lab: Lab, part: string): string[] {
  return ["nsenter", `--net=/run/netns/${namespace(lab, part)}`];
}

/** Words that run what follows in a cgroup of the lab. */
export async function withinGroup(lab: Lab, part: string): Promise<string[]> {
  const group = join(lab.cgroup, part);
  await mkdir(group, { recursive: true });
  return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', group];
}

/**
 * Starts a process that outlives this one, in a cgroup of the lab; what it says goes to a file.
 * @param env All that it gets of an environment; without, this process' own.
 */
export async function startDetached(
  lab: Lab,
  part: string,
  words: readonly string[],
  log: string,
  env?: Readonly<Record<string, string>>,
): Promise<void> {
  // A group that was once killed keeps the mark of it: Linux would kill what systemd puts from there into new groups.
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
  // Until it has entered its cgroup, it would seem not to run.
  for (const end = Date.now() + 2000; !isPopulated(lab, part) && child.exitCode === null && Date.now() < end;)
    await sleep(5);
}

/** Starts one of the lab's own processes. */
export async function startProcess(lab: Lab, name: string, words: readonly string[]): Promise<void> {
  await startDetached(lab, name, words, logOf(lab, name));
}

/** Where a process of the lab writes. */
export function logOf(lab: Lab, name: string): string {
  return join(lab.directory, `${name}.log`);
}

/** Whether any process lives in a part of the lab, or in the whole of it. */
export function isPopulated(lab: Lab, part = ""): boolean {
  try {
    return readFileSync(join(lab.cgroup, part, "cgroup.events"), "utf8").includes("populated 1");
  } catch {
    return false;
  }
}

/** Ids of all processes of a part of the lab. */
export function processesIn(lab: Lab, part: string): string[] {
  const group = join(lab.cgroup, part);
  try {
    const below = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [
      ...readFileSync(join(group, "cgroup.procs"), "utf8").split("\n").filter(Boolean),
      ...below.flatMap(({ name }) => processesIn(lab, join(part, name))),
    ];
  } catch (error) {
    // The group went meanwhile, as those of short services do, and its processes with it.
    if (["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}

/** Kills every process of a part of the lab, or of the whole of it, and waits until they are gone. */
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
  // The kernel lets go of a killed process's group a moment after the process is gone.
  for (let tries = 0; ; tries++)
    try {
      return await rmdir(group);
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(20);
    }
}

/** Something that one process at a time holds. */
export interface Lock {
  close(): void;
}

/** Takes a lock that nobody holds: an abstract socket, which the kernel frees when its holder dies, however it dies. */
export function tryLock(name: string): Promise<Lock | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(undefined));
    server.listen(`\0framaspace-lab ${name}`, () => resolve(server));
  });
}

/** Takes a lock as soon as nobody else holds it; `waiting` is called once if that is not now. */
export async function waitForLock(name: string, waiting: () => void): Promise<Lock> {
  for (let tries = 0; ; tries++) {
    const lock = await tryLock(name);
    if (lock) return lock;
    if (tries === 0) waiting();
    await sleep(500);
  }
}

/** Process that is PID 1 of a machine, as the host sees it. */
export async function leaderOf(lab: Lab, machine: string): Promise<string> {
  const procs = join(lab.cgroup, machineGroup(machine), "payload/init.scope/cgroup.procs");
  const [leader] = (await readFile(procs, "utf8").catch(() => "")).split("\n");
  if (!leader) throw new UserError(`${machine} is not running.`);
  return leader;
}

/** cgroup of a machine within the lab's. */
export function machineGroup(machine: string): string {
  return `machine-${machine}`;
}
