// The lab's own certificate authority, in Let's Encrypt's place: issues the load balancer's managed certificate.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lab } from "./lab.ts";

const directoryOf = (lab: Lab) => join(lab.directory, "ca");
const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** What a browser is told to trust, if one likes. */
export function rootCertificate(lab: Lab): string {
  return join(directoryOf(lab), "root.crt");
}

/** Makes the authority, if there is none yet. */
export async function createAuthority(lab: Lab): Promise<void> {
  const directory = directoryOf(lab);
  if (existsSync(directory)) return;
  const draft = `${directory}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const files = ["-keyout", join(draft, "root.key"), "-out", join(draft, "root.crt")];
  const subject = `/CN=Framaspace lab "${lab.name}"`;
  await execa("openssl", ["req", "-x509", ...NEW_KEY, ...files, "-subj", subject, "-days", "3650"]);
  await rename(draft, directory);
}

/** A certificate for names, wildcards included. */
export async function issue(
  lab: Lab,
  names: readonly string[],
): Promise<{ certificate: string; privateKey: string }> {
  const directory = directoryOf(lab);
  const draft = await mkdtemp(join(directory, "issue-"));
  try {
    const [key, request, extensions] = ["key", "request", "extensions"].map((file) => join(draft, file));
    await execa("openssl", [
      "req",
      "-new",
      ...NEW_KEY,
      "-keyout",
      `${key}`,
      "-out",
      `${request}`,
      "-subj",
      `/CN=${names[0]}`,
    ]);
    await writeFile(`${extensions}`, `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}\n`);
    const issuer = ["-CA", rootCertificate(lab), "-CAkey", join(directory, "root.key"), "-CAcreateserial"];
    const signing = [
      "x509",
      "-req",
      "-in",
      `${request}`,
      ...issuer,
      "-days",
      "365",
      "-extfile",
      `${extensions}`,
    ];
    const { stdout } = await execa("openssl", signing);
    return { certificate: `${stdout}\n`, privateKey: await readFile(`${key}`, "utf8") };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
