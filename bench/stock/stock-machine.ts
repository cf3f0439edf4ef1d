// A stock Nextcloud beside a lab's platform: one more machine of the lab, with everything on it. Whatever the platform
// costs shows beside it, on the same hardware, in the same minute.
import { execa } from "execa";
import { randomBytes } from "node:crypto";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PACKAGES } from "../../infra/machine/packages.ts";
import type { Lab } from "../../lab/lab.ts";
import { boot, insideMachine, prepare, remove, rootOf, type MachineSpec } from "../../lab/machine.ts";
import { addPrivateLink } from "../../lab/namespaces.ts";

/** Name of the machine. Its services listen on its own loopback alone. */
export const STOCK = "stock";
export const STOCK_PORT = 8443;
export const STOCK_HOST = `stock.localhost:${STOCK_PORT}`;
/** No machine of a platform has an address in this part of the private network. */
const ADDRESS = "10.0.255.250";

const INSTALL = join(import.meta.dirname, "install.sh");

/**
 * Makes the machine anew. Resolves to an app password of its account `banc`. apt fetches what the lab's image lacks.
 * @param image Directory of the lab's base image.
 * @param archive Path of the release.
 */
export async function makeStock(lab: Lab, image: string, archive: string): Promise<string> {
  await removeStock(lab);
  const spec: MachineSpec = {
    name: STOCK,
    instance: STOCK,
    userData: "#cloud-config\n{}\n",
    publicKeys: [],
    drives: [],
  };
  await addPrivateLink(lab, STOCK, STOCK, ADDRESS);
  await prepare(lab, spec, image);
  const root = rootOf(lab, STOCK);
  await copyFile("/etc/resolv.conf", join(root, "etc/resolv.conf"));
  const packages = [...PACKAGES.web, "php8.4-apcu", ...PACKAGES.redis, "postgresql-17", "openssl"];
  const apt = ["apt-get", "-q", "-y", "--no-install-recommends", "install", ...packages];
  const environment = [
    "env",
    "-i",
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND=noninteractive",
    "LC_ALL=C.UTF-8",
  ];
  await execa("chroot", [root, ...environment, ...apt], { stdin: "ignore" });
  await mkdir(join(root, "var/www"), { recursive: true });
  await execa("tar", [
    "--extract",
    "--no-same-owner",
    "--directory",
    join(root, "var/www"),
    "--file",
    archive,
  ]);
  await boot(lab, spec);
  await copyFile(INSTALL, join(root, "root/install.sh"));
  const [command = "", ...words] = await insideMachine(lab, STOCK);
  const { stdout } = await execa(command, [...words, "bash", "/root/install.sh", `${STOCK_PORT}`], {
    input: `${secret()}\n${secret()}\n`,
  });
  return stdout.trim().split("\n").at(-1) ?? "";
}

export const removeStock = (lab: Lab): Promise<void> => remove(lab, STOCK);

const secret = () => `Aa1-${randomBytes(18).toString("base64url")}`;
