// Applies one stack: makes it if it is missing, runs `up`, removes the lock that a killed `up` left, takes over what
// such an `up` made, and notes what was applied.
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../validation/user-error.ts";
import { adopt, alreadyThere } from "./adopt.ts";
import { locksIn, type Backend, type Lock } from "./backend.ts";
import type { Choice } from "./choose-stacks.ts";
import { sourceKeys } from "./digests.ts";
import type { Line } from "./lines.ts";
import { runEngine, type Outcome } from "./engine-run.ts";

export interface Applying {
  backend: Backend;
  choice: Choice;
  logs: string;
  parallel: number;
  signal: AbortSignal;
  line: Line;
}

/** How long to wait for another `up` of the stack on this machine: as long as one may take. */
const LOCKED_MINUTES = 70;
/** A role, its database, and whatever else comes one after the other. */
const MOST_ADOPTIONS = 4;
/** The end of the CLI's output, where its events say nothing. */
const LAST_LINES = 12;
const SHOWN_FAILURES = 3;

/** Applies the stack. Resolves to why that failed; undefined if it did not. */
export async function applyStack(applying: Applying): Promise<string | undefined> {
  const { line } = applying;
  try {
    const { changed } = await tryToApply(applying);
    line.end(changed === 0 ? "nothing to change" : `${changed} changed`);
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    line.end("FAILED");
    return error.message;
  }
}

async function tryToApply({ backend, choice, logs, parallel, signal, line }: Applying): Promise<Outcome> {
  const { stack, isNew, rendered } = choice;
  if (isNew) await backend.create(stack);
  const { project } = backend;
  const once = () => runEngine("up", stack, { project, logs, parallel, signal, onProgress: line.progress });
  let outcome = await onceFree(backend, stack, line, signal, once);
  // What depends on a resource is tried only once that one is there.
  for (let times = 0; times < MOST_ADOPTIONS && !outcome.ok && !signal.aborted; times += 1) {
    const there = alreadyThere(outcome.failures);
    if (there.length === 0) break;
    const taken = await adopt(backend, stack, there);
    line.note(`the state did not know what an earlier up made; it has now: ${taken.join(", ")}`);
    outcome = await onceFree(backend, stack, line, signal, once);
  }
  if (!outcome.ok) throw new UserError(explain(outcome));
  const keys = sourceKeys(backend.project, [stack]);
  // What the engine received may be older, or newer, than what was evaluated.
  if (keys.get(stack) !== choice.key)
    line.note("its files changed meanwhile, so the next rollout applies it once more");
  else await backend.setApplied(stack, { digest: rendered.digest, at: new Date() });
  return outcome;
}

/** Runs `up`. If another one has locked the stack, waits for it, or removes its lock if it is dead. */
async function onceFree(
  backend: Backend,
  stack: string,
  line: Line,
  signal: AbortSignal,
  once: () => Promise<Outcome>,
): Promise<Outcome> {
  const end = Date.now() + LOCKED_MINUTES * 60_000;
  const isOver = () => signal.aborted || Date.now() > end;
  for (;;) {
    const outcome = await once();
    const locks = outcome.ok ? [] : locksIn(outcome.output);
    if (locks.length === 0 || isOver()) return outcome;
    const foreign = locks.find(({ host }) => host !== hostname());
    if (foreign) throw new UserError(lockedElsewhere(stack, foreign));
    const alive = locks.filter(isAlive);
    if (alive.length === 0) {
      await backend.unlock(stack);
      line.note(`removed the lock of an up that is dead (process ${locks.map(({ pid }) => pid).join(", ")})`);
      continue;
    }
    line.note(`waiting for another up of this stack (process ${alive.map(({ pid }) => pid).join(", ")})`);
    while (alive.some(isAlive) && !isOver()) await sleep(1000);
  }
}

/** Whether the lock's process still runs. Another program may have got its number since. */
function isAlive({ pid }: Lock): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("pulumi");
  } catch {
    return false;
  }
}

function lockedElsewhere(stack: string, { user, host, pid, since }: Lock): string {
  return `${stack} is locked by ${user}@${host} (process ${pid}) since ${since.toISOString()}. If that process is gone: pulumi cancel --stack ${stack} --yes`;
}

function explain({ failures, output }: Outcome): string {
  if (failures.length === 0) return output.trim().split("\n").slice(-LAST_LINES).join("\n");
  const shown = failures.slice(0, SHOWN_FAILURES).map(({ urn, message }) => {
    const name = urn?.split("::").at(-1);
    return name === undefined ? message : `${name}: ${message}`;
  });
  const more = failures.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
}
