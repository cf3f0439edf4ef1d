// Reads an environment's configuration file as the engine would pass it to the program. With the passphrase, secrets
// are decrypted; without it, a placeholder replaces each of them, so a plan needs no credentials.
import { createDecipheriv, createHash, pbkdf2 } from "node:crypto";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { parse } from "yaml";
import * as z from "zod";

/** What the engine passes to the program: the text of each key, and the keys that hold secrets. */
export interface StackConfiguration {
  values: Record<string, string>;
  secretKeys: string[];
}

const secureValue = z.strictObject({ secure: z.string() });
const stackFile = z.object({
  config: z.record(z.string(), z.unknown()).default({}),
  encryptionsalt: z.string().optional(),
});

/** Reads a file such as Pulumi.prod.yaml. */
export async function readStackConfiguration(file: string, passphrase?: string): Promise<StackConfiguration> {
  const { config, encryptionsalt } = stackFile.parse(parse(await readFile(file, "utf8")) ?? {});
  const decrypt =
    passphrase === undefined ? placeholder : await passphraseDecrypter(file, encryptionsalt, passphrase);
  const values: Record<string, string> = {};
  const secretKeys: string[] = [];
  for (const [key, value] of Object.entries(config)) {
    const secure = secureValue.safeParse(value);
    if (secure.success) {
      secretKeys.push(key);
      values[key] = decrypt(secure.data.secure);
    } else values[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return { values, secretKeys };
}

/**
 * 64 hexadecimal digits, as long as an hcloud token. They derive from the ciphertext, so that a plan shows a changed
 * secret and the secrets that derive from it.
 */
function placeholder(ciphertext: string): string {
  return createHash("sha256").update(`stand-in ${ciphertext}`).digest("hex").toUpperCase();
}

type Decrypter = (ciphertext: string) => string;

/**
 * Decrypts as the engine's passphrase provider does (pulumi/sdk/go/common/resource/config/crypt.go,
 * pulumi/pkg/secrets/passphrase).
 */
async function passphraseDecrypter(
  file: string,
  salt: string | undefined,
  passphrase: string,
): Promise<Decrypter> {
  const [version, saltText, ...test] = salt?.split(":") ?? [];
  if (version !== "v1" || !saltText || test.length !== 3)
    throw new Error(
      `${file}: encryptionsalt is not that of a passphrase; nothing in it can be decrypted here`,
    );
  const key = await promisify(pbkdf2)(passphrase, Buffer.from(saltText, "base64"), 1_000_000, 32, "sha256");
  const decrypt = (text: string) => {
    const [, nonce, sealed] = text.split(":").map((part) => Buffer.from(part, "base64"));
    if (!nonce || !sealed)
      throw new Error(`${file}: an encrypted value is not of the form v1:<nonce>:<text>`);
    const decipher = createDecipheriv("aes-256-gcm", key, nonce);
    decipher.setAuthTag(sealed.subarray(-16));
    return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]).toString("utf8");
  };
  try {
    decrypt(test.join(":"));
  } catch {
    throw new Error(`${file}: that is not its passphrase`);
  }
  return decrypt;
}
