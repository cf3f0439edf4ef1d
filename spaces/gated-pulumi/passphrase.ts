// The passphrase that opens an environment's secrets.
import { readFile } from "node:fs/promises";
import { UserError } from "../../validation/user-error.ts";

/** Finds the passphrase as the CLI does. Throws a UserError if there is none. */
export async function readPassphrase(): Promise<string> {
  const { PULUMI_CONFIG_PASSPHRASE: given, PULUMI_CONFIG_PASSPHRASE_FILE: file } = process.env;
  if (given !== undefined) return given;
  if (file !== undefined) return (await readFile(file, "utf8")).trim();
  throw new UserError(
    "The environment's passphrase is missing: export PULUMI_CONFIG_PASSPHRASE_FILE=… (a file of mode 0600).",
  );
}
