// Copies this tree into a new folder, for tests that change its files: tenants files of labs, and faults for
// sabotage.ts.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { cp, mkdtemp, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** The folder, with every file that git tracks or does not ignore, and the packages of this tree. */
export async function copyTree(name: string): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), `framaspace-${name}-`));
  const list = ["ls-files", "--cached", "--others", "--exclude-standard"];
  const { stdout } = await execa("git", list, { cwd: ROOT });
  for (const file of stdout.split("\n"))
    if (existsSync(join(ROOT, file))) await cp(join(ROOT, file), join(tree, file));
  await symlink(join(ROOT, "node_modules"), join(tree, "node_modules"));
  return tree;
}
