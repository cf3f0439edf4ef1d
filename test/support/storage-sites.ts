// Both sites of a lab under load: the client and its ledger, and the faults of machines and drives.
import { execa } from "execa";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import * as z from "zod";
import { PORTS } from "../../infra/machine/firewall.ts";
import { openLab } from "../../lab/lab.ts";
import { startDaemon } from "../../lab/lifecycle.ts";
import { halt, insideMachine, remove } from "../../lab/machine.ts";
import { ROUTER } from "../../lab/namespaces.ts";
import type { TestLab, UpWords } from "./suite-lab.ts";
import type { ClientOptions } from "./s3-client.ts";
import { ABSENT, isWrite, readLedger, type Line, type Verdict } from "./object-ledger.ts";

/** With fewer acknowledged writes, a run proves nothing. */
export const MINIMUM_LOAD = 100;

export const SPACE = "lotus";

export type Site = "primary" | "replica";

const LETTER = { primary: "a", replica: "b" } as const;
const HOST = { primary: 10, replica: 20 } as const;

const NUMBERS = [1, 2, 3, 4, 5] as const;

/** Names of a site's five nodes. */
export const nodesOf = (site: Site): string[] => NUMBERS.map((number) => `storage-${LETTER[site]}${number}`);

const addressesOf = (site: Site): string[] => NUMBERS.map((number) => `10.0.128.${HOST[site] + number}`);

const spaceSecret = z.object({ s3: z.object({ user: z.string(), secret: z.string() }) });

const run = (words: readonly string[], options: ClientOptions) =>
  execa("nsenter", words, { reject: false, input: JSON.stringify(options) });

/** One client that uses the bucket of a space, as the space's web server does. */
export class Load {
  readonly ledger: string;
  readonly #lab: TestLab;
  readonly #options: ClientOptions;
  #process: ReturnType<typeof run> | undefined;
  readonly began = Date.now();

  private constructor(lab: TestLab, options: ClientOptions) {
    this.#lab = lab;
    this.#options = options;
    this.ledger = options.ledger;
  }

  /**
   * Starts at the primary site. `rest` slows the client down, so that a load of many minutes leaves as little to reread
   * as a load of one minute.
   */
  static async begin(lab: TestLab, seed: number, { rest = 0 } = {}): Promise<Load> {
    const folder = await mkdtemp(join(tmpdir(), "framaspace-ledger-"));
    const file = await lab.on("ops-1", `cat /srv/spaces/${SPACE}/config/space.json`);
    const { s3 } = spaceSecret.parse(JSON.parse(file));
    const ca = join(folder, "ca.crt");
    await writeFile(ca, await lab.on("ops-1", "cat /usr/local/share/ca-certificates/framaspace.crt"));
    const options = {
      nodes: nodeTable("primary"),
      ca,
      key: s3.user,
      secret: s3.secret,
      bucket: `space-${SPACE}`,
      ledger: join(folder, "ledger.jsonl"),
      seed,
      prefix: `ledger-${seed}`,
      rest,
    };
    await writeFile(options.ledger, "");
    const load = new Load(lab, options);
    onTestFinished(() => {
      load.#process?.kill("SIGKILL");
    });
    load.resume("primary");
    return load;
  }

  /** Starts, or continues at a site with another set of keys. */
  resume(site: Site): void {
    const options = {
      ...this.#options,
      nodes: nodeTable(site),
      prefix: `${this.#options.prefix}/${Date.now()}`,
    };
    this.#process = run(this.#words("load"), options);
  }

  #words(work: string): string[] {
    const client = join(import.meta.dirname, "s3-client.ts");
    return [`--net=/run/netns/fs-${this.#lab.name}-web-1`, process.execPath, client, work];
  }

  get lines(): Line[] {
    return readLedger(this.ledger);
  }

  get acknowledged(): number {
    return this.lines.filter(isWrite).length;
  }

  /** Deletes that were answered as if nothing had been there. */
  get absent(): number {
    return this.lines.filter((line) => line.kind === "unknown" && line.outcome === ABSENT).length;
  }

  /** Waits until this many more writes are acknowledged. */
  async more(count: number, seconds = 120): Promise<void> {
    const goal = this.acknowledged + count;
    for (const end = Date.now() + seconds * 1000; this.acknowledged < goal; await sleep(200))
      if (Date.now() > end)
        throw new Error(`only ${count - (goal - this.acknowledged)} of ${count} writes in ${seconds} s`);
  }

  async stop(): Promise<void> {
    this.#process?.kill("SIGTERM");
    const ended = await this.#process;
    if (ended?.exitCode !== 0) throw new Error(`the client failed: ${String(ended?.stderr)}`);
    this.#process = undefined;
  }

  /** Rereads everything that was acknowledged, through every node of a site. */
  async verify(site: Site = "primary", nodes = nodesOf(site)): Promise<Verdict> {
    const table = Object.fromEntries(
      Object.entries(nodeTable(site)).filter(([name]) => nodes.includes(name)),
    );
    const { stdout } = await execa("nsenter", this.#words("verify"), {
      input: JSON.stringify({ ...this.#options, nodes: table }),
    });
    // Only the client prints this.
    return JSON.parse(stdout) as Verdict;
  }
}

