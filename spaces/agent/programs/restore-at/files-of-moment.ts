// The bucket's files of a moment, from its old versions.
import { asRoot } from "../old-versions.ts";
import { read, runLines } from "../../../../infra/machine/programs/run-command.ts";
import { CommandError } from "../../../../infra/machine/programs/program-error.ts";
import { say } from "../space-work.ts";
import type { RestoringAt } from "./restoring-at.ts";

/** One line of `mc ls --json`. */
interface Listed {
  status: string;
  type: string;
  key: string;
  versionId?: string;
  etag: string;
  isDeleteMarker?: boolean;
}

const asking = (work: RestoringAt) => ({ ...asRoot(work), errors: "inherit" as const });

/** Key → what is there, or was. Throws CommandError. */
async function listing(work: RestoringAt, words: readonly string[]): Promise<Map<string, Listed>> {
  const found = new Map<string, Listed>();
  const status = await runLines("mc", ["--json", "ls", "--recursive", ...words], asking(work), (line) => {
    const file = JSON.parse(line) as Listed;
    if (file.status === "success" && file.type === "file" && file.isDeleteMarker !== true)
      found.set(file.key, file);
  });
  if (status !== 0) throw new CommandError("mc", status);
  return found;
}

/** Puts back what is not as it was, and sets aside what was not there yet. Old versions stay. */
export async function restoreFilesOfMoment(work: RestoringAt, bucket: string): Promise<void> {
  const { from, moment } = work;
  const then = await listing(work, ["--rewind", `${moment.replace(" ", "T")}Z`, `serving/${from}/`]);
  const now = await listing(work, [`serving/${bucket}/`]);
  let restored = 0;
  for (const key of [...then.keys()].sort()) {
    const { etag, versionId = "" } = then.get(key) ?? { etag: "" };
    if (now.get(key)?.etag === etag) continue;
    const source = ["--version-id", versionId, `serving/${from}/${key}`];
    await read("mc", ["--quiet", "cp", ...source, `serving/${bucket}/${key}`], asking(work));
    restored += 1;
  }
  const added = [...now.keys()].filter((key) => !then.has(key)).sort();
  for (const key of added) await read("mc", ["--quiet", "rm", `serving/${bucket}/${key}`], asking(work));
  say(work, `${restored} files put back, ${added.length} set aside as old versions`);
}
