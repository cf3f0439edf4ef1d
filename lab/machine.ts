// A machine of the lab: an overlay on the base image and a Debian booted on it by systemd-nspawn, in a network namespace
// and a cgroup of its own. Addresses and filters are namespaces.ts's.
import { execa } from "execa";
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  inside,
  isPopulated,
  killGroup,
  leaderOf,
  machineGroup,
  namespace,
  startDetached,
  type Lab,
} from "./lab.ts";
import { removeNamespace } from "./namespaces.ts";
import { UserError } from "../validation/user-error.ts";

export interface MachineSpec {
  name: string;
  /** Changes when the machine is another one of the same name: cloud-init then starts again. */
  instance: string;
  userData: string;
  /** Keys that root takes. */
  publicKeys: readonly string[];
  /** Stable ids of data drives; empty for cloud servers. */
  drives: readonly string[];
}

/** Bytes of a data drive: sparse, so it takes what is written, and what a space's plan promises fits on four of them. */
const DRIVE_BYTES = 20 * 1024 ** 3;

function directoryOf(lab: Lab, name: string): string {
  return join(lab.directory, "machines", name);
}

/** Where a machine's console goes. */
export function consoleLog(lab: Lab, name: string): string {
  return join(directoryOf(lab, name), "console.log");
}

/** The machine's root directory, as the host sees it. */
export function rootOf(lab: Lab, name: string): string {
  return join(directoryOf(lab, name), "root");
}

export function isRunning(lab: Lab, name: string): boolean {
  return isPopulated(lab, machineGroup(name));
}

