// The settings with which a lab was started. `up` writes them; the lab's processes read them.
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lab } from "./lab.ts";

/** A dedicated server. No engine creates it, so the lab boots it before the engine runs. */
export interface DedicatedMachine {
  name: string;
  address: string;
  privateAddress: string;
  /** OpenSSH host key. The inventory holds its public half. */
  hostKey: { publicKey: string; privateKey: string };
  drives: string[];
  /** Its site is declared unreachable, so the lab does not start it. */
  declaredUnreachable: boolean;
  /** The platform's deploy key, which may log in. */
  publicKey: string;
}

export interface Settings {
  /** Directory of the base image for new machines. */
  image: string;
  /** Port on the host's loopback. */
  port: number;
  domain: string;
  /** Server name → public address that the server must get. */
  reserved: Record<string, string>;
  dedicated: DedicatedMachine[];
  /** File name → path on this machine. */
  artifacts: Record<string, string>;
  /** What the lab does not have, and why. */
  leftOut: { what: string; why: string }[];
}

const fileOf = (lab: Lab) => join(lab.directory, "lab.json");

/** Undefined if there is no such lab. */
export function readSettings(lab: Lab): Settings | undefined {
  let text: string;
  try {
    text = readFileSync(fileOf(lab), "utf8");
  } catch {
    return undefined;
  }
  // No validation: only writeSettings writes this file.
  const settings: Settings = JSON.parse(text);
  return settings;
}

export async function writeSettings(lab: Lab, settings: Settings): Promise<void> {
  await writeFile(`${fileOf(lab)}.new`, JSON.stringify(settings), { mode: 0o600 });
  await rename(`${fileOf(lab)}.new`, fileOf(lab));
}
