// Digests of what stacks would be applied as. They decide what a rollout applies: not which files changed, but whether
// the engine would receive anything else than last time.
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import { isData, isInput } from "../evaluate/inputs.ts";
import { Pool } from "../evaluate/worker-pool.ts";
import { parseStackName } from "../infra/inventory/stack-name.ts";
import { CATALOG_FILE, tenantsFolder } from "../spaces/fleet/fleet.ts";
import { pluginVersions } from "./plugin-versions.ts";
import type { DigestTask, Rendered } from "./digest-worker.ts";

const remembered = z.record(z.string(), z.object({ digest: z.string(), resources: z.number() }));

/**
 * The digest of each stack of an environment. Evaluates only stacks whose files differ from those of an earlier call:
 * evaluating a hundred stacks of a hundred spaces takes half a minute. Rejects with a UserError if a stack cannot be
 * evaluated.
 * @param keys From sourceKeys.
 */
export async function digestsOf(
  { root, configFile }: Sources,
  keys: ReadonlyMap<string, string>,
): Promise<Map<string, Rendered>> {
  const stacks = [...keys.keys()];
  const file = join(root, "node_modules/.cache/framaspace/digests.json");
  const earlier = read(file);
  const digests = new Map<string, Rendered>();
  for (const [stack, key] of keys) {
    const known = earlier[key];
    if (known) digests.set(stack, known);
  }
  const tasks = stacks
    .filter((stack) => !digests.has(stack))
    .map((stack) => ({
      stack,
      version: { root, program: root, configFile },
      plugins: JSON.stringify([...pluginVersions(root)]),
    }));
  if (tasks.length > 0) {
    const pool = new Pool<DigestTask, Rendered>(root, new URL("digest-worker.ts", import.meta.url));
    try {
      await pool.run(tasks, (rendered, stack) => digests.set(stack, rendered));
    } finally {
      await pool.close();
    }
    write(file, Object.fromEntries(stacks.map((stack) => [keys.get(stack), digests.get(stack)])));
  }
  return digests;
}

/** Where stacks are declared. */
export interface Sources {
  /** Folder of the repository. */
  root: string;
  /** The environment's configuration file. */
  configFile: string;
}

/** For each stack, a hash of all files that it is made from, and of the Node that evaluates them. */
export function sourceKeys(sources: Sources, stacks: readonly string[]): Map<string, string> {
  const program = programHash(sources.root);
  return new Map(stacks.map((stack) => [stack, keyOf({ ...sources, program }, stack)]));
}

function keyOf({ root, configFile, program }: Sources & { program: string }, stack: string): string {
  const { environment, part } = parseStackName(stack);
  const files = [
    configFile,
    join(root, CATALOG_FILE),
    ...(part.kind === "spaces" ? [join(root, tenantsFolder(environment), `${part.tenantsFile}.yaml`)] : []),
  ];
  return hashOf(files, `${stack} ${process.version} ${program}`);
}

/** A hash of the program: of every file that is no data. */
function programHash(root: string): string {
  const top = readdirSync(root).filter(
    (name) => name !== "node_modules" && isInput(name) && isInput(`${name}/`),
  );
  const files = top.flatMap((name) =>
    isFolder(join(root, name))
      ? readdirSync(join(root, name), { recursive: true, encoding: "utf8" }).map((file) => join(name, file))
      : [name],
  );
  const program = files.filter((file) => isInput(file) && !isData(file)).sort();
  return hashOf(
    program.map((file) => join(root, file)),
    "",
  );
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function hashOf(files: readonly string[], first: string): string {
  const hash = createHash("sha256").update(first);
  for (const path of files) {
    // A link to a folder is no file; nor is one that was just deleted.
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) continue;
    hash.update(`\0${path}\0`).update(readFileSync(path));
  }
  return hash.digest("hex");
}

function read(file: string): z.infer<typeof remembered> {
  try {
    return remembered.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return {};
  }
}

/** Renamed into place: two rollouts may run at once, or this one may be killed. */
function write(file: string, content: unknown): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(content));
  renameSync(`${file}.${process.pid}`, file);
}