/** Gives a machine its disk: an overlay on the image, with what cloud-init reads. Does only what is missing. */
export async function prepare(lab: Lab, spec: MachineSpec, image: string): Promise<void> {
  const directory = directoryOf(lab, spec.name);
  const upper = join(directory, "upper");
  const base = join(directory, "image");
  const made = await readFile(base, "utf8").catch(() => "");
  // A machine stays on the image that it was made from, and half-made ones or others of its name go.
  if (made.split("\n")[1] !== spec.instance) {
    await remove(lab, spec.name, { keepNamespace: true });
    const seed = join(upper, "var/lib/cloud/seed/nocloud");
    await mkdir(seed, { recursive: true });
    await writeFile(join(seed, "user-data"), spec.userData, { mode: 0o600 });
    await writeFile(join(seed, "meta-data"), renderMetaData(spec));
    for (const path of ["work", "root"]) await mkdir(join(directory, path));
    await writeFile(base, `${image}\n${spec.instance}\n`);
  }
  if (!(await isMounted(rootOf(lab, spec.name)))) {
    const [lower] = (await readFile(base, "utf8")).split("\n");
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${join(directory, "work")}`;
    await execa("mount", ["-t", "overlay", "overlay", "-o", options, rootOf(lab, spec.name)]);
  }
}

function renderMetaData({ name, instance, publicKeys }: MachineSpec): string {
  return `${JSON.stringify({ "instance-id": instance, "local-hostname": name, "public-keys": publicKeys })}\n`;
}

/** Starts a prepared machine that does not run, and waits until its SSH answers. */
export async function boot(lab: Lab, spec: MachineSpec): Promise<void> {
  const { name } = spec;
  const root = rootOf(lab, name);
  if (!isRunning(lab, name)) {
    const drives = await attachDrives(lab, spec);
    // Nobody plays udev inside: what it would link is said to systemd-tmpfiles.
    const links = drives.map(
      ({ id, device }) => `L+ /dev/disk/by-id/${id} - - - - ../../${device.replace("/dev/", "")}\n`,
    );
    if (links.length > 0) await writeFile(join(root, "etc/tmpfiles.d/lab-drives.conf"), links.join(""));
    const words = [
      "systemd-nspawn",
      "--quiet",
      // Two labs may have machines of the same name.
      `--machine=fs-${lab.name}-${name}`,
      `--hostname=${name}`,
      "--register=no",
      "--keep-unit",
      "--link-journal=no",
      "--resolv-conf=off",
      "--timezone=off",
      "--capability=CAP_NET_ADMIN",
      `--network-namespace-path=/run/netns/${namespace(lab, name)}`,
      ...drives.map(({ device }) => `--bind=${device}`),
      `--directory=${root}`,
      "--boot",
    ];
    const environment = {
      PATH: process.env.PATH ?? "",
      SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1",
      // The kernel's settings of its own network are the machine's.
      SYSTEMD_NSPAWN_API_VFS_WRITABLE: "network",
    };
    await startDetached(lab, machineGroup(name), words, consoleLog(lab, name), environment);
  }
  await awaitSsh(lab, name);
}

/** Until sshd greets: cloud-init has then given it its keys. From inside, because firewalls may forbid all else. */
async function awaitSsh(lab: Lab, name: string): Promise<void> {
  const script = `until { exec 3<>/dev/tcp/127.0.0.1/22 && read -r -t 1 line <&3; } 2>/dev/null; do sleep 0.1; done`;
  const [command, ...words] = [...inside(lab, name), "timeout", "60", "bash", "-c", script];
  // A bash whose standard input is a socket, as a pipe of Node's is, takes itself for a remote shell's and reads ~/.bashrc.
  const { failed } = await execa(`${command}`, words, { reject: false, stdin: "ignore" });
  if (!failed) return;
  const end = (await readFile(consoleLog(lab, name), "utf8")).split("\n").slice(-15).join("\n");
  throw new UserError(`${name}: no SSH after a minute. The end of its console:\n${end}`);
}

/** Pulls a machine's plug: its processes are gone, its disk stays. */
export async function halt(lab: Lab, name: string): Promise<void> {
  await killGroup(lab, machineGroup(name));
  // What nspawn leaves when it is killed; the lock's name is that of the root directory's inode.
  await rm(`/run/systemd/nspawn/propagate/fs-${lab.name}-${name}`, { recursive: true, force: true });
  const root = await stat(rootOf(lab, name)).catch(() => undefined);
  if (root) await rm(`/run/systemd/nspawn/locks/inode-${root.dev}:${root.ino}`, { force: true });
}

/** Removes a machine for good, with its disk, its drives and, unless told otherwise, its place in the network. */
export async function remove(lab: Lab, name: string, { keepNamespace = false } = {}): Promise<void> {
  await halt(lab, name);
  await unmountBelow(directoryOf(lab, name));
  await detachDrives(directoryOf(lab, name));
  if (!keepNamespace) await removeNamespace(lab, name);
  await rm(directoryOf(lab, name), { recursive: true, force: true });
}

/** Names of all machines that have left something on the disk. */
export async function machineNames(lab: Lab): Promise<string[]> {
  return readdir(join(lab.directory, "machines")).catch(() => []);
}

/** Unmounts all that is mounted below a directory, the latest first. */
export async function unmountBelow(directory: string): Promise<void> {
  for (const path of (await mounts()).filter((path) => path.startsWith(`${directory}/`)).reverse())
    await execa("umount", [path]);
}

async function isMounted(path: string): Promise<boolean> {
  return (await mounts()).includes(path);
}

async function mounts(): Promise<string[]> {
  const text = await readFile("/proc/self/mounts", "utf8");
  return text.split("\n").flatMap((line) => line.split(" ")[1] ?? []);
}

/** Each drive as a loop device on a sparse file, which stays when the machine goes off. */
async function attachDrives(
  lab: Lab,
  { name, drives }: MachineSpec,
): Promise<{ id: string; device: string }[]> {
  const directory = join(directoryOf(lab, name), "drives");
  if (drives.length > 0) await mkdir(directory, { recursive: true });
  const attached = [];
  for (const id of drives) {
    const file = join(directory, `${id}.img`);
    const handle = await open(file, "a");
    if ((await handle.stat()).size < DRIVE_BYTES) await handle.truncate(DRIVE_BYTES);
    await handle.close();
    const device =
      (await loopDevices(file))[0] ?? (await execa("losetup", ["--find", "--show", file])).stdout;
    attached.push({ id, device });
  }
  return attached;
}

/** Frees the loop devices on files below a directory. */
export async function detachDrives(directory: string): Promise<void> {
  for (const device of await loopDevices(`${directory}/`)) await execa("losetup", ["--detach", device]);
}

async function loopDevices(prefix: string): Promise<string[]> {
  const { stdout } = await execa("losetup", [
    "--list",
    "--noheadings",
    "--raw",
    "--output",
    "NAME,BACK-FILE",
  ]);
  return stdout
    .split("\n")
    .map((line) => line.split(" "))
    .flatMap(([device, file]) => (device && file?.startsWith(prefix) ? [device] : []));
}

/** Words that run what follows inside a running machine, as root there. */
export async function insideMachine(lab: Lab, name: string): Promise<string[]> {
  return ["nsenter", `--target=${await leaderOf(lab, name)}`, "--all"];
}
