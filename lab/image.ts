// The base image of all machines. image.sh builds it once. It stays in a cache, under the hash of its recipe.
import { execa } from "execa";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, chmod } from "node:fs/promises";
import { join } from "node:path";
import { PACKAGES } from "../infra/machine/packages.ts";
import { CACHE, waitForLock } from "./lab.ts";
import { unmountBelow } from "./machine.ts";
import { UserError } from "../validation/user-error.ts";

const SCRIPT = join(import.meta.dirname, "image.sh");

/** Packages of every machine, then `role=packages` for each role. */
function packageSets(): string[] {
  const { base, ...roles } = PACKAGES;
  return [
    base.join(","),
    ...Object.entries(roles).map(([role, packages]) => `${role}=${packages.join(",")}`),
  ];
}

/** Directory of the image that the current recipe builds. */
export function imagePath(): string {
  const hash = createHash("sha256").update(readFileSync(SCRIPT)).update(packageSets().join("\n"));
  return join(CACHE, `image-${hash.digest("hex").slice(0, 12)}`);
}

/** Builds the image if it is not there yet. Calls `report` for each step. */
export async function provideImage(report: (step: string) => void): Promise<string> {
  const path = imagePath();
  if (existsSync(path)) return path;
  const lock = await waitForLock("image", () => report("waiting for another lab that builds it"));
  try {
    return existsSync(path) ? path : await build(path, report);
  } finally {
    lock.close();
  }
}

async function build(path: string, report: (step: string) => void): Promise<string> {
  await mkdir(CACHE, { recursive: true });
  // Remove what a killed build left, and images of older recipes that no machine uses.
  await removeUnused();
  const draft = await mkdtemp(join(CACHE, "draft-"));
  await chmod(draft, 0o755);
  const { mirror, security, proxy } = await mirrors();
  const script = execa(SCRIPT, [draft, mirror, security ?? "-", ...packageSets()], {
    all: true,
    reject: false,
    stdin: "ignore",
    env: proxy === "" ? {} : { http_proxy: proxy },
  });
  for await (const line of script.iterable({ from: "all" }))
    if (line.startsWith("step ")) report(line.slice("step ".length));
  const result = await script;
  if (result.failed) {
    await discard(draft);
    const end = result.all.split("\n").slice(-20).join("\n");
    throw new UserError(
      `the base image could not be built from ${mirror}:\n${end}\nRun it again: npm run lab`,
    );
  }
  await rename(draft, path);
  return path;
}

/** Removes images and drafts that no machine uses. */
export async function removeUnused(): Promise<string[]> {
  const mounts = await readFile("/proc/self/mounts", "utf8");
  const names = existsSync(CACHE) ? await readdir(CACHE) : [];
  const unused = names
    .filter((name) => /^(image|draft)-/.test(name))
    .map((name) => join(CACHE, name))
    .filter((path) => !mounts.includes(`lowerdir=${path},`));
  for (const path of unused) await discard(path);
  return unused;
}

/** Deletes an image or a draft. debootstrap mounts /proc in it, and a killed build leaves that mounted. */
async function discard(path: string): Promise<void> {
  await unmountBelow(path);
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}

/** The mirrors that this machine's apt uses for Debian. If this machine is not Debian, Debian's own mirrors. */
export async function mirrors(): Promise<{ mirror: string; security: string | undefined; proxy: string }> {
  const format = ["indextargets", "--format", "$(ORIGIN) $(RELEASE) $(REPO_URI)", "Created-By: Packages"];
  const { stdout } = await execa("apt-get", format);
  const { stdout: proxy } = await execa("apt-config", ["shell", "PROXY", "Acquire::http::Proxy"]);
  const release = /^VERSION_CODENAME=(\w+)$/m.exec(await readFile("/etc/os-release", "utf8"))?.[1];
  const find = (suite: string) =>
    stdout
      .split("\n")
      .map((line) => line.split(" "))
      .find(([origin, name]) => origin === "Debian" && name === suite)?.[2]
      ?.replace(/\/$/, "");
  const mirror = find(`${release}`);
  return {
    mirror: mirror ?? "http://deb.debian.org/debian",
    security: mirror === undefined ? "http://deb.debian.org/debian-security" : find(`${release}-security`),
    proxy: /PROXY='(.*)'/.exec(proxy)?.[1] ?? "",
  };
}
