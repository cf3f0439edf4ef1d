// Workers: machines that run the code of spaces which no visitor asked for, as the space's own Unix user. They keep
// nothing: what a command needs of the space comes with it (spaces/agent/rootfs-worker/usr/local/sbin/run-as-space), so
// any worker will do.
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { randomUUID } from "node:crypto";
import { sayLine } from "../../../infra/machine/programs/callers.ts";
import { ProgramError } from "../../../infra/machine/programs/program-error.ts";
import type { Places } from "./places.ts";
import { read, run, type CommandOptions, type Ended } from "../../../infra/machine/programs/run-command.ts";

/** Commands that run one after the other, in one sandbox, until one fails. */
export interface WorkerRequest {
  /** Name of the directory in which they work, below /srv/spaces. */
  id: string;
  /** Number of their user. */
  user: number;
  /** The worker must have it. */
  release: string;
  /** Path below that directory → content. */
  files: Readonly<Record<string, string>>;
  env: Readonly<Record<string, string>>;
  commands: readonly (readonly string[])[];
  /** They are ended then; 0: never. */
  longestSeconds: number;
}

export type WorkerOptions = Pick<CommandOptions, "errors" | "log" | "locks">;

export const workersOf = ({ workers }: Pick<Places, "workers">): string[] =>
  readFileSync(workers, "utf8").split("\n").filter(Boolean);

/** The status of a request whose worker vanished, or that no worker took. No command ends with it. */
export const WORKER_LOST = 255;

/** For so long nobody asks a worker again that took no connection, as long as there is another one. */
const UNREACHABLE_SECONDS = 60;

/**
 * Runs commands on a worker, and resolves to the status of the last one and to what all of them printed. The user's
 * number chooses the worker, so that spaces spread over all of them. If that one takes no connection, the next one does
 * it. Resolves to the status WORKER_LOST if a worker vanishes meanwhile, or none takes a connection.
 */
export async function runOnWorker(
  places: Places,
  request: WorkerRequest,
  options: WorkerOptions,
): Promise<Ended> {
  const workers = workersOf(places);
  const first = request.user % workers.length;
  const ordered = [...workers.slice(first), ...workers.slice(0, first)].sort(
    (one, other) => Number(isUnreachable(places, one)) - Number(isUnreachable(places, other)),
  );
  for (const worker of ordered) {
    const ended = await ask(places, worker, request, options);
    if (ended) return ended;
    mkdirSync(`${places.run}/unreachable`, { recursive: true });
    writeFileSync(markOf(places, worker), "");
  }
  return say(`no worker takes a connection (${workers.join(", ")}); see platform-health`, options);
}

const markOf = ({ run: folder }: Places, worker: string) => `${folder}/unreachable/${worker}`;

function isUnreachable(places: Places, worker: string): boolean {
  const mark = statSync(markOf(places, worker), { throwIfNoEntry: false });
  return mark !== undefined && Date.now() - mark.mtimeMs < UNREACHABLE_SECONDS * 1000;
}

/** Says it where the commands would say what is wrong. */
function say(line: string, { errors, log }: WorkerOptions): Ended {
  const descriptor = log ?? (typeof errors === "number" ? errors : undefined);
  if (descriptor !== undefined) writeSync(descriptor, `${line}\n`);
  else if (errors === "with-output") return { status: WORKER_LOST, output: `${line}\n` };
  else if (errors !== "ignore") sayLine(line);
  return { status: WORKER_LOST, output: "" };
}

/** Resolves to undefined if the worker took no connection: it has not got the request then. */
async function ask(
  places: Places,
  worker: string,
  request: WorkerRequest,
  { locks, ...options }: WorkerOptions,
): Promise<Ended | undefined> {
  const text = textOf(request);
  const input = await openInput(places, text);
  try {
    const { id, user, release, longestSeconds, commands } = request;
    // The last ones are for lists of processes.
    const words = [id, user, release, longestSeconds, text.length, ...(commands[0] ?? [])].map(String);
    // ssh closes the locks' descriptors at its start, so timeout holds them. It bounds nothing.
    const ssh = [
      "--foreground",
      "0",
      "ssh",
      "-F",
      places.workerSsh,
      "-o",
      "LogLevel=FATAL",
      worker,
      ...words,
    ];
    const ended = await run("timeout", ssh, { ...options, ...(locks && { locks }), stdin: input.toRead });
    return ended.status === WORKER_LOST && input.isUnread() ? undefined : ended;
  } finally {
    input.close();
  }
}

/** As run-as-space reads it. */
function textOf({ files, env, commands }: WorkerRequest): Buffer {
  const fields = [
    Object.keys(files).length,
    ...Object.entries(files).flat(),
    Object.keys(env).length,
    ...Object.entries(env).map(([key, value]) => `${key}=${value}`),
    ...commands.flatMap((words) => [words.length, ...words]),
  ];
  return Buffer.from(fields.map((field) => `${field}\0`).join(""));
}

/** A pipe's size, pipe(7). */
const LONGEST_REQUEST = 65_536;

/**
 * A pipe with the request, which stays open as long as ssh runs: ssh has both ends. So the commands go on if this
 * program is killed, as all that it starts does, and end if ssh is.
 */
async function openInput(places: Places, text: Buffer) {
  if (text.length > LONGEST_REQUEST)
    throw new ProgramError("request", `of ${text.length} bytes; a pipe takes ${LONGEST_REQUEST}`);
  const path = `${places.run}/.request-${randomUUID()}`;
  await read("mkfifo", ["-m", "0600", path]);
  const toRead = openSync(path, "r+");
  const look = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  rmSync(path);
  writeSync(toRead, text);
  return {
    toRead,
    isUnread: () => {
      try {
        return readSync(look, Buffer.alloc(1)) > 0;
      } catch {
        return false;
      }
    },
    close: () => {
      for (const descriptor of [toRead, look]) closeSync(descriptor);
    },
  };
}
