// SSH keys from seeds, checked with OpenSSH.
import { execaSync } from "execa";
import fc from "fast-check";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { sshKeyPair } from "../../../infra/pki/keys.ts";

const folder = mkdtempSync(join(tmpdir(), "keys-"));
afterAll(() => rmSync(folder, { recursive: true }));

const seed = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));

it("gives the same key for the same seed, and another key for another seed", () => {
  fc.assert(
    fc.property(seed, seed, (one, other) => {
      expect(sshKeyPair(one)).toEqual(sshKeyPair(one));
      expect(sshKeyPair(other).publicKey === sshKeyPair(one).publicKey).toBe(one.equals(other));
    }),
    { numRuns: 50 },
  );
});

it("makes the public key of RFC 8032's first test", () => {
  const { publicKey } = sshKeyPair(
    Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex"),
  );
  expect(
    Buffer.from(publicKey.split(" ")[1] ?? "", "base64")
      .subarray(-32)
      .toString("hex"),
  ).toBe("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
});

const sshKeygen = execaSync("ssh-keygen", ["-?"], { reject: false }).exitCode !== undefined;

describe.skipIf(!sshKeygen)("OpenSSH (ssh-keygen on PATH)", () => {
  it("reads the private key and finds the same public key", () => {
    const file = join(folder, "key");
    fc.assert(
      fc.property(seed, (bytes) => {
        const { publicKey, privateKey } = sshKeyPair(bytes);
        writeFileSync(file, privateKey, { mode: 0o600 });
        expect(execaSync("ssh-keygen", ["-y", "-f", file]).stdout.trim()).toBe(publicKey);
      }),
      { numRuns: 20 },
    );
  });
});
