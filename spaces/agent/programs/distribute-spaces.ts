// distribute-spaces [ID]: copies the directory of one space, or of all, to every web server. Prints the names of those
// that it did not reach. A timer runs it for all spaces, so that a web server that is new, or was unreachable, gets what
// it missed. A web server that takes no connection is noted as unreachable and left to the timer, so that nobody else
// waits for it.
import { randomUUID } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { sayLine } from "../../../infra/machine/programs/callers.ts";
import type { Places } from "./places.ts";
import type { Result } from "../../../infra/machine/programs/program.ts";
import { idsIn, isId } from "./read-space.ts";
import { handoverIn } from "./space-directory.ts";
import { run, succeeds, type Descriptors } from "../../../infra/machine/programs/run-command.ts";
import { ProgramError } from "../../../infra/machine/programs/program-error.ts";

export async function distributeSpaces(places: Places, [id]: readonly string[]): Promise<Result> {
  if (id !== undefined && !isId(id))
    throw new ProgramError("distribute-spaces", "write distribute-spaces or distribute-spaces ID");
  const missed = await copyToWebServers(places, id);
  return { output: missed.map((web) => `${web}\n`).join(""), status: missed.length > 0 ? 1 : 0 };
}

export interface CopyOptions {
  /** Whether the temporary files on web servers go, too. Another user's are in the way: Nextcloud makes folders there. */
  emptyTmp?: boolean;
}

/**
 * Copies the directory of one space, or of all. Resolves to the web servers that it did not reach.
 * @param locks What the copying holds, too.
 */
export async function copyToWebServers(
  places: Places,
  id: string | undefined,
  locks: Descriptors = {},
  options: CopyOptions = {},
): Promise<string[]> {
  mkdirSync(`${places.run}/unreachable`, { recursive: true });
  const missed = await Promise.all(
    webServersOf(places).map(async (web) =>
      (await push(places, web, { id, locks, ...options })) ? [] : [web],
    ),
  );
  return missed.flat().sort();
}

export const webServersOf = ({ webServers }: Places): string[] =>
  readFileSync(webServers, "utf8").split("\n").filter(Boolean);

const markOf = ({ run: folder }: Places, web: string) => `${folder}/unreachable/${web}`;
export const isUnreachable = (places: Places, web: string) => existsSync(markOf(places, web));

const RSYNC = [
  "rsync",
  ..."--recursive --links --perms --times --owner --group --numeric-ids --delete --timeout=60".split(" "),
  // What PHP writes on a web server stays there. Perishable (p): a directory that is deleted takes it along.
  "--filter=+ /*/data/.ncdata",
  "--filter=-p /*/data/**",
  // converge-space is still building these.
  "--filter=- .new.*",
  // Never delete a whole space: if this machine lost its copies, the web servers must not lose theirs.
  "--filter=P /*",
];
const KEEP_TMP = "--filter=-p /*/tmp/**";

/**
 * Copies to one web server. Resolves to whether it did. A copy of all spaces and a copy of one exclude each other. Else a
 * list of files from before a change of a space would undo the change. flock keeps the lock until rsync ends, also if
 * this program is killed, and from ssh, which leaves a process behind that keeps the connection.
 */
async function push(
  places: Places,
  web: string,
  { id, locks, emptyTmp = false }: CopyOptions & { id: string | undefined; locks: Descriptors },
): Promise<boolean> {
  if (id !== undefined && isUnreachable(places, web)) return false;
  const lock = [id === undefined ? "--exclusive" : "--shared", "--timeout", "60", "--close"];
  const source = id === undefined ? [`${places.spaces}/`] : ["--relative", `${places.spaces}/./${id}`];
  const leftOut = id === undefined ? changingHands(places).map((one) => `--filter=- /${one}`) : [];
  const copy = [
    ...RSYNC,
    ...leftOut,
    ...(emptyTmp ? [] : [KEEP_TMP]),
    `--rsh=ssh -F ${places.distributeSsh}`,
    ...source,
    `root@${web}:`,
  ];
  const words = [...lock, `${places.run}/distribute-${web}.lock`, ...copy];
  const { status, said } = await runQuietly(places, "flock", words, locks);
  for (const line of said.split("\n").filter(Boolean)) sayLine(`${web}: ${line}`);
  if (status === 0) rmSync(markOf(places, web), { force: true });
  else if (!(await takesConnections(web))) writeFileSync(markOf(places, web), "");
  return status === 0;
}

/** Spaces that get another user: finish-spaces copies each of them, whole. */
const changingHands = ({ undistributed }: Places) =>
  idsIn(undistributed).filter((id) => handoverIn(`${undistributed}/${id}`));

/** Runs a command, and gives what it says. A file takes that: the process that ssh leaves behind may keep a pipe open. */
async function runQuietly(
  places: Places,
  command: string,
  words: readonly string[],
  locks: Descriptors,
): Promise<{ status: number; said: string }> {
  const file = `${places.run}/.said-${randomUUID()}`;
  const log = openSync(file, "wx+", 0o600);
  rmSync(file);
  try {
    const { status } = await run(command, words, { log, locks });
    const said = Buffer.alloc(fstatSync(log).size);
    readSync(log, said, 0, said.length, 0);
    return { status, said: said.toString("utf8") };
  } finally {
    closeSync(log);
  }
}

const takesConnections = (web: string) =>
  succeeds("timeout", ["3", "bash", "-c", 'true <"/dev/tcp/$0/22"', web], { errors: "ignore" });
