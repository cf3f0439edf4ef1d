// Fakes for the commands that our shell programs call, to be put on their PATH.
import { execaSync } from "execa";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** Writes a bash script that can be run as `file`, in the place of an earlier one. */
export function fake(file: string, script: string): void {
  writeFileSync(file, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
}

/** Whether these, which no fake plays, are on PATH. */
export function onPath(...tools: string[]): boolean {
  return tools.every((tool) => execaSync("which", [tool], { reject: false }).exitCode === 0);
}

/** lib.sh as the scripts of web-1 start with it, which keeps its marks in `folder`. */
export function libIn(folder: string): string {
  const lib = programLibrary() + sourceOf("infra/machine/lib.sh");
  return `MACHINE=web-1\n${lib.replace("/var/lib/framaspace/pending", join(folder, "pending"))}`;
}

/** Puts the commands that a program calls, as shell, under `bin` of a folder in the place of a machine: `$ROOT` to them. */
export function play(root: string, commands: Readonly<Record<string, string>>): void {
  for (const [name, body] of Object.entries(commands)) fake(join(root, "bin", name), `ROOT=${root}\n${body}`);
}

/** Of zstd: nothing is packed. */
export const ZSTD =
  'case " $* " in *" -o "*) while [ "$1" != -o ]; do shift; done; cat >"$2" ;; *-qdc*) cat "${@: -1}" ;; esac';

/** A program or library of ours by its name on the machines, or a script by its path in this repository. */
export function sourceOf(name: string): string {
  const [found] = name.includes("/")
    ? [name]
    : globSync(`{infra,spaces}/*/rootfs*/usr/local/{sbin,lib/framaspace}/${name}`, { cwd: ROOT });
  if (found === undefined) throw new Error(`no rootfs has a program ${name}`);
  // Where it runs, there is no machine's library.
  return readFileSync(join(ROOT, found), "utf8").replace(/^\. .*\/program-lib\.sh$/m, () => programLibrary());
}

const programLibrary = () =>
  readFileSync(join(ROOT, "infra/machine/rootfs/usr/local/lib/framaspace/program-lib.sh"), "utf8");

/**
 * A program of ops-1 with a folder in the place of the machine: it finds its libraries in the folder itself, the commands
 * of PostgreSQL under `bin`, and all else where it is on the machine.
 * @param name As for `sourceOf`.
 */
export function programIn(root: string, name: string): string {
  return sourceOf(name)
    .replaceAll("/usr/local/lib/framaspace", root)
    .replaceAll(/(?<=[ ="'<>(])\/(srv|run|etc|var)(?=\/)/g, (folder) => `${root}${folder}`)
    .replace(/^PGBIN=.*$/m, `PGBIN=${join(root, "bin")}`);
}
