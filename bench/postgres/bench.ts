// Measures PostgreSQL with 2,000 small databases and the short connections of PHP-FPM, in three ways side by side:
// PostgreSQL's defaults, the settings of infra/postgres/postgres.ts, and these with PgBouncer. It runs in its own
// container, on the lab's Debian 13, over loopback. So the versions are production's, and nothing stays on this
// machine. Needs root; takes at most eight minutes. The results are in docs/decisions/0017-pooler.md.
import { execa, type Options } from "execa";
import { mkdtemp, readFile, statfs } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { prepareHost } from "../../lab/host.ts";
import { leftovers } from "../../plan/temporary-folders.ts";
import { UserError } from "../../validation/user-error.ts";
import { makeSystem, runInside } from "./system.ts";
import { printFigures } from "./tables.ts";
import { LIMIT_MINUTES, makeTask } from "./task.ts";

const PREFIX = "framaspace-bench-postgres-";
/** A database takes 9 MB. WAL and the system need space too. */
const GIGABYTES_NEEDED = (spaces: number) => Math.ceil((spaces * 9) / 1000) + 8;

/**
 * Measures, and prints the figures. Throws a UserError if it cannot: not root, too little disk, not done in time, or
 * stopped by a signal.
 */
export async function benchPostgres(spaces: number, rounds: number): Promise<void> {
  if (process.getuid?.() !== 0) throw new UserError("Run it as root: it starts a container.");
  const task = makeTask(spaces, rounds);
  await prepareHost((text) => console.error(text));
  for (const left of leftovers(PREFIX)) await remove(left);
  const { bavail, bsize } = await statfs(tmpdir());
  const free = (bavail * bsize) / 1e9;
  if (free < GIGABYTES_NEEDED(task.spaces))
    throw new UserError(
      `${tmpdir()} has ${free.toFixed(0)} GB free, ${GIGABYTES_NEEDED(task.spaces)} are needed; set TMPDIR to another folder, or take fewer: -- --spaces 500`,
    );
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  const options: Options = { cancelSignal: stop.signal, forceKillAfterDelay: 1000 };
  const loads = loadavg();
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  try {
    const system = await makeSystem(folder, options);
    const timer = setTimeout(
      () =>
        stop.abort(new Error(`not done after ${LIMIT_MINUTES} minutes; take fewer rounds: -- --rounds 1`)),
      LIMIT_MINUTES * 60_000,
    );
    const result = await runInside(system, task, options).finally(() => clearTimeout(timer));
    printFigures(task, result, await describeMachine(), loads);
  } catch (error) {
    const reason: unknown = stop.signal.reason;
    throw reason instanceof Error ? new UserError(reason.message, { cause: error }) : error;
  } finally {
    await remove(folder);
  }
}

/** Uses rm: Node would keep the names of a million files in memory. */
const remove = (path: string) => execa("rm", ["-rf", path]);

async function describeMachine(): Promise<string> {
  const model = /^model name\s*: (.*)$/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1] ?? process.arch;
  return `${availableParallelism()} cores (${model}), ${Math.round(totalmem() / 2 ** 30)} GB`;
}
