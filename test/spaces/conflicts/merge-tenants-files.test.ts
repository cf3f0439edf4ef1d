// Real conflicts of a real git: two branches that each add a space, merged, rebased and picked.
import { execaSync } from "execa";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { mergeTenantsFiles } from "../../../spaces/conflicts/merge-tenants-files.ts";
import { insertEntry, removeEntry, renderEntry, type Draft } from "../../../spaces/fleet/edit.ts";
import { loadFleet } from "../../../spaces/fleet/load-fleet.ts";
import {
  CATALOG,
  CONFIGURATION,
  copyFleet,
  replaceIn,
  TENANTS_1,
  TENANTS_2,
} from "../../support/fleet-fixture.ts";

const draft = (id: string, name = id): Draft => ({
  id,
  name,
  kind: "association",
  contact: `contact@${id}.example`,
  plan: "small",
  office: "collabora",
  wave: "main",
});

let root = "";
beforeEach(() => {
  root = copyFleet();
  replaceIn(root, CONFIGURATION, "driveTerabytes: 0.02", "driveTerabytes: 16");
  git("init", "--quiet", "--initial-branch=main");
  commit("base");
});

function git(...args: string[]): string {
  const { stdout, stderr } = execaSync(
    "git",
    ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "core.editor=true", ...args],
    { cwd: root, reject: false, stdin: "ignore" },
  );
  return stdout + stderr;
}

function commit(message: string): void {
  git("add", "--all");
  git("commit", "--quiet", "--message", message);
}

const read = (file: string) => readFileSync(join(root, file), "utf8");
const write = (file: string, text: string) => writeFileSync(join(root, file), text);
const add = (file: string, id: string, name = id) =>
  write(file, insertEntry(read(file), draft(id, name)).text);

/** A branch from the base, with one commit. */
function branch(name: string, change: () => void, from = "main~0"): void {
  git("switch", "--quiet", "--create", name, from);
  change();
  commit(name);
}

/** Two pull requests: one is on main already, the other one is checked out. */
function twoRequests(one: () => void, other: () => void): void {
  const base = git("rev-parse", "main");
  branch("one", one);
  git("switch", "--quiet", "main");
  git("merge", "--quiet", "--ff-only", "one");
  branch("other", other, base);
}

function merge(): string {
  const said: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((text: string) => void said.push(text));
  try {
    mergeTenantsFiles(root);
  } finally {
    log.mockRestore();
  }
  return said.join("\n");
}

const idsOf = (index: number) => loadFleet(root, "demo").tenantsFiles[index]?.entries.map(({ id }) => id);

describe("two neighbours", () => {
  beforeEach(() =>
    twoRequests(
      () => add(TENANTS_1, "jasmin-bleu"),
      () => add(TENANTS_1, "kiwi"),
    ),
  );

  test.each([
    [["merge", "main"], "merge"],
    [["rebase", "main"], "rebase"],
    [["cherry-pick", "main"], "cherry-pick"],
  ])("git %s finds a conflict, one command ends it", (words, act) => {
    expect(git(...words)).toContain(`CONFLICT (content): Merge conflict in ${TENANTS_1}`);
    expect(merge()).toBe(`Merged ${TENANTS_1}: added "jasmin-bleu", "kiwi".

Next, see what it does together, and go on:
  npm run plan
  git ${act} --continue`);
    git(act, "--continue");
    expect(git("status", "--short", "--branch")).toBe("## other");
    expect(idsOf(0)).toEqual(["iris", "jasmin-bleu", "kiwi", "lotus"]);
    expect(loadFleet(root, "demo").problems).toEqual([]);
  });

  test("a second time there is nothing to do", () => {
    git("merge", "main");
    merge();
    expect(merge).toThrow("No tenants file is in conflict.");
  });

  test("work in the file with git's marks is not lost", () => {
    git("merge", "main");
    write(TENANTS_1, "- id: by-hand\n");
    expect(merge).toThrow(`${TENANTS_1}: it was edited since; \`git add\` it if it is done`);
    expect(read(TENANTS_1)).toBe("- id: by-hand\n");
  });
});

test("says which other files are in conflict", () => {
  twoRequests(
    () => {
      add(TENANTS_1, "jasmin-bleu");
      replaceIn(root, CATALOG, /jobsPerWorker: \d+/, "jobsPerWorker: 3");
    },
    () => {
      add(TENANTS_1, "kiwi");
      replaceIn(root, CATALOG, /jobsPerWorker: \d+/, "jobsPerWorker: 5");
    },
  );
  git("merge", "main");
  expect(merge).toThrow(`Fix this, then: git add ${TENANTS_1}`);
  git("checkout", "--ours", CATALOG);
  git("add", CATALOG);
  expect(idsOf(0)).toEqual(["iris", "jasmin-bleu", "kiwi", "lotus"]);
});

