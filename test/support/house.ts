// The house in figures: rooms and their lines, who imports whom, names that are held twice. By hand, of any version:
//   npx node test/support/house.ts [FOLDER]
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize, relative, resolve } from "node:path";

export interface House {
  /** Rooms, the largest first. A room is a folder at the top; in infra/ and spaces/, which hold most, one in there. */
  rooms: { name: string; lines: number; share: number }[];
  /** Files that import each other, directly or through others; types count. */
  circles: string[][];
  /** Rooms that import each other: without one, all arrows point downwards. */
  circlesOfRooms: string[][];
  /** The longest file of bin/, in lines. */
  longestCommand: { file: string; lines: number };
  /** Modules of one name. A command, of bin/ or of a machine, is called as what it opens. */
  names: string[][];
}

/** What is not the program: tests and texts, what tools write, data. */
const NO_PROGRAM = /^(test|docs|node_modules)\/|^\.|\.(md|json)$|^Pulumi\.[a-z]+\.yaml$|^spaces\/tenants\//;

const COMMAND = /^bin\/|\/rootfs[^/]*\//;

/** Measures a folder that holds this repository. */
export function measure(folder: string): House {
  const root = resolve(folder);
  const files = globSync("**/*", {
    cwd: root,
    withFileTypes: true,
    exclude: ["node_modules", ".git", ".lab"],
  })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(root, join(parentPath, name)))
    .filter((file) => !NO_PROGRAM.test(file));
  const linesOf = (file: string) => readFileSync(join(root, file), "utf8").split("\n").length - 1;
  const lines = new Map(files.map((file) => [file, linesOf(file)]));
  const total = [...lines.values()].reduce((sum, count) => sum + count, 0);
  const modules = files.filter((file) => file.endsWith(".ts"));
  const imports = new Map(modules.map((file) => [file, importsOf(root, file)]));
  const byRoom = new Map<string, Set<string>>();
  const sizes = new Map<string, number>();
  for (const [file, count] of lines) sizes.set(roomOf(file), (sizes.get(roomOf(file)) ?? 0) + count);
  for (const [file, others] of imports) {
    const known = byRoom.get(roomOf(file)) ?? new Set();
    for (const other of others) if (roomOf(other) !== roomOf(file)) known.add(roomOf(other));
    byRoom.set(roomOf(file), known);
  }
  const commands = files.filter((file) => file.startsWith("bin/"));
  const [longest = ""] = commands.sort((a, b) => (lines.get(b) ?? 0) - (lines.get(a) ?? 0));
  return {
    rooms: [...sizes]
      .map(([name, count]) => ({ name, lines: count, share: count / total }))
      .sort((a, b) => b.lines - a.lines),
    circles: circles(imports),
    circlesOfRooms: circles(byRoom),
    longestCommand: { file: longest, lines: lines.get(longest) ?? 0 },
    names: Object.values(
      Object.groupBy(modules, (file) => basename(file)) as Record<string, string[]>,
    ).filter((same) => same.filter((file) => !COMMAND.test(file)).length > 1),
  };
}

/** A file at the top is a room of its own. */
function roomOf(file: string): string {
  const [top = "", second = "", ...rest] = file.split("/");
  return ["infra", "spaces"].includes(top) && rest.length > 0 ? `${top}/${second}` : top;
}

function importsOf(root: string, file: string): Set<string> {
  const text = readFileSync(join(root, file), "utf8");
  const paths = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.\.?\/[^"]+)"/g)].map(
    ([, path = ""]) => path,
  );
  return new Set(
    paths.map((path) => normalize(join(dirname(file), path))).filter((path) => path.endsWith(".ts")),
  );
}

/** The strongly connected parts of a graph with more than one member (Tarjan's algorithm). */
function circles(graph: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const lowOf = (node: string) => low.get(node) ?? 0;
  const visit = (node: string): void => {
    index.set(node, index.size);
    low.set(node, index.size - 1);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(lowOf(node), lowOf(next)));
    }
    if (lowOf(node) !== index.get(node)) return;
    const part = stack.splice(stack.indexOf(node));
    if (part.length > 1) found.push(part.sort());
  };
  for (const node of graph.keys()) if (!index.has(node)) visit(node);
  return found;
}

if (import.meta.main) {
  const house = measure(process.argv[2] ?? ".");
  console.log(`rooms, by lines (${house.rooms.reduce((sum, { lines }) => sum + lines, 0)} in all):`);
  for (const { name, lines, share } of house.rooms)
    console.log(`  ${String(lines).padStart(5)}  ${(share * 100).toFixed(1).padStart(4)} %  ${name}`);
  const list = (title: string, found: readonly string[][]) =>
    console.log(
      `${title}: ${found.length === 0 ? "none" : `\n${found.map((one) => `  ${one.join(", ")}`).join("\n")}`}`,
    );
  list("circles of files", house.circles);
  list("circles of rooms", house.circlesOfRooms);
  list("modules of one name", house.names);
  console.log(`longest file of bin/: ${house.longestCommand.file}, ${house.longestCommand.lines} lines`);
}
