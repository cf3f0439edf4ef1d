// Where exports are: a bucket if the environment has object storage, else a folder of this machine. An export is a
// folder <id>/<time>. Its manifest.json is written last: a folder without one is no export.
import { createReadStream, existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { writeWhole } from "../../../infra/machine/programs/whole-file.ts";
import { sha256 } from "./files.ts";
import { hasStorage, listStorage, ofStorage, storage, storageFailure } from "./object-storage.ts";
import { asRoot } from "./old-versions.ts";
import { endOf, outputOf, startReading, succeeds } from "../../../infra/machine/programs/run-command.ts";
import { CommandError } from "../../../infra/machine/programs/program-error.ts";
import type { NamedWork } from "./space-work.ts";

/** A file of the archive: its name behind the folder that was asked for. */
export interface ArchivedFile {
  name: string;
  size: number;
}

export interface Archive {
  /** For people. */
  readonly where: string;
  put(file: string, name: string): Promise<void>;
  putStream(content: Readable, name: string): Promise<void>;
  /** Passes a file on. Throws CommandError or an error of the file system if it cannot be read to its end. */
  read<Result>(name: string, take: (content: Readable) => Promise<Result>): Promise<Result>;
  /** What is in a folder, `lotus/20261101T000000Z`; nothing if it is not there. */
  list(folder: string): Promise<ArchivedFile[]>;
  remove(folder: string): Promise<void>;
}

export const archiveOf = (work: NamedWork): Archive =>
  hasStorage(work) ? new ArchiveBucket(work) : new ArchiveFolder(work.places.archive);

/** The times of the space's complete exports, oldest first. */
export async function finishedExports(archive: Archive, id: string): Promise<string[]> {
  const files = await archive.list(id);
  return files.flatMap(({ name }) => /^(.*)\/manifest\.json$/.exec(name)?.[1] ?? []).sort();
}

/** The text of a small file of the archive. */
export async function readText(archive: Archive, name: string): Promise<string> {
  return archive.read(name, async (content) => {
    const parts: Buffer[] = [];
    for await (const part of content) parts.push(part as Buffer);
    return Buffer.concat(parts).toString("utf8");
  });
}

/** Fetches a file of the archive, whole or not at all. */
export const fetchFile = (archive: Archive, name: string, file: string) =>
  archive.read(name, (content) => writeWhole(file, content));

/** Reads a file of the archive again, and gives its checksum. */
export const checksumOf = (archive: Archive, name: string) => archive.read(name, sha256);

const BUCKET = "serving/archive";

class ArchiveBucket implements Archive {
  readonly where = "object storage, bucket archive";
  readonly #work: NamedWork;

  constructor(work: NamedWork) {
    this.#work = work;
  }

  async put(file: string, name: string): Promise<void> {
    await storage(this.#work, "cp", "--quiet", file, `${BUCKET}/${name}`);
  }

  async putStream(content: Readable, name: string): Promise<void> {
    const words = ["pipe", "--json", `${BUCKET}/${name}`];
    const pipe = startReading("mc", words, { ...ofStorage(this.#work), input: "" });
    let said = "";
    pipe.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
    const [status, passed] = await Promise.all([endOf(pipe), passOn(content, pipe.stdin)]);
    if (status !== 0) throw storageFailure(this.#work, said.trimEnd().split("\n"));
    if (passed !== undefined) throw passed;
  }

  async read<Result>(name: string, take: (content: Readable) => Promise<Result>): Promise<Result> {
    const options = { ...asRoot(this.#work), errors: "inherit" as const };
    return take(outputOf("mc", ["cat", "--quiet", `${BUCKET}/${name}`], options));
  }

  async list(folder: string): Promise<ArchivedFile[]> {
    const files: ArchivedFile[] = [];
    await listStorage(this.#work, [`${BUCKET}/${folder}/`], ({ key, size }) => {
      files.push({ name: key, size });
    });
    return files;
  }

  async remove(folder: string): Promise<void> {
    const words = ["rm", "--quiet", "--recursive", "--force", "--versions", `${BUCKET}/${folder}/`];
    if (!(await succeeds("mc", words, { ...asRoot(this.#work), errors: "inherit" })))
      throw new CommandError("mc", 1);
  }
}

class ArchiveFolder implements Archive {
  readonly where: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.where = `ops-1:${folder}, because this environment has no object storage`;
  }

  async put(file: string, name: string): Promise<void> {
    await this.putStream(createReadStream(file), name);
  }

  async putStream(content: Readable, name: string): Promise<void> {
    await writeWhole(join(this.#folder, name), content);
  }

  async read<Result>(name: string, take: (content: Readable) => Promise<Result>): Promise<Result> {
    return take(createReadStream(join(this.#folder, name)));
  }

  async list(folder: string): Promise<ArchivedFile[]> {
    const path = join(this.#folder, folder);
    if (!existsSync(path)) return [];
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/^\.new\.|\.new$/.test(entry.name))
      .map(({ parentPath, name }) => join(parentPath, name))
      .map((file) => ({ name: relative(path, file), size: statSync(file).size }));
  }

  async remove(folder: string): Promise<void> {
    rmSync(join(this.#folder, folder), { recursive: true, force: true });
  }
}

/** Passes everything on. Resolves to what went wrong. */
async function passOn(from: Readable, to: NodeJS.WritableStream | null): Promise<Error | undefined> {
  try {
    if (to) await pipeline(from, to);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
