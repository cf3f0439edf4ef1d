// A lab of a suite's own, driven by the commands as a person would. It is built from a copy of this tree, so that tenants
// and configuration can be edited.
import { execa, type Options } from "execa";
import { randomBytes } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "../../lab/hcloud/client.ts";
import { inside, openLab } from "../../lab/lab.ts";
import { copyTree } from "./tree.ts";
import { Visitor } from "./visitor.ts";

export const DOMAIN = "framaspace.localhost";
export const TENANTS = "spaces/tenants/lab/001.yaml";

export interface Page {
  status: number;
  retryAfter: string | undefined;
  body: string;
}

/** Where the MinIO server and its client are, as words for `up`; empty where they are not to be had. */
export function storageWords(): UpWords {
  const { FRAMASPACE_MINIO: minio, FRAMASPACE_MC: mc } = process.env;
  return minio === undefined || mc === undefined ? [] : ["--minio", minio, "--mc", mc];
}

/** What has to be set for a real Nextcloud, and is not. */
export const nextcloudMissing = ["FRAMASPACE_NEXTCLOUD", "FRAMASPACE_MINIO", "FRAMASPACE_MC"].filter(
  (name) => process.env[name] === undefined,
);

/** Words for `up` that bring MinIO and Nextcloud's releases. */
export function nextcloudWords(): UpWords {
  const archives = process.env.FRAMASPACE_NEXTCLOUD?.split(":") ?? [];
  return [...storageWords(), ...archives.flatMap((path) => ["--nextcloud", path])];
}

/** Options of `npm run lab -- up`; `--engine applier` unless they name another. */
export type UpWords = readonly string[];

/**
 * One suite's lab, under a name and port of its own: brought up from nothing, which takes minutes. Most suites do with
 * `sharedLab`.
 */
export class TestLab {
  readonly name: string;
  readonly port: number;
  readonly #words: UpWords;
  #tree = "";

  constructor(name: string, port: number, words: UpWords = []) {
    this.name = name;
    this.port = port;
    this.#words = words.includes("--engine") ? words : ["--engine", "applier", ...words];
  }

  /** The copy of the tree that the lab is built from. */
  get tree(): string {
    return this.#tree;
  }

  /** Copies the tree, and removes what an earlier run of the suite may have left. */
  async prepare(): Promise<void> {
    await this.copyTree();
    await this.lab("down");
  }

  protected async copyTree(): Promise<void> {
    this.#tree = await copyTree(this.name);
  }

