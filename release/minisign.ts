// Signatures by minisign: MinIO signs its binaries so.
import { basename } from "node:path";
import { UserError } from "../validation/user-error.ts";
import type { Downloads } from "./download.ts";
import { run } from "./programs.ts";

/** A signature has four lines. */
const MOST_BYTES = 1e5;

/**
 * Checks a downloaded file by the signature beside its address. Throws a UserError, and forgets both, if it does not
 * fit, or was made for a file of another name.
 * @param key The public key, in base64.
 */
export async function checkMinisign(
  what: string,
  { url, path }: { url: string; path: string },
  key: string,
  downloads: Downloads,
): Promise<void> {
  const beside = `${url}.minisig`;
  const signature = await downloads.get({ url: beside, what: `signature of ${what}`, most: MOST_BYTES });
  const { ok, stdout, stderr } = await run("minisign", ["-V", "-P", key, "-x", signature, "-m", path]);
  const refuse = (why: string): never => {
    downloads.discard(url);
    downloads.discard(beside);
    throw new UserError(`${what}: ${why}; it was not kept (${url}).`);
  };
  if (!ok)
    refuse(
      `its signature is not one of the key ${key} over this file (${`${stdout}${stderr}`.trim().split("\n")[0]})`,
    );
  // The comment is signed, too. An older binary under a newer name has a valid signature.
  const name = /^Trusted comment:.*\bfile(?:name)?:(\S+)/m.exec(stdout)?.[1];
  const wanted = basename(new URL(url).pathname);
  if (name !== undefined && name !== wanted) refuse(`its signature was made for ${name}, not for ${wanted}`);
}
