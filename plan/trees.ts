// The two versions of the repository that a plan compares: the work tree as it is, and a base that git gives, put
// into a temporary folder for as long as the plan runs.
import { execaSync } from "execa";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { leftovers } from "./temporary-folders.ts";
import { UserError } from "../validation/user-error.ts";

export interface Base {
  /** The ref as it was given, and its commit. */
  name: string;
  commit: string;
  /** Paths that differ between the base and the work tree, including files that git does not track yet. */
  changed: string[];
  /**
   * Extracts the matching paths of the base into a new folder and returns the folder. Without paths, extracts
   * everything.
   */
  extract(paths: readonly string[]): string;
}

/** Finds the base: the given ref, or the commit where this branch left main. */
export function findBase(root: string, given?: string): Base {
  if (!succeeds(() => git(root, "rev-parse", "--git-dir")))
    throw new UserError(
      `${root} is in no git repository (or git is not installed), so there is no base to compare with.`,
    );
  const { name, commit } =
    given === undefined ? mergeBase(root) : { name: given, commit: resolve(root, given) };
  return {
    name,
    commit,
    changed: [
      ...lines(git(root, "diff", "--name-only", "--no-renames", "--relative", "-z", commit, "--")),
      ...lines(git(root, "ls-files", "--others", "--exclude-standard", "-z")),
    ],
    extract: (paths) => extract(root, commit, paths),
  };
}

function mergeBase(root: string): { name: string; commit: string } {
  for (const name of ["origin/main", "main"])
    if (succeeds(() => git(root, "rev-parse", "--verify", "--quiet", `${name}^{commit}`)))
      try {
        return { name, commit: git(root, "merge-base", "HEAD", name).trim() };
      } catch {
        throw new UserError(
          `git finds no common ancestor of HEAD and ${name}; fetch the whole history (\`git fetch --unshallow\`), or write \`--base REF\`.`,
        );
      }
  throw new UserError(
    "there is no origin/main and no main to compare with; write `npm run plan -- --base REF`.",
  );
}

function resolve(root: string, ref: string): string {
  try {
    // --end-of-options: git does not read a ref that begins with a hyphen as an option.
    return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", `${ref}^{commit}`).trim();
  } catch {
    throw new UserError(`git knows no commit "${ref}"; write a branch, a tag or a commit after --base.`);
  }
}

function succeeds(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}

function git(root: string, ...args: string[]): string {
  const options = { cwd: root, stdin: "ignore", maxBuffer: 2 ** 28, stripFinalNewline: false } as const;
  return execaSync("git", args, options).stdout;
}

function lines(zeroSeparated: string): string[] {
  return zeroSeparated.split("\0").filter((line) => line !== "");
}

const PREFIX = "framaspace-plan-";
/** Temporary folders of this process. */
const made = new Set<string>();
let willRemove = false;

/** Has this process remove its folders when it ends, also by a signal. */
function removeAtEnd(): void {
  if (willRemove) return;
  willRemove = true;
  process.once("exit", () => made.forEach(remove));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    // A shell reports 128 + number for a process that a signal ended.
    process.once(signal, () => process.exit(128 + { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 }[signal]));
}

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  made.delete(folder);
}

/** Removes a folder that `extract` has returned, before this process ends. */
export function removeExtracted(tree: string): void {
  remove(dirname(tree));
}

function extract(root: string, commit: string, paths: readonly string[]): string {
  for (const left of leftovers(PREFIX)) succeeds(() => rmSync(left, { recursive: true, force: true }));
  // Before the folder exists: a signal that comes just after its creation must find the handler.
  removeAtEnd();
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  made.add(folder);
  const tree = join(folder, "tree");
  mkdirSync(tree);
  const archive = join(folder, "base.tar");
  git(root, "archive", "--format=tar", "--output", archive, commit, "--", ...paths);
  execaSync("tar", ["-xf", archive, "-C", tree]);
  rmSync(archive);
  // The base runs with the packages of the work tree: a plan installs nothing.
  rmSync(join(tree, "node_modules"), { recursive: true, force: true });
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
  return tree;
}
