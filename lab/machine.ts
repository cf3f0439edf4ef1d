// A machine of the lab: an overlay on the base image, and a Debian that systemd-nspawn boots on it, in its own network
// namespace and cgroup. Addresses and filters are in namespaces.ts.
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
  /** Changes if this is another machine with the same name. Then cloud-init runs again. */
  instance: string;
  userData: string;
  /** Keys that root accepts. */
  publicKeys: readonly string[];
  /** Stable ids of data drives; empty for cloud servers. */
  drives: readonly string[];
}

/** Bytes of a data drive. It is sparse: it takes what is written. Four of them hold what a space's plan promises. */
const DRIVE_BYTES = 20 * 1024 ** 3;

function directoryOf(lab: Lab, name: string): string {
  return join(lab.directory, "machines", name);
}

/** File with the output of a machine's console. */
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

/** Creates a machine's disk: an overlay on the image, with the data for cloud-init. Does only what is missing. */
export async function prepare(lab: Lab, spec: MachineSpec, image: string): Promise<void> {
  const directory = directoryOf(lab, spec.name);
  const upper = join(directory, "upper");
  const base = join(directory, "image");
  const made = await readFile(base, "utf8").catch(() => "");
  // A machine keeps the image from which it was created. Half-made machines, and others of its name, are removed.
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

/** Starts a prepared machine if it does not run, and waits until its SSH answers. */
export async function boot(lab: Lab, spec: MachineSpec): Promise<void> {
  const { name } = spec;
  const root = rootOf(lab, name);
  if (!isRunning(lab, name)) {
    const drives = await attachDrives(lab, spec);
    // There is no udev inside, so systemd-tmpfiles creates the links that udev would create.
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
      // The kernel settings of the machine's own network are writable inside it.
      SYSTEMD_NSPAWN_API_VFS_WRITABLE: "network",
    };
    await startDetached(lab, machineGroup(name), words, consoleLog(lab, name), environment);
  }
  await awaitSsh(lab, name);
}

/** Waits until sshd greets, after cloud-init installed its keys. From inside: firewalls may block all else. */
async function awaitSsh(lab: Lab, name: string): Promise<void> {
  const script = `until { exec 3<>/dev/tcp/127.0.0.1/22 && read -r -t 1 line <&3; } 2>/dev/null; do sleep 0.1; done`;
  const [command, ...words] = [...inside(lab, name), "timeout", "60", "bash", "-c", script];
  // Without "ignore", standard input is a socket, as Node's pipes are. Then bash thinks that a remote shell started it,
  // and reads ~/.bashrc.
  const { failed } = await execa(`${command}`, words, { reject: false, stdin: "ignore" });
  if (!failed) return;
  const end = (await readFile(consoleLog(lab, name), "utf8")).split("\n").slice(-15).join("\n");
  throw new UserError(`${name}: no SSH after a minute. The end of its console:\n${end}`);
}

/** Cuts the power of a machine: its processes are gone, its disk stays. */
export async function halt(lab: Lab, name: string): Promise<void> {
  await killGroup(lab, machineGroup(name));
  // nspawn leaves this when it is killed. The name of the lock contains the inode of the root directory.
  await rm(`/run/systemd/nspawn/propagate/fs-${lab.name}-${name}`, { recursive: true, force: true });
  const root = await stat(rootOf(lab, name)).catch(() => undefined);
  if (root) await rm(`/run/systemd/nspawn/locks/inode-${root.dev}:${root.ino}`, { force: true });
}

/** Removes a machine for good: its disk, its drives and, without `keepNamespace`, its network namespace. */
export async function remove(lab: Lab, name: string, { keepNamespace = false } = {}): Promise<void> {
  await halt(lab, name);
  await unmountBelow(directoryOf(lab, name));
  await detachDrives(directoryOf(lab, name));
  if (!keepNamespace) await removeNamespace(lab, name);
  await rm(directoryOf(lab, name), { recursive: true, force: true });
}

/** Names of all machines that have files on the disk. */
export async function machineNames(lab: Lab): Promise<string[]> {
  return readdir(join(lab.directory, "machines")).catch(() => []);
}

/** Unmounts everything below a directory, the latest mount first. */
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

/** Attaches each drive as a loop device on a sparse file. The file stays when the machine stops. */
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

/** Frees the loop devices whose files are below a directory. */
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

/** Words that run a command inside a running machine, as root there. */
export async function insideMachine(lab: Lab, name: string): Promise<string[]> {
  return ["nsenter", `--target=${await leaderOf(lab, name)}`, "--all"];
}
