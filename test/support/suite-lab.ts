// The lab of a suite. The suite drives it with the commands that a person uses. The lab is built from a copy of this
// tree, so that tenants files and configuration can be edited.
import { execa, type Options } from "execa";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "../../lab/hcloud/client.ts";
import { inside, openLab } from "../../lab/lab.ts";
import { copyTree } from "./tree.ts";
import { Visitor } from "./visitor.ts";

export const DOMAIN = "framaspace.localhost";
export const TENANTS = "spaces/tenants/lab/001.yaml";

/** In one word, so that it needs no quotes on its way. */
const FUNCTIONS = ["space-functions.sh", "archive-functions.sh"]
  .map((name) => readFileSync(join(import.meta.dirname, name)).toString("base64"))
  .map((text) => `. <(base64 -d <<<${text})`)
  .join("; ");

export interface Page {
  status: number;
  retryAfter: string | undefined;
  body: string;
}

/** Arguments of `up` that say where the MinIO server and its client are. Empty if they are not available. */
export function storageWords(): UpWords {
  const { FRAMASPACE_MINIO: minio, FRAMASPACE_MC: mc } = process.env;
  return minio === undefined || mc === undefined ? [] : ["--minio", minio, "--mc", mc];
}

/** The variables that a real Nextcloud needs and that are not set. */
export const nextcloudMissing = ["FRAMASPACE_NEXTCLOUD", "FRAMASPACE_MINIO", "FRAMASPACE_MC"].filter(
  (name) => process.env[name] === undefined,
);

/** Arguments of `up` that bring MinIO and Nextcloud's releases. */
export function nextcloudWords(): UpWords {
  const archives = process.env.FRAMASPACE_NEXTCLOUD?.split(":") ?? [];
  return [...storageWords(), ...archives.flatMap((path) => ["--nextcloud", path])];
}

/** Options of `npm run lab -- up`. Unless they name the engine, FRAMASPACE_ENGINE does, or else it is the applier. */
export type UpWords = readonly string[];

/**
 * The lab of one suite, with a name and port of its own. It is brought up from nothing, which takes minutes. Most
 * suites use `sharedLab`.
 */
export class TestLab {
  readonly name: string;
  readonly port: number;
  readonly #words: UpWords;
  #tree = "";

  /** @param fetches Whether parts that the words do not name are fetched. */
  constructor(name: string, port: number, words: UpWords = [], { fetches = false } = {}) {
    this.name = name;
    this.port = port;
    const engine = process.env.FRAMASPACE_ENGINE ?? "applier";
    this.#words = [
      ...(fetches ? [] : ["--stand-ins"]),
      ...(words.includes("--engine") ? [] : ["--engine", engine]),
      ...words,
    ];
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

  /** Runs `npm run lab -- …`. If it fails, rejects with its output. */
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

  /** Starts `up` or `down`. After some seconds, kills it and its process group, unless it has ended. */
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

  /** Runs a program of this machine in the network of one of the lab's machines, or of its router. */
  async inNetworkOf(part: string, ...command: string[]): Promise<void> {
    const [program = "", ...words] = [...inside(openLab(this.name), part), ...command];
    await execa(program, words);
  }

  /**
   * Runs bash on ops-1 for one space, with space-functions.sh and archive-functions.sh.
   * @param script Without single quotes.
   */
  inside(id: string, script: string): Promise<string> {
    return this.on("ops-1", `bash -c '${FUNCTIONS}; read_space <$SPACES/${id}/config/space.json; ${script}'`);
  }

  /** The PostgreSQL node that takes writes, according to ops-1. */
  primary(): Promise<string> {
    return this.on("ops-1", "jq -r .primary /var/lib/framaspace/postgres.json");
  }

  /** Sends a request to the lab's cloud, as a person does in the cloud's console. Rejects if the cloud refuses it. */
  cloud(method: string, path: string): Promise<unknown> {
    return ask(openLab(this.name), method, path);
  }

