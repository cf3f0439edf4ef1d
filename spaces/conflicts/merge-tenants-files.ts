// `npm run space -- merge`: merges the tenants files that git left in conflict, in a merge, a rebase or a cherry-pick.
// It works on the three versions that git keeps in its index, and never on the text with the marks in it.
import { execaSync } from "execa";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { sentence } from "../../validation/positions.ts";
import { UserError } from "../../validation/user-error.ts";
import { fileFor, insertLines, removeEntry } from "../fleet/edit.ts";
import { reportFleets, TENANTS_FOLDER, tenantsFolder } from "../fleet/fleet.ts";
import { ENTRY_LIMITS } from "../fleet/ids.ts";
import { loadFleet } from "../fleet/load-fleet.ts";
import { linesOfEntries, mergeVersions, type Versions } from "./three-way.ts";

/**
 * Merges every conflicted tenants file, adds it to git's index, and prints what it did and what to type next. Throws a
 * UserError if there is none, or something in one that only a person can decide; then no file was changed.
 */
export function mergeTenantsFiles(root: string): void {
  const unmerged = unmergedFiles(root);
  const conflicts = unmerged.filter(({ file }) => file.startsWith(`${TENANTS_FOLDER}/`));
  if (conflicts.length === 0)
    throw new UserError(
      `No tenants file is in conflict. \`git merge main\` or \`git rebase main\` would find the conflicts of this branch.`,
    );
  const undecided: string[] = [];
  const texts = new Map<string, string>();
  const said: string[] = [];
  const versions = new Map<string, Versions>();
  for (const { file, stages } of conflicts) {
    const read = readVersions(root, file, stages);
    if ("undecided" in read) {
      undecided.push(`${file}: ${sentence(read.undecided)}`);
      continue;
    }
    const merged = mergeVersions(read);
    if ("undecided" in merged)
      undecided.push(...merged.undecided.map((what) => `${file}: ${sentence(what)}`));
    else {
      texts.set(file, merged.text);
      versions.set(file, read);
      said.push(`Merged ${file}: ${describe(read.base, merged.text)}.`);
    }
  }
  if (undecided.length === 0)
    for (const [file, version] of versions) {
      const moved = moveOverflow(root, file, version, texts);
      if ("undecided" in moved) undecided.push(`${file}: ${sentence(moved.undecided)}`);
      else said.push(...moved.said);
    }
  if (undecided.length > 0)
    throw new UserError(
      [
        "Only a person can decide:",
        ...undecided.map((what) => `  ${what}`),
        "Edit the files, then `git add` them; `npm run space -- merge` merges the others.\nNothing was changed.",
      ].join("\n"),
    );

  const files = [...texts.keys()].sort();
  for (const [file, text] of texts) writeFileSync(join(root, file), text);
  console.log(said.join("\n"));
  const environments = new Set(files.map((file) => basename(dirname(file))));
  const fleets = [...environments].map((name) => loadFleet(root, name));
  if (fleets.some(({ problems }) => problems.length > 0))
    throw new UserError(`\n${reportFleets(fleets)}\nFix this, then: git add ${files.join(" ")}`);
  git(root, "add", "--", ...files);
  console.log(
    `\n${whatNext(
      root,
      unmerged.filter((other) => !conflicts.includes(other)),
    )}`,
  );
}

type Stages = Partial<Record<"1" | "2" | "3", string>>;

/** The files that git could not merge, with the object of each version: 1 is the base, 2 ours, 3 theirs. */
function unmergedFiles(root: string): { file: string; stages: Stages }[] {
  const listed = tryGit(root, "ls-files", "--unmerged", "-z");
  if (listed === undefined)
    throw new UserError(
      `${root} is in no git repository (or git is not installed), so nothing can be merged.`,
    );
  const files = new Map<string, Stages>();
  for (const [, object = "", stage = "", file = ""] of listed.matchAll(
    /\d+ ([0-9a-f]+) ([123])\t([^\0]+)\0/g,
  ))
    files.set(file, { ...files.get(file), [stage]: object });
  return [...files].map(([file, stages]) => ({ file, stages }));
}

function readVersions(root: string, file: string, stages: Stages): Versions | { undecided: string } {
  const [base, ours, theirs] = ([1, 2, 3] as const).map((stage) => {
    const object = stages[stage];
    return object === undefined ? undefined : git(root, "cat-file", "blob", object);
  });
  if (ours === undefined || theirs === undefined) return { undecided: "one side removed the file" };
  // Without git's marks, somebody has worked on it, and that work must not be lost.
  if (!existsSync(join(root, file)) || !/^<{7} /m.test(readFileSync(join(root, file), "utf8")))
    return {
      undecided: `it was edited since; \`git add\` it if it is done, or \`git checkout --merge ${file}\` to begin again`,
    };
  return { base: base ?? "", ours, theirs };
}

