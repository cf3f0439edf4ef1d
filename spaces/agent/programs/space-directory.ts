// A space's directory on ops-1. Each change is atomic, and marked before it is made, so that the next run copies it to
// the web servers if this one is killed.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { read } from "../../../infra/machine/programs/run-command.ts";

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
    const target = `${releases}/${release}`;
    if (linkTarget(`${this.path}/release`) === target) return;
    this.#touches();
    const fresh = `${this.path}/.new.release`;
    // A killed run may have left it.
    rmSync(fresh, { force: true });
    symlinkSync(target, fresh);
    renameSync(fresh, `${this.path}/release`);
    this.#note(`release ${release}`);
  }

  /** If a space uses all of its plan's storage, nginx takes no more files, and serves those it has. */
  async markFull(full: boolean): Promise<void> {
    if (full) await this.put("full", 0o640, "root:www-data", "");
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
