// The buckets, by mc with the root user's alias: what is in one, and how it is emptied.
import { asRoot } from "./old-versions.ts";
import { readPlatform } from "./read-space.ts";
import { run, runLines } from "../../../infra/machine/programs/run-command.ts";
import type { SpaceError } from "./space-error.ts";
import { failure, type NamedWork, type SpaceWork } from "./space-work.ts";

/** What mc lists of a file. */
export interface StoredObject {
  key: string;
  size: number;
  etag: string;
}

/** Whether this environment has object storage. */
export const hasStorage = ({ places }: NamedWork): boolean => readPlatform(places).s3 !== undefined;

/** The space's bucket; undefined if there is none. */
export const bucketOf = (work: SpaceWork): string | undefined =>
  hasStorage(work) ? work.space.document.s3?.bucket : undefined;

/** How programs run mc to read what it says. */
export const ofStorage = (work: NamedWork) => ({ ...asRoot(work), errors: "with-output" as const });

/** The error with mc's own words. It says what to do. */
export function storageFailure(work: NamedWork, lines: readonly string[]): SpaceError {
  const causes = lines.map(causeIn).filter((cause) => cause !== undefined);
  return failure(
    work,
    `object storage: ${causes[0] ?? lines.at(-1) ?? ""}; is it up (mc ready serving, mc admin info serving)? Nothing is lost; run it again once it is`,
  );
}

/** The message in a line of `mc --json`. */
function causeIn(line: string): string | undefined {
  try {
    const { error } = JSON.parse(line) as { error?: { message?: string; cause?: { message?: string } } };
    return error?.cause?.message ?? error?.message;
  } catch {
    return undefined;
  }
}

/** Runs mc. Throws SpaceError if it fails. */
export async function storage(work: NamedWork, ...words: string[]): Promise<void> {
  const { status, output } = await run("mc", ["--json", ...words], ofStorage(work));
  if (status !== 0) throw storageFailure(work, output.trimEnd().split("\n"));
}

/** Passes on each file that `mc ls` lists, with further words such as --versions. Throws SpaceError if mc fails. */
export async function listStorage(
  work: NamedWork,
  words: readonly string[],
  take: (file: StoredObject) => void,
): Promise<void> {
  // What mc said that is no file: few lines.
  const said: string[] = [];
  const status = await runLines("mc", ["ls", "--json", "--recursive", ...words], ofStorage(work), (line) => {
    const file = fileIn(line);
    if (file === undefined) said.push(line);
    else take(file);
  });
  if (status !== 0) throw storageFailure(work, said);
}

function fileIn(line: string): StoredObject | undefined {
  try {
    const { type, key, size, etag = "" } = JSON.parse(line) as Partial<StoredObject & { type: string }>;
    return type === "file" && key !== undefined && size !== undefined ? { key, size, etag } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Key → what is there, of the space's bucket, in the order of the keys. Keys that are not Nextcloud's are left out:
 * nobody uses them.
 */
export async function objectsOf(work: SpaceWork): Promise<Map<string, StoredObject>> {
  const bucket = bucketOf(work);
  const found: StoredObject[] = [];
  if (bucket !== undefined)
    await listStorage(work, [`serving/${bucket}`], (file) => {
      if (/^urn:oid:[0-9]+$/.test(file.key)) found.push(file);
    });
  found.sort((one, other) => (one.key < other.key ? -1 : 1));
  return new Map(found.map((file) => [file.key, file]));
}

/** Deletes every file in the bucket. Old versions stay, so that the space can go back to an earlier moment. */
export async function emptyBucket(work: SpaceWork): Promise<void> {
  const bucket = bucketOf(work);
  if (bucket === undefined || (await isEmpty(work, bucket))) return;
  await storage(work, "rm", "--recursive", "--force", `serving/${bucket}/`);
}

/** Deletes every file in the bucket with all old versions. Only an archived space may lose those. */
export async function destroyBucket(work: SpaceWork): Promise<void> {
  const bucket = bucketOf(work);
  if (bucket === undefined) return;
  const { state } = work.space.document;
  if (state !== "archived") throw failure(work, `its state is ${state}, so old versions of its files stay`);
  if (await isEmpty(work, bucket, "--versions")) return;
  await storage(work, "rm", "--recursive", "--force", "--versions", `serving/${bucket}/`);
}

/** Whether the bucket has nothing; with `--versions`, no old version either. */
export async function isEmpty(work: NamedWork, bucket: string, ...words: "--versions"[]): Promise<boolean> {
  let empty = true;
  await listStorage(work, [...words, `serving/${bucket}`], () => {
    empty = false;
  });
  return empty;
}
