// The platform's own certificate authority, for traffic between machines. Everything is derived from the master
// secret, and Ed25519 signatures are deterministic, so the same configuration always gives the same certificates.
// The public certificate of the spaces is not here: Hetzner issues it (infra/gateway/ingress.ts).
import "reflect-metadata"; // @peculiar/x509 wants it loaded first
import * as x509 from "@peculiar/x509";
import { createHash, webcrypto } from "node:crypto";
import type { Environment } from "../inventory/environment.ts";
import { ed25519Pkcs8, ed25519PublicKey } from "./keys.ts";
import type { Secrets } from "./secrets.ts";

x509.cryptoProvider.set(webcrypto);

export interface Certificate {
  /** PEM. */
  certificate: string;
  /** PEM, PKCS #8. Secret. */
  key: string;
}

async function keyPair(seed: Buffer): Promise<webcrypto.CryptoKeyPair> {
  const publicKey = await webcrypto.subtle.importKey("raw", ed25519PublicKey(seed), "Ed25519", true, [
    "verify",
  ]);
  const privateKey = await webcrypto.subtle.importKey("pkcs8", ed25519Pkcs8(seed), "Ed25519", true, ["sign"]);
  return { publicKey, privateKey };
}

/** Signs the certificates of one environment's machines. */
export class Authority {
  readonly #secrets: Secrets;
  readonly #validity: { notBefore: Date; notAfter: Date };
  readonly #root: Promise<{ keys: webcrypto.CryptoKeyPair; certificate: x509.X509Certificate }>;

  constructor(secrets: Secrets, { notBefore, years }: Environment["certificates"]) {
    this.#secrets = secrets;
    const first = new Date(`${notBefore}T00:00:00Z`);
    const last = new Date(first);
    last.setUTCFullYear(first.getUTCFullYear() + years);
    this.#validity = { notBefore: first, notAfter: last };
    this.#root = this.#createRoot(secrets.generation("ca", "key"));
  }

  async #createRoot(generation: number) {
    const keys = await keyPair(this.#secrets.seed("ca", "key", generation));
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: "CN=Framaspace platform CA",
      ...this.#validity,
      signingAlgorithm: { name: "Ed25519" },
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return { keys, certificate };
  }

  /** The authority's own certificates, which every machine trusts, the one in use first. PEM, not secret. */
  async root(): Promise<string> {
    const [, ...others] = this.#secrets.trusted("ca", "key");
    const roots = [this.#root, ...others.map((generation) => this.#createRoot(generation))];
    return (await Promise.all(roots)).map(({ certificate }) => `${certificate.toString("pem")}\n`).join("");
  }

  /** Issues a certificate for one machine, valid for its names and addresses, as server and as client. */
  async issue(name: string, names: readonly string[], addresses: readonly string[]): Promise<Certificate> {
    const { keys: issuer, certificate: root } = await this.#root;
    const seed = this.#secrets.machineSeed(name, "tls");
    const keys = await keyPair(seed);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(seed, [...names, ...addresses]),
      subject: `CN=${name}`,
      issuer: root.subject,
      ...this.#validity,
      signingAlgorithm: { name: "Ed25519" },
      publicKey: keys.publicKey,
      signingKey: issuer.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.serverAuth,
          x509.ExtendedKeyUsage.clientAuth,
        ]),
        new x509.SubjectAlternativeNameExtension([
          ...names.map((value) => ({ type: "dns" as const, value })),
          ...addresses.map((value) => ({ type: "ip" as const, value })),
        ]),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ],
    });
    const key = ed25519Pkcs8(seed).toString("base64");
    return {
      certificate: `${certificate.toString("pem")}\n`,
      key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
    };
  }
}

/**
 * Derives the serial number from the key and the certified names, so that different certificates have different
 * numbers. Positive, at most 16 bytes (RFC 5280 allows 20).
 */
function serialNumber(seed: Buffer, subjects: string[]): string {
  const digest = createHash("sha256")
    .update(ed25519PublicKey(seed))
    .update(subjects.join("\n"))
    .digest("hex");
  return `4${digest.slice(1, 32)}`;
}
