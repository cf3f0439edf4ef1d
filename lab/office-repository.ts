// The fake in Collabora's place, as Debian packages in a signed repository. So office-1 gets it as it gets Collabora:
// by the same script, which trusts the repository's key alone, and with the same options.
import { execa } from "execa";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, copyFile, cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../infra/inventory/environment.ts";
import type { Lab } from "./lab.ts";
import { rootCertificate } from "./lets-encrypt.ts";
import { ADMIN_ADDRESS } from "./namespaces.ts";

type Repository = NonNullable<NonNullable<NonNullable<Environment["office"]>["repositories"]>["collabora"]>;

/** Where the addresses of documents lead in a lab, which has no DNS. */
export interface Wildcard {
  /** Public address of the load balancer. */
  balancer: string;
  /** The port in the addresses of spaces. */
  port: number;
}

type Place = Pick<Lab, "directory">;

const FAKE = join(import.meta.dirname, "fake-collabora");
const LIBRARY = join(import.meta.dirname, "../node_modules/ws");
/** Folder of the program on office-1. */
const HOME = "usr/lib/coolwsd";
const VERSION = "0~fake";

/**
 * Builds the repository unless the same one is there, and returns how an environment declares it.
 * @param serve Makes the artifact server serve a file under a name.
 */
export async function officeRepository(
  lab: Place,
  wildcard: Wildcard,
  serve: (name: string, path: string) => void,
): Promise<Repository> {
  const made = join(lab.directory, "office");
  const stamp = await stampOf(lab, wildcard);
  const stampFile = join(made, "stamp");
  const home = join(made, "gnupg");
  if ((await readFile(stampFile, "utf8").catch(() => "")) !== stamp) {
    await rm(made, { recursive: true, force: true });
    await build(lab, made, home, wildcard);
    await writeFile(stampFile, stamp);
  }
  // Another repository has another address, so that office-1's script runs again.
  const name = `${stamp.slice(0, 12)}/office`;
  const folder = join(made, "repository");
  for (const file of await readdir(folder)) serve(`${name}/${file}`, join(folder, file));
  const url = `http://${ADMIN_ADDRESS}/${name}`;
  return { url, key: `${url}/key.gpg`, fingerprint: await fingerprintOf(home) };
}

/** A digest of everything that is in the packages. */
async function stampOf(lab: Place, wildcard: Wildcard): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify([wildcard, process.version]));
  const sources = (await readdir(FAKE)).sort().map((file) => join(FAKE, file));
  const others = [import.meta.filename, join(LIBRARY, "package.json"), rootCertificate(lab)];
  for (const file of [...sources, ...others]) hash.update(await readFile(file));
  return hash.digest("hex");
}

async function build(lab: Place, made: string, home: string, wildcard: Wildcard): Promise<void> {
  const tree = join(made, "coolwsd");
  const repository = join(made, "repository");
  for (const folder of [`${HOME}/node_modules`, "usr/bin", "usr/lib/systemd/system"])
    await mkdir(join(tree, folder), { recursive: true });
  await mkdir(repository);
  await cp(FAKE, join(tree, HOME), { recursive: true });
  // The fake alone trusts it, as Collabora trusts the authorities of the world.
  await copyFile(rootCertificate(lab), join(tree, HOME, "authority.crt"));
  await writeFile(join(tree, HOME, "package.json"), '{ "type": "module" }\n');
  await cp(LIBRARY, join(tree, HOME, "node_modules/ws"), { recursive: true });
  // Debian's Node is too old to run TypeScript.
  await copyFile(process.execPath, join(tree, HOME, "node"));
  await writeFile(
    join(tree, "usr/bin/coolwsd"),
    `#!/bin/sh\nexec /${HOME}/node /${HOME}/fake-coolwsd.ts "$@"\n`,
  );
  await chmod(join(tree, "usr/bin/coolwsd"), 0o755);
  await writeFile(join(tree, "usr/lib/systemd/system/coolwsd.service"), renderUnit(wildcard));
  await pack(tree, "coolwsd", repository);
  await pack(join(made, "code-brand"), "code-brand", repository);
  await rm(tree, { recursive: true });
  await index(repository);
  await sign(repository, home);
}

/** The options come with the platform's own file beside this one, as for Collabora's unit. */
function renderUnit({ balancer, port }: Wildcard): string {
  return `[Unit]
Description=The lab's fake in place of Collabora Online

[Service]
ExecStart=/usr/bin/coolwsd
Environment=LAB_BALANCER=${balancer} LAB_PORT=${port}
DynamicUser=yes
Restart=always

[Install]
WantedBy=multi-user.target
`;
}

async function pack(tree: string, name: string, repository: string): Promise<void> {
  await mkdir(join(tree, "DEBIAN"), { recursive: true });
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  await writeFile(
    join(tree, "DEBIAN/control"),
    `Package: ${name}
Version: ${VERSION}
Architecture: ${architecture}
Maintainer: the lab <root@localhost>
Description: the lab's fake in place of Collabora Online
`,
  );
  const file = join(repository, `${name}.deb`);
  await execa("dpkg-deb", ["--root-owner-group", "-Znone", "--build", tree, file]);
}

/** Writes `Packages` and `Release` (deb822), without signature. */
async function index(repository: string): Promise<void> {
  let packages = "";
  for (const file of (await readdir(repository)).sort()) {
    const { stdout } = await execa("dpkg-deb", ["--field", join(repository, file)]);
    packages += `${stdout}\nFilename: ./${file}\n${await sizes(join(repository, file))}\n`;
  }
  await writeFile(join(repository, "Packages"), packages);
  const sha256 = createHash("sha256").update(packages).digest("hex");
  const list = ` ${sha256} ${Buffer.byteLength(packages)} Packages\n`;
  await writeFile(join(repository, "Release"), `Date: ${new Date().toUTCString()}\nSHA256:\n${list}`);
}

async function sizes(file: string): Promise<string> {
  const sha256 = createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
  return `Size: ${(await stat(file)).size}\nSHA256: ${sha256}\n`;
}

/** Makes a key of the lab's own, and signs with it. */
async function sign(repository: string, home: string): Promise<void> {
  if (!existsSync(home)) await mkdir(home, { mode: 0o700 });
  const gpg = (...words: string[]) => execa("gpg", ["--homedir", home, "--batch", "--yes", ...words]);
  try {
    await gpg(
      "--passphrase",
      "",
      "--quick-generate-key",
      "the lab's office packages",
      "ed25519",
      "sign",
      "never",
    );
    await gpg("--clearsign", "--output", join(repository, "InRelease"), join(repository, "Release"));
    await gpg("--export", "--output", join(repository, "key.gpg"));
  } finally {
    // gpg starts an agent, which would stay.
    await execa("gpgconf", ["--homedir", home, "--kill", "all"], { reject: false });
  }
}

async function fingerprintOf(home: string): Promise<string> {
  const { stdout } = await execa("gpg", ["--homedir", home, "--batch", "--with-colons", "--list-keys"]);
  return /^fpr:+([0-9A-F]{40}):/m.exec(stdout)?.[1] ?? "";
}
