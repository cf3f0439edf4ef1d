// What the lab needs on the machine on which it runs.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { UserError } from "../validation/user-error.ts";

/** Program → Debian package. */
const NEEDS: Readonly<Record<string, string>> = {
  debootstrap: "debootstrap",
  "systemd-nspawn": "systemd-container",
  ip: "iproute2",
  nft: "nftables",
  ssh: "openssh-client",
  haproxy: "haproxy",
  losetup: "mount",
  sysctl: "procps",
  gpg: "gpg",
  "gpg-agent": "gpg-agent",
};
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Directories that may be missing in the PATH of a service or a user. */
const SYSTEM_PATH = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/**
 * Installs what is missing and raises limits. Otherwise says what to do.
 * @param more Further programs, each with its package.
 */
export async function prepareHost(
  report: (text: string) => void,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const os = await readFile("/etc/os-release", "utf8").catch(() => "");
  if (process.platform !== "linux" || !/^ID(_LIKE)?=.*(debian|ubuntu)/m.test(os))
    throw new UserError("the lab needs Debian or Ubuntu: it installs what it needs by apt.");
  if (!["x64", "arm64"].includes(process.arch))
    throw new UserError(`the lab has no ${process.arch} machines.`);
  process.env.PATH = [...new Set([...(process.env.PATH ?? "").split(delimiter), ...SYSTEM_PATH])].join(
    delimiter,
  );
  const absent = () => {
    const missing = Object.entries({ ...NEEDS, ...more }).flatMap(([program, name]) =>
      isInstalled(program) ? [] : [name],
    );
    return existsSync(KEYRING) ? missing : [...missing, "debian-archive-keyring"];
  };
  const packages = absent();
  await raiseLimits(report);
  if (packages.length > 0) {
    report(`installing ${packages.join(", ")}`);
    const install = ["apt-get", ["-q", "-y", "--no-install-recommends", "install", ...packages]] as const;
    const options = { env: { DEBIAN_FRONTEND: "noninteractive" }, reject: false, all: true } as const;
    let result = await execa(...install, options);
    if (result.failed) {
      await execa("apt-get", ["-q", "update"], options);
      result = await execa(...install, options);
    }
    if (result.failed || absent().length > 0)
      throw new UserError(
        `apt could not install ${packages.join(" ")}:\n${result.all.split("\n").slice(-10).join("\n")}`,
      );
    if (packages.includes("haproxy")) await stopService("haproxy");
  }
}

/** Stops a service that Debian starts after installation: a lab runs its own. Works with systemd and without. */
async function stopService(name: string): Promise<void> {
  for (const words of [
    ["invoke-rc.d", name, "stop"],
    ["update-rc.d", name, "disable"],
  ])
    await execa(`${words[0]}`, words.slice(1), { reject: false });
}

function isInstalled(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)));
}

/** Each machine's systemd uses about ten inotify instances. Linux gives root 128 for all containers together. */
const INOTIFY = "/proc/sys/fs/inotify/max_user_instances";
const INOTIFY_INSTANCES = 2048;
/** File with the value before. It disappears at a reboot, and so does the raised value. */
const BEFORE = "/run/framaspace-lab-inotify";

async function raiseLimits(report: (text: string) => void): Promise<void> {
  const found = (await readFile(INOTIFY, "utf8")).trim();
  if (Number(found) >= INOTIFY_INSTANCES) return;
  if (!existsSync(BEFORE)) await writeFile(BEFORE, found);
  await writeFile(INOTIFY, String(INOTIFY_INSTANCES));
  report(
    `fs.inotify.max_user_instances raised from ${found} to ${INOTIFY_INSTANCES}, until the last lab is taken down`,
  );
}

/** Undoes the changes to this machine itself. */
export async function restoreHost(): Promise<void> {
  const before = await readFile(BEFORE, "utf8").catch(() => undefined);
  if (before === undefined) return;
  await writeFile(INOTIFY, before);
  await rm(BEFORE);
}
