// `npm run review -- tenants`: for a forge whose jobs on a fork's pull request may not write, and that starts no job
// after another (Forgejo). The default branch's code plans the tenants files of the change, and comments. It takes the
// change as git objects: nothing of it is checked out, and nothing of it runs.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import * as z from "zod";
import { plan } from "../plan/plan.ts";
import { isTenantsFile } from "../spaces/fleet/fleet.ts";
import { UserError } from "../validation/user-error.ts";
import { putComment } from "./comment.ts";
import { forgeOf, readEvent, type Variables } from "./run.ts";

const eventSchema = z.object({
  pull_request: z.object({
    number: z.int().positive(),
    html_url: z.url(),
    head: z.object({ sha: z.string().regex(/^[0-9a-f]{40}$/) }),
  }),
});

/** A file of 100 entries has 25 kB. */
const MOST_BYTES = 2 ** 20;
const PLAIN_FILE = "100644";
const NO_FILE = "000000";

/** Plans the pull request of this job and comments. Resolves to the exit status. Changes the work tree. */
export async function reviewTenants(root: string, variables: Variables): Promise<0 | 1 | 2> {
  const { number, html_url: address, head } = readEvent(variables, eventSchema).pull_request;
  const forge = forgeOf(variables);
  const say = async (status: 0 | 1 | 2, summary: string, details = ""): Promise<0 | 1 | 2> => {
    const report = { part: "plan", head: head.sha, run: `${address}/commits`, trusted: true } as const;
    await putComment(forge, number, { ...report, result: { status, summary, details } });
    return status;
  };
  await git(
    root,
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-recurse-submodules",
    "origin",
    `refs/pull/${number}/head`,
  );
  if ((await git(root, "rev-parse", "FETCH_HEAD")).trim() !== head.sha)
    throw new UserError(
      `Pull request ${number} has a newer commit than ${head.sha}; that one has a job of its own.`,
    );
  const merged = await merge(root, head.sha);
  if (merged === undefined)
    return say(
      1,
      "This change conflicts with the branch that it is for. Rebase it, and it is planned again.\n",
    );
  const changes = await changesTo(root, merged);
  if (!changes.every(({ path, mode }) => isTenantsFile(path) && [PLAIN_FILE, NO_FILE].includes(mode)))
    return say(
      0,
      "This change is more than tenants files, so its plan is only in the log of the job `review`, which may write no comment. An administrator reads its files first.\n",
    );
  for (const change of changes) await take(root, change);
  const { status, summary, details } = await plan({ root, base: "HEAD" });
  return say(status, summary, details);
}

async function git(root: string, ...args: string[]): Promise<string> {
  return (await execa("git", args, { cwd: root, stdin: "ignore", maxBuffer: 2 ** 28 })).stdout;
}

/** The tree that merging a commit would give; undefined if the two conflict. */
async function merge(root: string, commit: string): Promise<string | undefined> {
  const options = { cwd: root, stdin: "ignore", reject: false } as const;
  const { exitCode, stdout } = await execa("git", ["merge-tree", "--write-tree", "HEAD", commit], options);
  if (exitCode === 1) return undefined;
  if (exitCode === 0) return stdout.trim();
  throw new UserError(
    "git could not merge the change; the checkout needs the whole history (`fetch-depth: 0`) and git 2.38.",
  );
}

interface Change {
  path: string;
  mode: string;
  object: string;
}

async function changesTo(root: string, tree: string): Promise<Change[]> {
  const fields = (await git(root, "diff-tree", "-r", "-z", "--raw", "--no-renames", "HEAD", tree)).split(
    "\0",
  );
  const changes: Change[] = [];
  // ":<mode> <mode> <object> <object> <letter>", then the path.
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [, mode = "", , object = ""] = (fields[index] ?? "").split(" ");
    changes.push({ path: fields[index + 1] ?? "", mode, object });
  }
  return changes;
}

async function take(root: string, { path, mode, object }: Change): Promise<void> {
  const file = join(root, path);
  if (mode === NO_FILE) {
    rmSync(file);
    return;
  }
  if (Number(await git(root, "cat-file", "-s", object)) > MOST_BYTES)
    throw new UserError(`${path} has more than ${MOST_BYTES} bytes; split it into several tenants files.`);
  mkdirSync(dirname(file), { recursive: true });
  const options = { cwd: root, encoding: "buffer", stripFinalNewline: false } as const;
  writeFileSync(file, (await execa("git", ["cat-file", "blob", object], options)).stdout);
}
