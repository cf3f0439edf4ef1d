// A space's directory on ops-1. Each change is atomic, and marked before it is made, so that the next run copies it to
// the web servers if this one is killed.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { read } from "../../../infra/machine/programs/run-command.ts";
import { readIfThere } from "../../../infra/machine/programs/texts.ts";
import { socketOf, userOf } from "../../../infra/inventory/space-users.ts";

/** A link to the socket of the space's pool, which nginx follows (infra/web/rootfs/etc/nginx/space.conf). */
const POOL = "php.sock";
/** A mark for nginx that the link is there. */
const OWN_USER = "own-user";

/**
 * What is noted of a directory that web servers may lack a change of, if it gets another user: `giving` while half of it
 * may belong to either, `given` until each web server has all of it, and no temporary file of the user of before.
 */
export type Handover = "giving" | "given";

/** @param mark The file that says that web servers may lack a change. */
export function handoverIn(mark: string): Handover | undefined {
  const text = readIfThere(mark)?.trimEnd();
  return text === "giving" || text === "given" ? text : undefined;
}

/** Whether a space's directory belongs to a user of its own. */
export const hasUser = (directory: string): boolean => existsSync(`${directory}/${OWN_USER}`);

export class SpaceDirectory {
  readonly path: string;
  readonly #mark: string;
  readonly #note: (what: string) => void;

  /** @param mark The file that says that web servers may lack a change. */
  constructor(path: string, mark: string, note: (what: string) => void) {
    this.path = path;
    this.#mark = mark;
    this.#note = note;
  }

  has(name: string): boolean {
    return existsSync(`${this.path}/${name}`);
  }

  /** Gives a file this content, and a new line. */
  async put(name: string, mode: number, owner: string, content: string): Promise<void> {
    const path = `${this.path}/${name}`;
    if (isFile(path) && readFileSync(path, "utf8").replace(/\n+$/, "") === content) return;
    this.#touches();
    const fresh = `${this.path}/.new.${name.replaceAll("/", ".")}`;
    rmSync(fresh, { force: true });
    writeFileSync(fresh, `${content}\n`, { mode: 0o600 });
    await read("chown", [owner, fresh]);
    chmodSync(fresh, mode);
    renameSync(fresh, path);
    this.#note(name);
  }

  drop(name: string): void {
    if (!this.has(name)) return;
    this.#touches();
    rmSync(`${this.path}/${name}`);
    this.#note(`no ${name}`);
  }

  /** One symbolic link says which release answers, on every web server, from the next request on. */
  linkRelease(releases: string, release: string): void {
    if (this.#link("release", `${releases}/${release}`)) this.#note(`release ${release}`);
  }

  /**
   * Gives a directory to the user of this number. PHP reads its settings, and writes into `data` and `tmp` alone. nginx
   * and other spaces pass through the directory: they see files whose names they know, such as `suspended`, and read
   * none. The mark comes last: where it is, all of this was done.
   */
  async giveTo(number: number): Promise<void> {
    const isGiven = hasUser(this.path) && linkTarget(`${this.path}/${POOL}`) === socketOf(number);
    if (isGiven && handoverIn(this.#mark) !== "giving") return;
    this.#noteHandover("giving");
    const user = userOf(number);
    const [path, config, data, tmp] = [
      this.path,
      `${this.path}/config`,
      `${this.path}/data`,
      `${this.path}/tmp`,
    ];
    // Files of the user of before.
    for (const name of readdirSync(tmp)) rmSync(`${tmp}/${name}`, { recursive: true, force: true });
    await read("chown", ["--no-dereference", `root:${user}`, config, `${config}/space.json`]);
    const own = [data, `${data}/.ncdata`, tmp, `${config}/config.php`];
    await read("chown", ["--no-dereference", `${user}:${user}`, ...own]);
    await read("chown", ["--no-dereference", "root:root", path]);
    chmodSync(config, 0o750);
    chmodSync(path, 0o711);
    this.#link(POOL, socketOf(number));
    await this.put(OWN_USER, 0o640, "root:root", "");
    this.#noteHandover("given");
  }

  #noteHandover(handover: Handover): void {
    const fresh = `${dirname(this.#mark)}/.new.${basename(this.#mark)}`;
    mkdirSync(dirname(this.#mark), { recursive: true });
    writeFileSync(fresh, `${handover}\n`);
    renameSync(fresh, this.#mark);
  }

  /** Resolves to whether this changes the link. */
  #link(name: string, target: string): boolean {
    const link = `${this.path}/${name}`;
    if (linkTarget(link) === target) return false;
    this.#touches();
    const fresh = `${this.path}/.new.${name}`;
    // A killed run may have left it.
    rmSync(fresh, { force: true });
    symlinkSync(target, fresh);
    renameSync(fresh, link);
    return true;
  }

  /** If a space uses all of its plan's storage, nginx takes no more files, and serves those it has. */
  async markFull(full: boolean): Promise<void> {
    if (full) await this.put("full", 0o640, "root:root", "");
    else this.drop("full");
  }

  #touches(): void {
    if (existsSync(this.#mark)) return;
    mkdirSync(dirname(this.#mark), { recursive: true });
    writeFileSync(this.#mark, "");
  }
}

const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