  /** Runs `npm run space -- …` for the lab's spaces. */
  async space(...words: string[]): Promise<string> {
    return (await this.#run(["bin/space.ts", ...words, "--env", "lab"])).stdout;
  }

  /** Runs `npm run release -- …` in the copy of the tree. */
  async release(...words: string[]): Promise<string> {
    return (await this.#run(["bin/release.ts", ...words])).stdout;
  }

  async #run(command: readonly string[]): Promise<{ stdout: string }> {
    const options = { cwd: this.#tree, stdin: "ignore" } as const satisfies Options;
    return execa(process.execPath, command, options);
  }

  /** Changes a file of the tree. Throws if nothing matches. */
  async edit(file: string, from: string | RegExp, to: string): Promise<void> {
    const before = await readFile(join(this.#tree, file), "utf8");
    const after = before.replace(from, to);
    if (after === before) throw new Error(`${file} has nothing that matches ${from}`);
    await writeFile(join(this.#tree, file), after);
  }

  /** Lets locks of dead processes expire within the time of a test. Takes effect with the next `up`. */
  shortenLocks(): Promise<void> {
    const file = "spaces/agent/rootfs/usr/local/share/framaspace/config.php";
    return this.edit(file, "'filelocking.ttl' => 300", "'filelocking.ttl' => 30");
  }

  /**
   * Writes which generation of each secret is in use. The next `up` rotates the secrets whose generation has changed.
   */
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
   * Lines of a space on logs-1 that contain a text. Reads the rotated files of the day, too: the first rotation of a
   * day may happen in the middle of a test.
   */
  async logged(id: string, text: string): Promise<string[]> {
    const files = `/var/log/kept/*/spaces/${id}.log /var/log/spaces/${id}.log`;
    const said = await this.on("logs-1", `cat ${files} 2>/dev/null | grep -aF -e '${text}' || true`);
    return said.split("\n").filter((line) => line !== "");
  }

  /** The web server that the gateways chose for a space, according to the logged request. */
  async webServerOf(id: string): Promise<string> {
    const mark = `asked-by-${randomBytes(6).toString("hex")}`;
    await new Visitor(this.port, `${id}.${DOMAIN}`).ask("GET", "/status.php", {
      headers: { "user-agent": mark },
    });
    for (const end = Date.now() + 30_000; Date.now() < end; await sleep(500)) {
      const host = /10\.0\.20\.(\d+)/.exec((await this.logged(id, mark)).at(-1) ?? "")?.[1];
      if (host !== undefined) return `web-${host}`;
    }
    throw new Error(`no request for ${id} was logged within 30 s`);
  }

  /** The status that a web server gives for a space, asked without load balancer and gateways. */
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
  /** Brings the lab to what the repository declares, whatever an earlier suite of this run left. */
  override async prepare(): Promise<void> {
    await this.copyTree();
    // A run that was killed leaves the lab with spaces half-way through a suite. A given lab stays as it is.
    if (!givenLab && !existsSync(useOfSharedLab())) await this.lab("down");
    await writeFile(useOfSharedLab(), "");
    await this.up();
  }

  override async remove(): Promise<void> {
    await this.removeTree();
  }
}

/** The file that notes that a suite of this run has used the shared lab. */
export const useOfSharedLab = (): string => join(process.env["FRAMASPACE_RUN"] ?? "", "used");

/**
 * FRAMASPACE_LAB gives the name and port of a lab (`database:8843`) that is used instead, and stays up: for writing
 * tests.
 */
export const givenLab = process.env.FRAMASPACE_LAB?.split(":");
const [givenName, givenPort = ""] = givenLab ?? [];
export const sharedLab: TestLab = new SharedLab(
  givenName ?? "suite",
  Number(givenPort || 18445),
  storageWords(),
);

/** The lab of one suite, or the given one instead. */
export function ownLab(name: string, port: number, words: UpWords): TestLab {
  return givenName === undefined
    ? new TestLab(name, port, words)
    : new SharedLab(givenName, Number(givenPort), words);
}