test("both began the same file", () => {
  const file = "spaces/tenants/demo/003.yaml";
  twoRequests(
    () => write(file, insertEntry(undefined, draft("kiwi")).text),
    () => write(file, insertEntry(undefined, draft("melon")).text),
  );
  expect(git("merge", "main")).toContain("CONFLICT (add/add)");
  expect(merge()).toContain(`Merged ${file}: added "kiwi", "melon".`);
  expect(idsOf(2)).toEqual(["kiwi", "melon"]);
});

describe("what only a person can decide", () => {
  test.each<[string, () => void, () => void, string]>([
    [
      "both changed an entry",
      () => replaceIn(root, TENANTS_2, "name: Zinnia", "name: Les Zinnias"),
      () => replaceIn(root, TENANTS_2, "name: Zinnia", "name: Zinnia 2"),
      `${TENANTS_2}: space "zinnia" was changed by both sides.`,
    ],
    [
      "one removed what the other changed",
      () => write(TENANTS_2, removeEntry(read(TENANTS_2), "zinnia")),
      () => replaceIn(root, TENANTS_2, "name: Zinnia", "name: Zinnia 2"),
      `${TENANTS_2}: space "zinnia" was removed by one side and changed by the other.`,
    ],
    [
      "both added one id",
      () => add(TENANTS_2, "kiwi"),
      () => add(TENANTS_2, "kiwi", "Les Kiwis"),
      `${TENANTS_2}: space "kiwi" was added by both sides, with different lines.`,
    ],
    [
      "one removed the file",
      () => git("rm", "--quiet", TENANTS_2),
      () => add(TENANTS_2, "kiwi"),
      `${TENANTS_2}: one side removed the file.`,
    ],
  ])("%s: no file changes, not even one that could be merged", (_title, one, other, what) => {
    twoRequests(
      () => {
        add(TENANTS_1, "jasmin-bleu");
        one();
      },
      () => {
        add(TENANTS_1, "kaki");
        other();
      },
    );
    git("merge", "main");
    const before = [read(TENANTS_1), read(TENANTS_2)];
    expect(merge).toThrow(`Only a person can decide:
  ${what}
Edit the files, then \`git add\` them; \`npm run space -- merge\` merges the others.
Nothing was changed.`);
    expect([read(TENANTS_1), read(TENANTS_2)]).toEqual(before);
    expect(git("diff", "--name-only", "--diff-filter=U").split("\n")).toContain(TENANTS_2);
  });
});

test("ids that look alike are merged, said, and not added to git", () => {
  twoRequests(
    () => add(TENANTS_1, "kiwi"),
    () => add(TENANTS_1, "ki-wi"),
  );
  git("merge", "main");
  expect(merge).toThrow('space "kiwi": id looks like "ki-wi"');
  expect(git("diff", "--name-only", "--diff-filter=U")).toBe(TENANTS_1);
  expect(read(TENANTS_1)).not.toContain("<<<");
});

describe("a file that both filled up by hand", () => {
  const fill = (count: number) =>
    write(
      TENANTS_1,
      Array.from({ length: count }, (_, index) => renderEntry(draft(`aster-${100 + index}`))).join(""),
    );
  beforeEach(() => {
    fill(99);
    commit("fill");
  });

  test.each(["merge", "rebase"])("in a %s, the entry of this branch moves, never one of main", (act) => {
    // What was fetched last is older than main.
    git("update-ref", "refs/remotes/origin/main", "main");
    twoRequests(
      () => add(TENANTS_1, "azalee"),
      () => {
        add(TENANTS_1, "begonia");
        replaceIn(root, TENANTS_1, "- id: begonia", "# Asked twice.\n- id: begonia");
      },
    );
    expect(git(act, "main")).toContain("CONFLICT");
    const said = merge();
    const [, file = "", line = ""] =
      /Moved space "begonia" to (\S+), line (\d+): \S+ would have had 101 entries/.exec(said) ?? [];
    const lines = read(file).split("\n");
    expect(lines.slice(Number(line) - 1, Number(line) + 1)).toEqual(["# Asked twice.", "- id: begonia"]);
    expect(idsOf(0)).toHaveLength(100);
    expect(idsOf(0)).toContain("azalee");
    expect(loadFleet(root, "demo").problems).toEqual([]);
    git(act, "--continue");
    expect(git("status", "--short", "--branch")).toBe("## other");
  });

  test("where main merges, the entry of the branch moves", () => {
    twoRequests(
      () => add(TENANTS_1, "azalee"),
      () => add(TENANTS_1, "begonia"),
    );
    git("switch", "--quiet", "main");
    git("merge", "other");
    expect(merge()).toContain('Moved space "begonia"');
    expect(idsOf(0)).toContain("azalee");
  });

  test("where there is no main, nobody knows which may move", () => {
    twoRequests(
      () => add(TENANTS_1, "begonia"),
      () => add(TENANTS_1, "azalee"),
    );
    git("branch", "--move", "main", "trunk");
    git("merge", "trunk");
    expect(merge).toThrow(`${TENANTS_1}: it would have 101 entries, and 100 is the most`);
  });
});
