// Measures what checking and planning cost for a generated fleet of 10,000 spaces in 100 files, against budgets. Each
// run is a whole process. It needs no machine; the figures of the lab are elsewhere.
import { execa, execaSync } from "execa";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environmentFile, environmentNames } from "../infra/inventory/environment-file.ts";
import { median } from "./median.ts";
import { renderEntry } from "../spaces/fleet/edit.ts";
import { CATALOG_FILE, tenantsFolder } from "../spaces/fleet/fleet.ts";

const ENVIRONMENT = "bench";
const FILES = 100;
const SPACES_PER_FILE = 100;
const REPOSITORY = join(import.meta.dirname, "..");

interface Case {
  title: string;
  /** Changes the fleet for this case. The next case gets a new fleet. */
  prepare: (root: string) => void;
  command: string[];
  /** The exit status that proves that the case did its work. */
  status: number;
  /** What the output must contain, for the same reason. */
  shows: RegExp;
  runs: number;
  budget: { seconds: number; megabytes?: number };
}

const CHECK = [join(REPOSITORY, "bin/check.ts"), "tenants"];
const PLAN = [join(REPOSITORY, "bin/plan.ts"), "--base", "HEAD"];

const CASES: Case[] = [
  {
    title: "check, clean",
    prepare: () => undefined,
    command: CHECK,
    status: 0,
    shows: /bench 10000 spaces/,
    runs: 5,
    budget: { seconds: 1.3, megabytes: 180 },
  },
  {
    title: "check, an unknown plan in every file",
    prepare: (root) => editEveryFile(root, (text) => text.replace(/(plan: )standard/, "$1huge")),
    command: CHECK,
    status: 1,
    shows: /not valid: 100 problems/,
    runs: 5,
    budget: { seconds: 1.3, megabytes: 180 },
  },
  {
    title: "check, broken YAML in every file",
    prepare: (root) => editEveryFile(root, (text) => text.replace(/(name: )/, '$1"')),
    command: CHECK,
    status: 1,
    shows: /not valid: \d+ problems/,
    runs: 5,
    budget: { seconds: 1.3, megabytes: 180 },
  },
  {
    title: "plan, one space changed",
    prepare: (root) => editFile(shardPath(root, 50), (text) => text.replace("plan: standard", "plan: small")),
    command: PLAN,
    status: 0,
    shows: /group-04901/,
    runs: 5,
    budget: { seconds: 1.5, megabytes: 320 },
  },
  {
    title: "plan, every space changed",
    prepare: (root) =>
      editFile(join(root, CATALOG_FILE), (text) => text.replace("storageGb: 40", "storageGb: 50")),
    command: PLAN,
    status: 0,
    shows: /10[,. ]?000 spaces/,
    runs: 1,
    budget: { seconds: 36 },
  },
];

/** A copy of this repository with 10,000 spaces, committed. Prod's configuration, with drives large enough. */
function makeFleet(root: string): void {
  const left = new Set([".git", ".lab", "node_modules", "test"]);
  for (const name of readdirSync(REPOSITORY).filter((one) => !left.has(one)))
    cpSync(join(REPOSITORY, name), join(root, name), { recursive: true });
  symlinkSync(join(REPOSITORY, "node_modules"), join(root, "node_modules"));
  for (const name of environmentNames(root)) {
    if (name === "prod")
      renameSync(join(root, environmentFile(name)), join(root, environmentFile(ENVIRONMENT)));
    else rmSync(join(root, environmentFile(name)));
    rmSync(join(root, tenantsFolder(name)), { recursive: true });
  }
  editFile(join(root, environmentFile(ENVIRONMENT)), (text) =>
    text.replace(/driveTerabytes: \d+/, "driveTerabytes: 32"),
  );
  mkdirSync(join(root, tenantsFolder(ENVIRONMENT)));
  for (let file = 1; file <= FILES; file++) {
    const entries = Array.from({ length: SPACES_PER_FILE }, (_, index) => {
      const number = String((file - 1) * SPACES_PER_FILE + index).padStart(5, "0");
      return renderEntry({
        id: `group-${number}`,
        name: `L'Association n° ${number} : amis`,
        kind: "association",
        contact: `contact@group-${number}.example`,
        plan: "standard",
        office: "collabora",
        wave: "main",
      });
    });
    writeFileSync(shardPath(root, file), entries.join("\n"));
  }
  const git = (...args: string[]) =>
    execaSync("git", ["-c", "user.name=bench", "-c", "user.email=bench@example.org", ...args], {
      cwd: root,
    });
  git("init", "--quiet", "--initial-branch=main");
  git("add", "--all");
  git("commit", "--quiet", "--no-gpg-sign", "--message=Fleet");
}

