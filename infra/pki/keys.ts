// SSH keys from derived seeds: the deploy key of the engine and the lab, and the machines' host keys. A host key is
// thus known before its machine exists and can be checked at the first connection.
import { createPrivateKey, createPublicKey } from "node:crypto";

/** PKCS #8 header of an Ed25519 private key (RFC 8410); the 32-byte seed follows. */
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

/** Wraps a 32-byte seed as a PKCS #8 Ed25519 private key. */
export function ed25519Pkcs8(seed: Buffer): Buffer {
  return Buffer.concat([PKCS8_ED25519, seed]);
}

/** The 32-byte public key of a seed. */
export function ed25519PublicKey(seed: Buffer): Buffer {
  const key = createPublicKey(createPrivateKey({ key: ed25519Pkcs8(seed), format: "der", type: "pkcs8" }));
  return key.export({ format: "der", type: "spki" }).subarray(-32);
}

function sshString(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export interface SshKeyPair {
  /** `ssh-ed25519 AAAA…`, without a comment. */
  publicKey: string;
  /** In OpenSSH's own format (PROTOCOL.key), which every OpenSSH since 6.5 reads. */
  privateKey: string;
}

/** The SSH key pair of a 32-byte seed. */
export function sshKeyPair(seed: Buffer): SshKeyPair {
  const publicKey = ed25519PublicKey(seed);
  const blob = Buffer.concat([sshString("ssh-ed25519"), sshString(publicKey)]);
  // The check number tells whether decryption worked. The key is not encrypted, so a constant keeps it deterministic.
  const check = Buffer.alloc(8);
  const secret = Buffer.concat([check, blob, sshString(Buffer.concat([seed, publicKey])), sshString("")]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
  const one = Buffer.from([0, 0, 0, 1]);
  const body = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    sshString("none"),
    sshString("none"),
    sshString(""),
    one,
    sshString(blob),
    sshString(Buffer.concat([secret, padding])),
  ]);
  const lines = body.toString("base64").match(/.{1,70}/g) ?? [];
  return {
    publicKey: `ssh-ed25519 ${blob.toString("base64")}`,
    privateKey: [
      "-----BEGIN OPENSSH PRIVATE KEY-----",
      ...lines,
      "-----END OPENSSH PRIVATE KEY-----",
      "",
    ].join("\n"),
  };
}
