// The lab's own certificate authority, instead of Let's Encrypt. It issues the load balancer's managed certificate.
import "reflect-metadata"; // @peculiar/x509 needs it loaded first
import * as x509 from "@peculiar/x509";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { webcrypto } from "node:crypto";
import { join } from "node:path";
import type { Lab } from "./lab.ts";

x509.cryptoProvider.set(webcrypto);

type Place = Pick<Lab, "name" | "directory">;
const directoryOf = (lab: Pick<Lab, "directory">) => join(lab.directory, "ca");
const rootKey = (directory: string) => join(directory, "root.key");
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING = { name: "ECDSA", hash: "SHA-256" };
const ROOT_DAYS = 3650;
/** Browsers reject a certificate that is valid for longer than 398 days. */
const DAYS = 365;

/** Path of the root certificate. A browser that trusts it accepts the lab's certificates. */
export function rootCertificate(lab: Pick<Lab, "directory">): string {
  return join(directoryOf(lab), "root.crt");
}

/** Creates the authority if there is none yet. */
export async function createAuthority(lab: Place): Promise<void> {
  const directory = directoryOf(lab);
  if (existsSync(directory)) return;
  const keys = await newKeys();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=Framaspace lab ${lab.name}`,
    ...validFor(ROOT_DAYS),
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const draft = `${directory}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  await writeFile(rootKey(draft), await pemOf(keys.privateKey), { mode: 0o600 });
  await writeFile(join(draft, "root.crt"), `${root.toString("pem")}\n`);
  await rename(draft, directory);
}

/** Issues a certificate for names, wildcards included. Certificate and key are PEM. */
export async function issue(
  lab: Pick<Lab, "directory">,
  names: readonly string[],
): Promise<{ certificate: string; privateKey: string }> {
  const root = new x509.X509Certificate(await readFile(rootCertificate(lab), "utf8"));
  const [der] = x509.PemConverter.decode(await readFile(rootKey(directoryOf(lab)), "utf8"));
  if (!der) throw new Error(`${rootKey(directoryOf(lab))} holds no key`);
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${names[0]}`,
    issuer: root.subject,
    ...validFor(DAYS),
    signingAlgorithm: SIGNING,
    publicKey: keys.publicKey,
    signingKey: await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns" as const, value }))),
      await x509.AuthorityKeyIdentifierExtension.create(root.publicKey),
    ],
  });
  return { certificate: `${certificate.toString("pem")}\n`, privateKey: await pemOf(keys.privateKey) };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

function validFor(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now), notAfter: new Date(now + days * 86_400_000) };
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}