/**
 * Moves entries out of a file that has too many now. Only what no machine knows may move: an entry that this branch has
 * just added, and that is not on main.
 */
function moveOverflow(
  root: string,
  file: string,
  { base, ours, theirs }: Versions,
  texts: Map<string, string>,
): { said: string[] } | { undecided: string } {
  const most = ENTRY_LIMITS.spacesPerFile;
  const entries = linesOfEntries(texts.get(file) ?? "") ?? new Map<string, string>();
  if (entries.size <= most) return { said: [] };
  const mains = ["origin/main", "main"].filter((name) =>
    tryGit(root, "rev-parse", "--verify", "--quiet", name),
  );
  const others = [
    base,
    bringsOwnWork(root) ? ours : theirs,
    ...mains.map((name) => tryGit(root, "show", `${name}:./${file}`) ?? ""),
  ].map(linesOfEntries);
  const movable = [...entries.keys()].filter(
    (id) => mains.length > 0 && !others.some((other) => other?.has(id)),
  );
  const moving = movable.slice(0, entries.size - most);
  if (entries.size - moving.length > most)
    return {
      undecided: `it would have ${entries.size} entries, and ${most} is the most; move one that is not deployed yet to another file`,
    };
  const said = moving.map((id) => {
    const folder = dirname(file);
    const sizes = loadFleet(root, basename(folder), texts).tenantsFiles.map((tenantsFile) => ({
      name: tenantsFile.name,
      entries: { length: tenantsFile.entries.length },
    }));
    const target = `${tenantsFolder(basename(folder))}/${fileFor(id, sizes)}.yaml`;
    const existing =
      texts.get(target) ??
      (existsSync(join(root, target)) ? readFileSync(join(root, target), "utf8") : undefined);
    const { text, line } = insertLines(existing, id, entries.get(id) ?? "");
    texts.set(target, text);
    texts.set(file, removeEntry(texts.get(file) ?? "", id));
    return `Moved space "${id}" to ${target}, line ${line}: ${file} would have had ${entries.size} entries.`;
  });
  return { said };
}

/** What the merge did to the version from which both sides began. */
function describe(base: string, merged: string): string {
  const [before, after] = [base, merged].map((text) => linesOfEntries(text) ?? new Map<string, string>());
  const ids = [...new Set([...(before?.keys() ?? []), ...(after?.keys() ?? [])])].sort();
  const list = (verb: string, is: (was?: string, now?: string) => boolean) => {
    const found = ids.filter((id) => is(before?.get(id), after?.get(id)));
    return found.length === 0 ? [] : [`${verb} ${found.map((id) => `"${id}"`).join(", ")}`];
  };
  const parts = [
    ...list("added", (was, now) => was === undefined && now !== undefined),
    ...list("changed", (was, now) => was !== undefined && now !== undefined && was !== now),
    ...list("removed", (was, now) => was !== undefined && now === undefined),
  ];
  return parts.length === 0 ? "only comments changed" : parts.join("; ");
}

function whatNext(root: string, others: readonly { file: string }[]): string {
  if (others.length > 0)
    return [
      "Also in conflict, and not tenants files; edit them, then `git add` them:",
      ...others.map(({ file }) => `  ${file}`),
    ].join("\n");
  const act = underWay(root);
  return ["Next, see what it does together, and go on:", "  npm run plan", `  git ${act} --continue`].join(
    "\n",
  );
}

/** Which of its commands git is in the middle of. */
function underWay(root: string): "rebase" | "cherry-pick" | "merge" {
  const has = (name: string) => existsSync(resolve(root, git(root, "rev-parse", "--git-path", name).trim()));
  if (has("rebase-merge") || has("rebase-apply")) return "rebase";
  return has("CHERRY_PICK_HEAD") ? "cherry-pick" : "merge";
}

/** Whether "theirs" is the new work: in a rebase, in a cherry-pick, and where main merges a branch. */
function bringsOwnWork(root: string): boolean {
  return underWay(root) !== "merge" || git(root, "branch", "--show-current").trim() === "main";
}

function tryGit(root: string, ...args: string[]): string | undefined {
  const { failed, stdout } = execaSync("git", args, {
    cwd: root,
    stdin: "ignore",
    stripFinalNewline: false,
    reject: false,
  });
  return failed ? undefined : stdout;
}

function git(root: string, ...args: string[]): string {
  return execaSync("git", args, { cwd: root, stdin: "ignore", stripFinalNewline: false }).stdout;
}
