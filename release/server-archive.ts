// The official archive of Nextcloud: downloaded, checked by its signature, unpacked.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";
import { PHP } from "./app-store.ts";
import { sha256Of } from "./checksum.ts";
import type { Downloads } from "./download.ts";
import { run } from "./programs.ts";
import type { Sources } from "./sources.ts";

/** Nextcloud 34 has 210 MB. */
const MOST_BYTES = 1e9;
/** A key and a signature have a few kB. */
const MOST_SMALL = 1e6;

/** An archive whose signature was checked. */
export interface ServerArchive {
  path: string;
  url: string;
  sha256: string;
  /** Fingerprint of the primary key. */
  signedBy: string;
}

/**
 * Downloads the archive of a version, its signature and the key.
 * @param scratch Folder for the keyring.
 * @param pinned The archive's checksum, if it is known.
 * @throws UserError if one of them is not what it must be. It is then forgotten.
 */
export async function serverArchive(
  version: string,
  { sources, downloads, scratch }: { sources: Sources; downloads: Downloads; scratch: string },
  pinned?: string,
): Promise<ServerArchive> {
  const url = `${sources.server}/v${version}/nextcloud-${version}.tar.bz2`;
  const what = `Nextcloud ${version}`;
  const keyring = await readKeyring(sources, downloads, scratch);
  const path = await downloads.get({ url, what, most: MOST_BYTES });
  const signature = await downloads.get({
    url: `${url}.asc`,
    what: `signature of ${what}`,
    most: MOST_SMALL,
  });
  const refuse = (why: string): never => {
    downloads.discard(url);
    downloads.discard(`${url}.asc`);
    throw new UserError(
      `${what}: ${why}; nothing of it was kept (${url}). Try once more. If it says the same, tell Nextcloud: somebody may have changed it.`,
    );
  };
  const said = await run("gpgv", ["--status-fd", "1", "--keyring", keyring, signature, path]);
  const status = (keyword: string) =>
    new RegExp(`^\\[GNUPG:\\] ${keyword}(?: (.*))?$`, "m").exec(said.stdout)?.[1]?.split(" ");
  if (status("BADSIG")) refuse("its signature does not fit its content");
  if (status("EXPSIG")) refuse("its signature has expired");
  if (status("EXPKEYSIG") ?? status("REVKEYSIG"))
    refuse("its signature is of a key that has expired or is revoked");
  const signer = status("ERRSIG")?.[0] ?? status("NO_PUBKEY")?.[0];
  if (signer !== undefined)
    refuse(`its signature is of the key ${signer}, not of the pinned ${sources.fingerprint}`);
  const signedBy = status("VALIDSIG")?.at(-1);
  if (!said.ok || signedBy === undefined)
    return refuse(`gpgv finds no signature (${said.stderr.split("\n")[0]})`);
  if (signedBy !== sources.fingerprint)
    refuse(`its signature is of the key ${signedBy}, not of the pinned ${sources.fingerprint}`);
  const sha256 = await sha256Of(path);
  if (pinned !== undefined && sha256 !== pinned)
    refuse(`it is signed, but it is not the archive that the lock file has (${sha256}, not ${pinned})`);
  return { path, url, sha256, signedBy };
}

/** Downloads the key, and resolves to a keyring with this key alone. */
async function readKeyring(sources: Sources, downloads: Downloads, scratch: string): Promise<string> {
  const armored = join(scratch, "nextcloud.asc");
  const keyring = join(scratch, "nextcloud.gpg");
  const quiet = ["--homedir", scratch, "--batch", "--yes", "--no-autostart"];
  const key = await downloads.fresh({ url: sources.key, what: "Nextcloud's key", most: MOST_SMALL });
  writeFileSync(armored, key);
  const shown = await run("gpg", [...quiet, "--with-colons", "--show-keys", armored]);
  const fingerprints = [...shown.stdout.matchAll(/^pub:.*\n(?:.*\n)*?fpr:+([0-9A-F]{40}):/gm)].map(
    ([, fingerprint]) => fingerprint,
  );
  if (fingerprints.length !== 1 || fingerprints[0] !== sources.fingerprint)
    throw new UserError(
      `${sources.key} has ${fingerprints.length === 0 ? "no key" : `the key ${fingerprints.join(", ")}`}; the pinned one is ${sources.fingerprint}. If Nextcloud has announced a new key, write its fingerprint in release/sources.ts.`,
    );
  const { ok, stderr } = await run("gpg", [...quiet, "--output", keyring, "--dearmor", armored]);
  if (!ok) throw new UserError(`${sources.key} is no OpenPGP key in ASCII armor: ${stderr}`);
  return keyring;
}

/** A tree of Nextcloud, from an archive that was checked. */
export interface ServerTree {
  folder: string;
  /** Apps that lie in it. */
  apps: ReadonlySet<string>;
  /** Apps without which it does not start. */
  alwaysEnabled: ReadonlySet<string>;
  authority: { certificates: string; revocations: string };
}

const shipped = z.looseObject({ alwaysEnabled: z.array(z.string()) });

/** Unpacks the archive below a folder. Throws a UserError if it is not what its name says. */
export async function unpackServer(
  version: string,
  { path, url }: ServerArchive,
  into: string,
): Promise<ServerTree> {
  const { ok, stderr } = await run("tar", [
    "--extract",
    "--bzip2",
    `--file=${path}`,
    `--directory=${into}`,
    "--no-same-owner",
    "--no-same-permissions",
  ]);
  if (!ok) throw new UserError(`${url}: tar cannot unpack it to ${into}: ${stderr.split("\n")[0]}`);
  const folder = join(into, "nextcloud");
  const top = readdirSync(into);
  if (top.join() !== "nextcloud" || !existsSync(join(folder, "version.php")))
    throw new UserError(`${url} holds ${top.join(", ")}; Nextcloud's archives hold one folder, nextcloud.`);
  const found = /\$OC_VersionString\s*=\s*'([^']*)'/.exec(
    readFileSync(join(folder, "version.php"), "utf8"),
  )?.[1];
  // An older archive has a valid signature, too.
  if (found !== version)
    throw new UserError(
      `${url} is signed, but holds Nextcloud ${found ?? "without a version"}, not ${version}; nothing of it was kept.`,
    );
  assertPhpFits(version, readFileSync(join(folder, "lib/versioncheck.php"), "utf8"));
  const signing = join(folder, "resources/codesigning");
  return {
    folder,
    apps: new Set(readdirSync(join(folder, "apps"))),
    alwaysEnabled: new Set(
      shipped.parse(JSON.parse(readFileSync(join(folder, "core/shipped.json"), "utf8"))).alwaysEnabled,
    ),
    authority: { certificates: join(signing, "root.crt"), revocations: join(signing, "root.crl") },
  };
}

/** Nextcloud answers nothing under a PHP that is too old or too new for it. Throws a UserError. */
function assertPhpFits(version: string, check: string): void {
  const [major = 0, minor = 0, patch = 0] = PHP.split(".").map(Number);
  const own = major * 10_000 + minor * 100 + patch;
  const [least, below] = ["<", ">="].map((sign) =>
    Number(new RegExp(`PHP_VERSION_ID\\s*${sign}\\s*(\\d{5})`).exec(check)?.[1] ?? Number.NaN),
  );
  if (own < (least ?? 0) || own >= (below ?? Infinity))
    throw new UserError(
      `Nextcloud ${version} does not run under PHP ${PHP}, which the machines have (lib/versioncheck.php of its archive); wait for machines with another PHP.`,
    );
}
