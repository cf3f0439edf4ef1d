// One archive from a tree: the same tree gives the same bytes.
import { execa } from "execa";
import { createHash } from "node:crypto";
import { createWriteStream, statSync } from "node:fs";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { run } from "./programs.ts";
import { sha256Of } from "./checksum.ts";

/** A moment in 2001. OPcache keeps no file whose time is 0; install-releases sets another one of that kind. */
const FILE_TIME = "@1000000000";

const SAME = [
  "--sort=name",
  "--format=gnu",
  `--mtime=${FILE_TIME}`,
  "--owner=0",
  "--group=0",
  "--numeric-owner",
  "--mode=u=rwX,go=rX",
];

/** An archive and what identifies it. */
export interface Packed {
  bytes: number;
  sha256: string;
  tarSha256: string;
  /** The programs, with their versions. */
  packedBy: string;
}

/** Packs the folder `name` of `parent` into the file `archive`, as tar and zstd. */
export async function packArchive(parent: string, name: string, archive: string): Promise<Packed> {
  const hash = createHash("sha256");
  const options = { buffer: false, env: { LC_ALL: "C" } } as const;
  const tar = execa("tar", ["--create", ...SAME, "-C", parent, name], { ...options, stdin: "ignore" });
  // One thread: with several, the cuts between them are in the result.
  const zstd = execa("zstd", ["-q", "-10", "--single-thread", "-c"], options);
  const counting = new PassThrough();
  counting.on("data", (chunk: Buffer) => hash.update(chunk));
  await Promise.all([
    pipeline(tar.stdout, counting, zstd.stdin),
    pipeline(zstd.stdout, createWriteStream(archive)),
    tar,
    zstd,
  ]);
  const versions = await Promise.all(["tar", "zstd"].map((program) => run(program, ["--version"])));
  return {
    bytes: statSync(archive).size,
    sha256: await sha256Of(archive),
    tarSha256: hash.digest("hex"),
    packedBy: versions
      .map(({ stdout }, index) => `${["tar", "zstd"][index]} ${/\bv?(\d+\.\d+(?:\.\d+)?)/.exec(stdout)?.[1]}`)
      .join(", "),
  };
}
