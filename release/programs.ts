// The programs of Debian that check and pack: run with their output, or named if they are missing.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { UserError } from "../validation/user-error.ts";

/** Program → Debian package. */
export const PACKAGES: Readonly<Record<string, string>> = {
  bzip2: "bzip2",
  gpg: "gpg",
  gpgv: "gpgv",
  minisign: "minisign",
  openssl: "openssl",
  tar: "tar",
  zstd: "zstd",
};

/** What a program said, and whether it succeeded. */
export interface Said {
  ok: boolean;
  stdout: string;
  stderr: string;
}

/** Throws a UserError that names the missing ones of these programs. */
export function assertInstalled(...programs: readonly string[]): void {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const missing = programs.filter((program) => !folders.some((folder) => existsSync(join(folder, program))));
  if (missing.length > 0)
    throw new UserError(
      `${missing.join(", ")} is missing on this machine; apt-get install ${missing.map((one) => PACKAGES[one] ?? one).join(" ")}.`,
    );
}

/** Runs a program in the C locale. Whether it succeeded is the caller's to judge. */
export async function run(program: string, words: readonly string[], input?: string): Promise<Said> {
  const { exitCode, stdout, stderr } = await execa(program, words, {
    ...(input === undefined ? { stdin: "ignore" } : { input }),
    reject: false,
    env: { LC_ALL: "C.UTF-8", LANGUAGE: "" },
  });
  // Not `failed`: a program that ends without reading its input has failed for execa (EPIPE).
  return { ok: exitCode === 0, stdout, stderr };
}