function shardPath(root: string, file: number): string {
  return join(root, tenantsFolder(ENVIRONMENT), `${String(file).padStart(3, "0")}.yaml`);
}

function editFile(path: string, edit: (text: string) => string): void {
  const text = readFileSync(path, "utf8");
  // Edits the second entry, never the first: otherwise a check that only looks at the first would pass.
  const second = text.indexOf("\n- id") + 1;
  const edited = text.slice(0, second) + edit(text.slice(second));
  if (edited === text) throw new Error(`nothing to edit in ${path}`);
  writeFileSync(path, edited);
}

function editEveryFile(root: string, edit: (text: string) => string): void {
  for (let file = 1; file <= FILES; file++) editFile(shardPath(root, file), edit);
}

interface Measure {
  seconds: number;
  megabytes: number;
  status: number | undefined;
  output: string;
}

/** Runs a new process. Measures its time and its memory. */
async function measure(root: string, command: string[]): Promise<Measure> {
  const start = performance.now();
  const child = execa(process.execPath, [...command, "--root", root], {
    stdin: "ignore",
    all: true,
    maxBuffer: 2 ** 28,
    reject: false,
  });
  // The kernel keeps the peak (proc(5), VmHWM), so the last look before the end is enough. Measuring inside the process
  // would load a module into each of its threads.
  let megabytes = 0;
  const look = setInterval(() => (megabytes = Math.max(megabytes, largestMemory(child.pid))), 15);
  const { exitCode, all } = await child;
  clearInterval(look);
  return { seconds: (performance.now() - start) / 1000, megabytes, status: exitCode, output: all };
}

/** Peak resident memory of a process so far, in MB; 0 if the kernel does not tell. */
function largestMemory(pid: number | undefined): number {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Runs and prints one case. Resolves to false if it exceeded its budget or did not do its work. */
async function runCase({ title, prepare, command, status, shows, runs, budget }: Case): Promise<boolean> {
  const root = mkdtempSync(join(tmpdir(), "framaspace-bench-"));
  try {
    makeFleet(root);
    prepare(root);
    const measures: Measure[] = [];
    for (let run = 0; run < runs; run++) measures.push(await measure(root, command));
    const wrong = measures.find((one) => one.status !== status || !shows.test(one.output));
    if (wrong) {
      console.log(
        `✘ ${title}: exit status ${wrong.status} instead of ${status}, or other output than ${shows}:\n${wrong.output.slice(-2000)}`,
      );
      return false;
    }
    const seconds = median(measures.map((one) => one.seconds));
    const megabytes = Math.max(...measures.map((one) => one.megabytes));
    const fits = seconds <= budget.seconds && megabytes <= (budget.megabytes ?? Infinity);
    const memory = `${megabytes.toFixed(0)} MB${budget.megabytes === undefined ? "" : ` (budget ${budget.megabytes})`}`;
    console.log(
      `${fits ? "✔" : "✘"} ${title.padEnd(40)} ${seconds.toFixed(2)} s (budget ${budget.seconds})  ${memory}  ${runs} runs`,
    );
    return fits;
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Runs the cases whose title contains every word. Resolves to whether each kept its budget. */
export async function benchFleet(words: readonly string[]): Promise<boolean> {
  console.log(
    `${FILES * SPACES_PER_FILE} spaces in ${FILES} files; median time and largest memory of whole processes.`,
  );
  let passed = true;
  for (const one of CASES)
    if (words.every((word) => one.title.includes(word))) passed = (await runCase(one)) && passed;
  return passed;
}
