// Clients that people use, from Debian's archive, run on this machine for one space of a lab. They get passwords by
// files, in a home that only root reads.
import { execa, type Options } from "execa";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { onPath } from "./fakes.ts";
import { FILES } from "./visitor.ts";

/** A program on PATH, or a file with its whole path. */
const isHere = (what: string) => (isAbsolute(what) ? existsSync(what) : onPath(what));
export const installed = (...needed: string[]): boolean => needed.every(isHere);
/** The end of the title of a test that needs clients. */
export const unless = (...needed: string[]): string =>
  installed(...needed) ? "" : ` (skipped: no ${needed.filter((what) => !isHere(what)).join(", no ")} here)`;

/** Seconds that a client may take. */
const PATIENCE_SECONDS = 500;
/** For how long a person's client tries again, and the pause before each try. */
const INSIST_SECONDS = 900;
const RETRY_SECONDS = 10;

/** The last lines of what a client has said. */
const endOf = (said: string) => said.split("\n").slice(-15).join("\n");

export interface Space {
  host: string;
  port: number;
  /** The account `admin`'s. */
  password: string;
  /** File with the certificate of the authority that the space's one is from. */
  authority: string;
}

interface RunOptions {
  input?: Buffer;
  env?: Record<string, string>;
  seconds?: number | undefined;
  /** Called with each line that the client says, as soon as it says it. */
  hear?: ((line: string) => void) | undefined;
}

interface SyncOptions {
  /** The folder of the space. Without it: all of the space. */
  remote?: string;
  seconds?: number;
  /** Called each time the server has confirmed a file, or a chunk of one. */
  confirmed?: () => void;
}

export class RealClients {
  readonly #home: string;
  readonly #space: Space;

  private constructor(home: string, space: Space) {
    this.#home = home;
    this.#space = space;
  }

  /** Makes the clients' home, with an /etc/hosts in which the space is this machine's loopback. */
  static async at(space: Space): Promise<RealClients> {
    const home = await mkdtemp(join(tmpdir(), "framaspace-clients-"));
    await writeFile(join(home, "hosts"), `127.0.0.1 localhost ${space.host}\n`);
    const clients = new RealClients(home, space);
    await clients.#keep(".netrc", `machine ${space.host} login admin password ${space.password}\n`);
    await clients.#keep("password", space.password);
    return clients;
  }

