// What a lab was brought up with: written by `up`, read by the lab's processes.
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lab } from "./lab.ts";

/** A dedicated server: not the cloud's, so the lab boots it before the engine runs. */
export interface DedicatedMachine {
  name: string;
  address: string;
  privateAddress: string;
  /** OpenSSH host key, which is in the inventory by its public half. */
  hostKey: { publicKey: string; privateKey: string };
  drives: string[];
  /** Its site is declared to be out of reach: it is not started. */
  declaredUnreachable: boolean;
  /** Who may log in: the platform's deploy key. */
  publicKey: string;
}

export interface Settings {
  /** Directory of the base image for new machines. */
  image: string;
  /** On the host's loopback. */
  port: number;
  domain: string;
  /** Server name → public address that it must have. */
  reserved: Record<string, string>;
  dedicated: DedicatedMachine[];
  /** File name → path on this machine. */
  artifacts: Record<string, string>;
  /** What the lab does without, and why. */
  leftOut: { what: string; why: string }[];
}

const fileOf = (lab: Lab) => join(lab.directory, "lab.json");

/** Undefined where there is no such lab. */
export function readSettings(lab: Lab): Settings | undefined {
  let text: string;
  try {
    text = readFileSync(fileOf(lab), "utf8");
  } catch {
    return undefined;
  }
  // Only writeSettings writes it.
  const settings: Settings = JSON.parse(text);
  return settings;
}

export async function writeSettings(lab: Lab, settings: Settings): Promise<void> {
  await writeFile(`${fileOf(lab)}.new`, JSON.stringify(settings), { mode: 0o600 });
  await rename(`${fileOf(lab)}.new`, fileOf(lab));
}