function nodeTable(site: Site): Record<string, string> {
  const addresses = addressesOf(site);
  return Object.fromEntries(nodesOf(site).map((name, index) => [name, addresses[index] ?? ""]));
}

/** Turns machines off at once: none of their processes runs another instruction. */
export async function kill(lab: TestLab, machines: readonly string[]): Promise<void> {
  await Promise.all(machines.map((machine) => halt(openLab(lab.name), machine)));
}

/** Starts all machines that are off. */
export async function start(lab: TestLab): Promise<void> {
  await startDaemon(openLab(lab.name));
}

/** Loss of power: all file systems stop at once, without writing their logs out, and then the machines are gone. */
export async function cutPower(lab: TestLab, machines: readonly string[]): Promise<void> {
  const drives = "for d in /srv/minio/drive-*; do xfs_io -x -c shutdown $d & done; wait";
  const switches = await Promise.all(machines.map((machine) => insideMachine(openLab(lab.name), machine)));
  await Promise.all(
    switches.map(([program = "", ...words]) => execa(program, [...words, "sh", "-c", drives])),
  );
  await kill(lab, machines);
}

/** Puts other machines under the same names: their disks and drives are new and empty. */
export async function exchange(lab: TestLab, machines: readonly string[]): Promise<void> {
  for (const machine of machines) await remove(openLab(lab.name), machine, { keepNamespace: true });
}

/** Pulls a drive out under load, and puts an empty one in its place. */
export async function emptyDrive(lab: TestLab, machine: string, drive: number): Promise<void> {
  const { directory } = openLab(lab.name);
  const file = join(directory, "machines", machine, "drives", `lab-${machine}-drive-${drive}.img`);
  const { size } = await stat(file);
  // This comes first. Otherwise, what the file system still writes would reach the new drive.
  await lab.on(machine, `xfs_io -x -c shutdown /srv/minio/drive-${drive}`);
  await truncate(file, 0);
  await truncate(file, size);
}

/** Makes a MinIO that is another file and behaves the same: the loader does not read what follows the program. */
export async function anotherBuild(words: UpWords): Promise<{ path: string; sha256: string }> {
  const program = Buffer.concat([
    await readFile(words[words.indexOf("--minio") + 1] ?? ""),
    Buffer.from("another build"),
  ]);
  const folder = await mkdtemp(join(tmpdir(), "framaspace-minio-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "minio");
  await writeFile(path, program, { mode: 0o755 });
  return { path, sha256: createHash("sha256").update(program).digest("hex") };
}

/** Waits until a site takes writes, all of its drives are there, and every node is open to web servers. */
export async function whole(lab: TestLab, site: Site = "primary", seconds = 180): Promise<void> {
  const states = `mc --json admin info ${site} | jq -r '[.info.servers[] | .state, (.drives[]? | .state)] | unique | join(" ")'; for node in ${nodesOf(site).join(" ")}; do curl -s -o /dev/null -m 3 https://$node:${PORTS.s3}/ || echo "$node is closed"; done`;
  for (const end = Date.now() + seconds * 1000; ; await sleep(1000)) {
    const found = await lab.on("ops-1", `timeout 10 bash -c ${quoted(states)} || true`);
    if (found === "ok online") return;
    if (Date.now() > end) throw new Error(`the ${site} site is not complete after ${seconds} s: ${found}`);
  }
}

/** Waits until both sites hold the same objects, versions and delete markers included. */
export async function equal(lab: TestLab): Promise<void> {
  await expect
    .poll(() => lab.on("ops-1", "reconcile-storage compare || true"), { timeout: 540_000, interval: 5000 })
    .toBe("Both sites hold the same objects.");
}

/** Removes the objects of earlier loads, with all versions, from both sites. */
export async function clear(lab: TestLab): Promise<void> {
  for (const site of ["primary", "replica"])
    await lab.on(
      "ops-1",
      `mc rm --quiet --recursive --versions --force ${site}/space-${SPACE} >/tmp/clear.log 2>&1 || ! mc ls --recursive --versions ${site}/space-${SPACE} | grep -q .`,
    );
}

const quoted = (text: string) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Cuts the line between the two sites, or repairs it. Everybody else reaches both. */
export async function line(lab: TestLab, state: "cut" | "whole"): Promise<void> {
  const between = [addressesOf("primary"), addressesOf("replica")].map((list) => `{ ${list.join(", ")} }`);
  const [a = "", b = ""] = between;
  const rules =
    state === "whole"
      ? "table inet cut\ndelete table inet cut\n"
      : `table inet cut { chain forward { type filter hook forward priority -10; ip saddr ${a} ip daddr ${b} drop; ip saddr ${b} ip daddr ${a} drop; }\n}\n`;
  await lab.inNetworkOf(ROUTER, "nft", rules);
}

/** Prints what a run found, on one line of the log. */
export function tell(what: string, figures: Record<string, number | string>): void {
  console.log(
    `${what}: ${Object.entries(figures)
      .map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toFixed(2)) : value}`)
      .join(", ")}`,
  );
}
