// Whether an app's archive is signed as Nextcloud's own installer wants it (lib/private/Installer.php): by a
// certificate of Nextcloud's authority for this app, which is not revoked. That it has not expired is asked here only.
import { createVerify, X509Certificate } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { UserError } from "../validation/user-error.ts";
import { run } from "./programs.ts";

/** Files in PEM: root and intermediate certificates, and the list of what they took back. */
export interface Authority {
  certificates: string;
  revocations: string;
}

/** What an app's makers publish beside the archive. */
export interface AppSignature {
  /** In PEM. */
  certificate: string;
  /** RSA with SHA-512 over the archive, in base64. */
  signature: string;
}

/** What openssl finds (openssl-verification-options, X509_V_ERR_…), in words that follow "its certificate". */
const FAULTS: Readonly<Record<string, string>> = {
  2: "is not of Nextcloud's authority",
  3: "cannot be compared with a list of revoked ones: the server's archive has none of its issuer",
  7: "has a wrong signature of Nextcloud's authority",
  8: "cannot be judged: the list of revoked ones has a wrong signature",
  9: "is not valid yet",
  10: "has expired",
  12: "cannot be judged: the list of revoked ones has expired, so a newer Nextcloud is needed",
  18: "is not of Nextcloud's authority",
  19: "is not of Nextcloud's authority",
  20: "is not of Nextcloud's authority",
  21: "is not of Nextcloud's authority",
  23: "is revoked by Nextcloud",
};

/**
 * Checks the certificate of an app. Resolves to it. Throws a UserError that begins with the app.
 * @param app The app's id.
 */
export async function checkCertificate(
  app: string,
  pem: string,
  { certificates, revocations }: Authority,
): Promise<X509Certificate> {
  const certificate = parse(app, pem);
  // Without `-no-…`, openssl would also trust what this machine trusts for websites.
  const { ok, stderr } = await run(
    "openssl",
    ["verify", "-no-CApath", "-no-CAstore", "-CAfile", certificates, "-crl_check", "-CRLfile", revocations],
    certificate.toString(),
  );
  if (!ok) {
    const [, code = "", words = stderr.split("\n")[0]] =
      /^error (\d+) at \d+ depth lookup: ?(.*)$/m.exec(stderr) ?? [];
    throw new UserError(`${app}: its certificate ${FAULTS[code] ?? `is refused by openssl: ${words}`}.`);
  }
  const name: unknown = certificate.toLegacyObject().subject.CN;
  if (name !== app)
    throw new UserError(
      `${app}: its certificate is of ${Array.isArray(name) ? name.join(" and ") : String(name)}, another app.`,
    );
  return certificate;
}

function parse(app: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new UserError(`${app}: its certificate cannot be read.`, { cause: error });
  }
}

/** Checks the signature over an archive. Throws a UserError. */
export async function checkSignature(
  app: string,
  archive: string,
  signature: string,
  { publicKey }: X509Certificate,
): Promise<void> {
  const verify = createVerify("RSA-SHA512");
  await pipeline(createReadStream(archive), verify);
  if (publicKey.asymmetricKeyType !== "rsa" || !verify.verify(publicKey, signature, "base64"))
    throw new UserError(`${app}: its signature does not fit its archive.`);
}
