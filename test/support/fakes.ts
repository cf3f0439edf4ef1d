// Fakes for the commands that our shell programs call. Tests put them on the PATH of the programs.
import { execaSync } from "execa";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** Writes a bash script to the executable `file`, and replaces an earlier one. */
export function fake(file: string, script: string): void {
  writeFileSync(file, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
}

/** Whether these tools, which have no fake, are on PATH. */
export function onPath(...tools: string[]): boolean {
  return tools.every((tool) => execaSync("which", [tool], { reject: false }).exitCode === 0);
}

/** lib.sh as the scripts of web-1 start with it. It keeps its marks in `folder`. */
export function libIn(folder: string): string {
  const lib = programLibrary() + sourceOf("infra/machine/lib.sh");
  return `MACHINE=web-1\n${lib.replace("/var/lib/framaspace/pending", join(folder, "pending"))}`;
}

/**
 * Fakes the commands that a program calls. Writes each, given as shell, to `bin` of the folder that replaces the
 * machine. The commands know this folder as `$ROOT`.
 */
export function fakeCommands(root: string, commands: Readonly<Record<string, string>>): void {
  for (const [name, body] of Object.entries({ logger: LOGGER, ...commands }))
    fake(join(root, "bin", name), `ROOT=${root}\n${body}`);
}

/** Logs nothing on the machine that runs the tests. A test that makes the file `logged` finds each line in it. */
const LOGGER = '[ ! -e "$ROOT/logged" ] || while read -r line; do echo "$2 $line" >>"$ROOT/logged"; done';

/** The fake of zstd packs nothing. */
export const ZSTD =
  'case " $* " in *" -o "*) while [ "$1" != -o ]; do shift; done; cat >"$2" ;; *-qdc*) cat "${@: -1}" ;; esac';

/**
 * The text of one of our programs or libraries by its name on the machines, or of a script by its path in this
 * repository.
 */
export function sourceOf(name: string): string {
  const [found] = name.includes("/")
    ? [name]
    : globSync(`{infra,spaces}/*/rootfs*/usr/local/{sbin,lib/framaspace}/${name}`, { cwd: ROOT });
  if (found === undefined) throw new Error(`no rootfs has a program ${name}`);
  // The test has no installed library, so its text takes the place of the line.
  return readFileSync(join(ROOT, found), "utf8").replace(/^\. .*\/program-lib\.sh$/m, () => programLibrary());
}

const programLibrary = () =>
  readFileSync(join(ROOT, "infra/machine/rootfs/usr/local/lib/framaspace/program-lib.sh"), "utf8");

/**
 * A program of ops-1 that uses a folder instead of the machine. It finds its libraries in the folder itself, the
 * commands of PostgreSQL under `bin`, and everything else at its path on the machine.
 * @param name As for `sourceOf`.
 */
export function programIn(root: string, name: string): string {
  return sourceOf(name)
    .replaceAll("/usr/local/lib/framaspace", root)
    .replaceAll(/(?<=[ ="'<>(])\/(srv|run|etc|var)(?=\/)/g, (folder) => `${root}${folder}`)
    .replace(/^PGBIN=.*$/m, `PGBIN=${join(root, "bin")}`);
}

/**
 * The same for a program in TypeScript: a shell script that starts it from its source. Its patience is one second.
 * @param words For Node.
 */
export function startOf(root: string, name: string, words: readonly string[] = []): string {
  const start = [process.execPath, ...words, join(import.meta.dirname, "start-program.ts"), root, name];
  return `#!/bin/bash\nexec ${start.join(" ")} "$@"\n`;
}