  /** Removes the home. */
  remove(): Promise<void> {
    return rm(this.#home, { recursive: true, force: true });
  }

  /** The address of the space. */
  get url(): string {
    return `https://${this.#space.host}:${this.#space.port}`;
  }

  async #keep(name: string, text: string): Promise<string> {
    const path = join(this.#home, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  }

  /** A folder of the home, which is made if it is not there. */
  async folder(name: string): Promise<string> {
    const path = join(this.#home, name);
    await mkdir(path, { recursive: true });
    return path;
  }

  /** Runs a client for which the host of the space is this machine's loopback. */
  async run(
    words: readonly string[],
    { input, env, seconds = PATIENCE_SECONDS, hear }: RunOptions = {},
  ): Promise<{ exitCode: number | undefined; all: string }> {
    const inside = 'mount --bind "$0" /etc/hosts && exec "$@"';
    const command = ["--mount", "sh", "-c", inside, join(this.#home, "hosts"), ...words];
    const options = {
      // litmus writes its logs into the current folder.
      cwd: this.#home,
      env: { HOME: this.#home, XDG_CONFIG_HOME: this.#home, QT_QPA_PLATFORM: "offscreen", ...env },
      ...(input ? { input } : { stdin: "ignore" as const }),
      all: true,
      reject: false,
      timeout: seconds * 1000,
    } satisfies Options;
    const running = execa("unshare", command, options);
    if (hear) createInterface({ input: running.all }).on("line", hear);
    const { exitCode, all, timedOut } = await running;
    return { exitCode, all: timedOut ? `${all}\nnot at its end after ${seconds} s` : all };
  }

  async #runWell(words: readonly string[], options?: RunOptions): Promise<string> {
    const { exitCode, all } = await this.run(words, options);
    if (exitCode !== 0) throw new Error(`${words[0]} ended with ${exitCode}:\n${endOf(all)}`);
    return all;
  }

  /** One run of the desktop client. Returns what it said at its end, if it has left something undone. */
  async #nextcloudcmd(
    local: string,
    { remote, seconds, confirmed }: SyncOptions,
  ): Promise<string | undefined> {
    const flags = ["--non-interactive", "--trust", "-h", "-n"];
    const path = remote === undefined ? [] : ["--path", `/${remote}`];
    const hear = (line: string) => /PUT of .* FINISHED WITH STATUS "OK"/.test(line) && confirmed?.();
    const words = ["nextcloudcmd", ...flags, ...path, local, this.url];
    const { exitCode, all } = await this.run(words, { seconds, hear });
    // It does not count a file as failed that is locked, as after the end of a web server that was just writing it.
    return exitCode === 0 && !all.includes("Another sync is needed, but not done")
      ? undefined
      : `nextcloudcmd ended with ${exitCode}:\n${endOf(all)}`;
  }

  /** Synchronizes a folder with the space, or with a folder of it, by the desktop client. */
  async sync(local: string, options: SyncOptions = {}): Promise<void> {
    const undone = await this.#nextcloudcmd(local, options);
    if (undone !== undefined) throw new Error(undone);
  }

  /**
   * Synchronizes as a person's desktop client does: again, until all is done. Returns the number of runs. Rejects after
   * a quarter of an hour.
   */
  async insist(local: string, options: SyncOptions): Promise<number> {
    const end = Date.now() + INSIST_SECONDS * 1000;
    for (let runs = 1; ; runs++) {
      const undone = await this.#nextcloudcmd(local, options);
      if (undone === undefined) return runs;
      if (Date.now() > end)
        throw new Error(
          `not synchronized within ${INSIST_SECONDS} s, by ${runs} runs; in the last, ${undone}`,
        );
      await sleep(RETRY_SECONDS * 1000);
    }
  }

  /**
   * Runs a shell script in a folder in which davfs2 has mounted the space's files. They are unmounted at its end. If
   * the script is killed, the mount and its daemon end with it, because they are in namespaces of its own.
   */
  async mounted(script: string, env: Record<string, string> = {}): Promise<void> {
    const mountPoint = await this.folder("davfs");
    const etc = await this.folder("etc-davfs2");
    // mount.davfs reads no other files if root starts it. It reads the certificate as the user davfs2. With its own
    // buf_size, 16, it lists no folder on Linux 6.16 and later (alisarctl/davfs2#22).
    const settings = "ask_auth 0\nbuf_size 64\ntrust_ca_cert /etc/davfs2/authority.crt\n";
    await this.#keep("etc-davfs2/davfs2.conf", settings);
    await copyFile(this.#space.authority, join(etc, "authority.crt"));
    await this.#keep("etc-davfs2/secrets", `${mountPoint} admin ${this.#space.password}\n`);
    const cache = await this.folder("davfs-cache");
    const whole = `
      set -eu
      mount --bind ${etc} /etc/davfs2
      chown davfs2:davfs2 ${cache}
      mount --bind ${cache} /var/cache/davfs2
      mount -t tmpfs none /run
      mount -t davfs ${this.url}${FILES} ${mountPoint}
      trap 'cd / && umount ${mountPoint}' EXIT
      cd ${mountPoint}
      ${script}`;
    const alone = ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child"];
    await this.#runWell([...alone, "bash", "-c", whole], { env });
  }

  /**
   * A phone, with calendars and address books as folders of files, which vdirsyncer synchronizes with those of the space.
   */
  async phone(name: string): Promise<Phone> {
    const folder = await this.folder(name);
    const calendars = await this.folder(join(name, "calendars"));
    const contacts = await this.folder(join(name, "contacts"));
    const pair = (kind: string, type: string, path: string, extension: string) => `
[pair ${kind}]
a = "${kind}_here"
b = "${kind}_there"
collections = ["from a", "from b"]

[storage ${kind}_here]
type = "filesystem"
path = "${path}"
fileext = "${extension}"

[storage ${kind}_there]
type = "${type}"
url = "${this.url}/"
username = "admin"
password.fetch = ["command", "cat", "${join(this.#home, "password")}"]
verify = "${this.#space.authority}"
`;
    const text = `[general]\nstatus_path = "${join(folder, "status")}"\n${pair("calendars", "caldav", calendars, ".ics")}${pair("contacts", "carddav", contacts, ".vcf")}`;
    const config = await this.#keep(join(name, "config"), text);
    const vdirsyncer = (verb: string, input?: Buffer) =>
      this.#runWell(["vdirsyncer", "-c", config, verb], input && { input });
    return {
      calendars,
      contacts,
      // It asks whether it shall make what only one side has.
      discover: () => vdirsyncer("discover", Buffer.from("y\n".repeat(50))),
      sync: () => vdirsyncer("sync"),
    };
  }
}

export interface Phone {
  /** Folders with a folder for each calendar or address book. */
  calendars: string;
  contacts: string;
  /** Finds what there is on both sides, and makes it where it is missing. */
  discover: () => Promise<string>;
  sync: () => Promise<string>;
}