  protected async removeTree(): Promise<void> {
    await rm(this.#tree, { recursive: true, force: true });
  }

  async remove(): Promise<void> {
    await this.lab("down");
    await this.removeTree();
  }

  /** `npm run lab -- …`. Rejects where it fails, with what it said. */
  async lab(...words: string[]): Promise<string> {
    const command = ["bin/lab.ts", "--name", this.name, ...words];
    return (await this.#run(command)).stdout;
  }

  up(...more: string[]): Promise<string> {
    return this.lab(...this.#upWords(), ...more);
  }

  #upWords(): string[] {
    return ["up", "--port", String(this.port), ...this.#words];
  }

  /** Begins `up` or `down`, and kills it, with the processes of its group, after some seconds unless it has ended. */
  async kill(verb: "up" | "down", seconds: number): Promise<void> {
    const command = ["bin/lab.ts", "--name", this.name, ...(verb === "up" ? this.#upWords() : [verb])];
    const options = { cwd: this.#tree, stdio: "ignore", detached: true, reject: false } as const;
    const running = execa(process.execPath, command, options);
    const timer = setTimeout(() => running.pid && process.kill(-running.pid, "SIGKILL"), seconds * 1000);
    await running;
    clearTimeout(timer);
  }

  /** Runs a command line on a machine, over SSH as the engine does. */
  on(machine: string, command: string): Promise<string> {
    return this.lab("ssh", machine, command);
  }

  /** Runs a program of this machine in the network of one of the lab's, or of its router. */
  async inNetworkOf(part: string, ...command: string[]): Promise<void> {
    const [program = "", ...words] = [...inside(openLab(this.name), part), ...command];
    await execa(program, words);
  }

  /** Runs bash on ops-1 with what its programs share, for one space. */
  inside(id: string, script: string): Promise<string> {
    return this.on(
      "ops-1",
      `bash -c '. /usr/local/lib/framaspace/archive-lib.sh; read_space <$SPACES/${id}/config/space.json; ${script}'`,
    );
  }

  /** The PostgreSQL node that takes the writes, as ops-1 remembers it. */
  primary(): Promise<string> {
    return this.on("ops-1", "jq -r .primary /var/lib/framaspace/postgres.json");
  }

  /** A request to the lab's cloud, as somebody would make in the cloud's console. Rejects where it is refused. */
  cloud(method: string, path: string): Promise<unknown> {
    return ask(openLab(this.name), method, path);
  }

  /** `npm run space -- …` for the lab's spaces. */
  async space(...words: string[]): Promise<string> {
    return (await this.#run(["bin/space.ts", ...words, "--env", "lab"])).stdout;
  }

  async #run(command: readonly string[]): Promise<{ stdout: string }> {
    const options = { cwd: this.#tree, stdin: "ignore" } as const satisfies Options;
    return execa(process.execPath, command, options);
  }

  /** Changes a file of the tree, and fails where there is nothing to change. */
  async edit(file: string, from: string | RegExp, to: string): Promise<void> {
    const before = await readFile(join(this.#tree, file), "utf8");
    const after = before.replace(from, to);
    if (after === before) throw new Error(`${file} has nothing that matches ${from}`);
    await writeFile(join(this.#tree, file), after);
  }

  /** Writes which generation of each secret is in use; the next `up` rotates those that are others now. */
  setGenerations(numbers: Record<string, number>): Promise<void> {
    const line = `framaspace:generations: ${JSON.stringify(numbers)}`;
    return this.edit("Pulumi.lab.yaml", /framaspace:generations: .*/, line);
  }

  /** The page of a host, through the load balancer. */
  async probe(host: string, { method = "GET", path = "/" } = {}): Promise<Page> {
    const { status, headers, text } = await new Visitor(this.port, host).ask(method, path);
    return { status, retryAfter: headers["retry-after"], body: text };
  }

  /**
   * Lines of a space on logs-1 that hold a text, the day's that were set aside among them: the first run of a day may come
   * in the middle of a test.
   */
  async logged(id: string, text: string): Promise<string[]> {
    const files = `/var/log/kept/*/spaces/${id}.log /var/log/spaces/${id}.log`;
    const said = await this.on("logs-1", `cat ${files} 2>/dev/null | grep -aF -e '${text}' || true`);
    return said.split("\n").filter((line) => line !== "");
  }

  /** The web server that the gateways have chosen for a space, as their log says of a request. */
  async webServerOf(id: string): Promise<string> {
    const mark = `asked-by=${randomBytes(6).toString("hex")}`;
    await this.probe(`${id}.${DOMAIN}`, { path: `/status.php?${mark}` });
    for (const end = Date.now() + 30_000; Date.now() < end; await sleep(500)) {
      const host = /10\.0\.20\.(\d+)/.exec((await this.logged(id, mark)).at(-1) ?? "")?.[1];
      if (host !== undefined) return `web-${host}`;
    }
    throw new Error(`no request for ${id} was logged within 30 s`);
  }

  /** The status that a web server gives for a space, asked past load balancer and gateways. */
  statusFrom(web: string, id: string, path = "/"): Promise<string> {
    return this.on(
      "ops-1",
      `curl -s -o /dev/null -w '%{http_code}' -H 'Host: ${id}.${DOMAIN}' http://${web}${path}`,
    );
  }
}

/**
 * The lab that suites share: the first brings it up, the others find it, and lab-teardown.ts takes it down after the last. A
 * suite leaves the machines in service; spaces that it added may stay, so it gives them ids that no other suite uses.
 */
export class SharedLab extends TestLab {
  /** Brings the lab to what the repository declares, whatever an earlier suite left. */
  override async prepare(): Promise<void> {
    await this.copyTree();
    await this.up();
  }

  override async remove(): Promise<void> {
    await this.removeTree();
  }
}

/** A lab of that name and port (`database:8843`) is used, and stays, where FRAMASPACE_LAB says so: for writing tests. */
export const givenLab = process.env.FRAMASPACE_LAB?.split(":");
const [givenName, givenPort = ""] = givenLab ?? [];
export const sharedLab: TestLab = new SharedLab(
  givenName ?? "suite",
  Number(givenPort || 18445),
  storageWords(),
);

/** A suite's own lab, or the given one in its place. */
export function ownLab(name: string, port: number, words: UpWords): TestLab {
  return givenName === undefined
    ? new TestLab(name, port, words)
    : new SharedLab(givenName, Number(givenPort), words);
}
