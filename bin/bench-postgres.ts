// `npm run bench:postgres`: PostgreSQL with 2,000 small databases and the short connections of PHP-FPM, run in three
// ways side by side: PostgreSQL's defaults, the settings of infra/postgres/postgres.ts, and these with PgBouncer. In a container of
// its own on the lab's Debian 13, with loopback for a network: the versions are production's, and this machine keeps
// nothing of it. Root; at most eight minutes. What it showed is in docs/decisions/0017-pooler.md.
import { execa, type Options } from "execa";
import { cp, mkdtemp, readFile, realpath, statfs, writeFile } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { markdownTable } from "markdown-table";
import { cloudMachines } from "../infra/inventory/addresses.ts";
import { readEnvironment } from "../infra/inventory/environment-file.ts";
import { postgresFiles } from "../infra/postgres/postgres.ts";
import type { Figures, Task } from "../bench/postgres/measurements.ts";
import { prepareHost } from "../lab/host.ts";
import { mirrors, provideImage } from "../lab/image.ts";
import { leftovers } from "../plan/temporary-folders.ts";
import { median } from "../bench/median.ts";

const ROOT = join(import.meta.dirname, "..");
const PREFIX = "framaspace-bench-postgres-";
/** For making the databases and all rounds. */
const LIMIT_MINUTES = 6.5;
const PACKAGES = ["postgresql-17", "pgbouncer", "php8.4-cli", "php8.4-pgsql"];
/** A database is 9 MB; and there is WAL, and the system. */
const GIGABYTES_NEEDED = (spaces: number) => Math.ceil((spaces * 9) / 1000) + 8;

function readTask(): Task {
  const { values } = parseArgs({
    options: {
      spaces: { type: "string", default: "2000" },
      rounds: { type: "string", default: "3" },
    },
  });
  const { value: environment } = readEnvironment(ROOT, "prod");
  const [node] = environment ? cloudMachines(environment, "postgres") : [];
  if (!environment || !node) throw new Error("prod has no PostgreSQL node");
  const chosen = postgresFiles(environment, node, undefined).find(({ path }) =>
    path.endsWith("/postgresql.conf"),
  )?.content;
  if (typeof chosen !== "string") throw new Error("prod has no postgresql.conf");
  return {
    chosen,
    spaces: Number(values.spaces),
    rounds: Number(values.rounds),
    fillSeconds: 150,
    seconds: LIMIT_MINUTES * 60,
    ways: [
      { title: "PostgreSQL's defaults", settings: "defaults" },
      { title: "chosen settings", settings: "chosen" },
      { title: "chosen settings, PgBouncer", settings: "chosen", pooler: "transaction" },
    ],
    // A page in a browser; a client that asks whether something has changed.
    pages: { workers: 16, visit: 10, seconds: 6, holdMs: 0 },
    polls: { workers: 16, visit: 1, seconds: 6, holdMs: 0 },
    // PHP workers of prod's two web servers (web.sh: 218 each), all in requests that wait for something slow.
    crowd: { workers: 436, visit: 1, seconds: 8, holdMs: 6000 },
    idleSeconds: 6,
  };
}

/** By rm: Node would hold the names of a million files. */
const remove = (path: string) => execa("rm", ["-rf", path]);

/** A copy of the lab's image with what is measured: images go when no lab stands on them. */
async function makeSystem(folder: string, options: Options): Promise<string> {
  const system = join(folder, "system");
  await execa(
    "cp",
    ["-a", await provideImage((step) => console.error(`base image: ${step}`)), system],
    options,
  );
  await cp("/etc/resolv.conf", join(system, "etc/resolv.conf"), { dereference: true, force: true });
  await writeFile(join(system, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  const { proxy } = await mirrors();
  const apt = await execa(
    "chroot",
    [system, ..."apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 install".split(" "), ...PACKAGES],
    {
      ...options,
      all: true,
      reject: false,
      env: { DEBIAN_FRONTEND: "noninteractive", ...(proxy === "" ? {} : { http_proxy: proxy }) },
    },
  );
  if (apt.failed)
    throw new Error(`apt could not install ${PACKAGES.join(" ")}:\n${String(apt.all).slice(-2000)}`);
  return system;
}

interface Result {
  figures: Figures[][];
  versions: string[];
  spaces: number;
  /** In each database. */
  files: number;
}

/** Runs bench/postgres/container.ts in a container, which ends with this process, however that ends. */
async function runInside(system: string, task: Task, options: Options): Promise<Result> {
  const node = await realpath(process.execPath);
  const container = execa(
    "setpriv",
    [
      ..."--pdeathsig KILL systemd-nspawn -q --register=no --keep-unit --as-pid2 --pipe --private-network".split(
        " ",
      ),
      `--directory=${system}`,
      `--bind-ro=${node}:/usr/local/bin/node`,
      `--bind-ro=${join(ROOT, "bench/postgres")}:/bench`,
      "node",
      "/bench/container.ts",
    ],
    {
      ...options,
      input: JSON.stringify(task),
      env: { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1" },
      stderr: "pipe",
      reject: false,
    },
  );
  for await (const line of container.iterable({ from: "stderr" })) console.error(line);
  const { failed, stdout, shortMessage } = await container;
  if (failed) throw new Error(shortMessage);
  const result: Result = JSON.parse(String(stdout));
  return result;
}

/** A table: one line for each way, one column for each figure. */
function print(
  title: string,
  task: Task,
  figures: Figures[][],
  columns: Record<string, (one: Figures) => number | undefined>,
): void {
  const lines = task.ways.map(({ title }, index) => [
    title,
    ...Object.values(columns).map((of) => {
      const value = median((figures[index] ?? []).flatMap((one) => of(one) ?? []));
      return Number.isNaN(value) ? "–" : value.toFixed(value < 100 ? 1 : 0);
    }),
  ]);
  const align = ["l", ...Object.keys(columns).map(() => "r")];
  console.log(`\n${title}:\n\n${markdownTable([["", ...Object.keys(columns)], ...lines], { align })}`);
}

async function describeMachine(): Promise<string> {
  const model = /^model name\s*: (.*)$/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1] ?? process.arch;
  return `${availableParallelism()} cores (${model}), ${Math.round(totalmem() / 2 ** 30)} GB`;
}

function report(
  task: Task,
  { figures, versions, spaces, files }: Result,
  machine: string,
  loads: number[],
): void {
  const { pages, crowd } = task;
  console.log(
    `${versions.join(", ")}; ${machine}, which clients, server and pooler share. ${spaces} databases of ${files} files; medians of ${figures[0]?.length} rounds. Load of the machine before: ${loads[0]?.toFixed(1)}; above 0.5, times and rates are worth less than CPU and memory.`,
  );
  for (const [part, title] of [
    ["pages", `Pages: ${pages.workers} workers, a space at random for ${pages.visit} requests on average`],
    ["polls", "Polls: the same, each request to another space"],
  ] as const)
    print(title, task, figures, {
      "requests/s": (one) => one[part].perSecond,
      "connect p50, ms": (one) => one[part].connect50,
      "request p50, ms": (one) => one[part].total50,
      "p99, ms": (one) => one[part].total99,
      "refused, %": (one) => one[part].refusedPercent,
      "CPU of the server, ms/request": (one) => one[part].serverCpuMs,
      "of the pooler": (one) => one[part].poolerCpuMs,
    });
  print(
    `Crowd: ${crowd.workers} workers, each holding its connection for ${crowd.holdMs / 1000} s more (not counted)`,
    task,
    figures,
    {
      "requests/s": (one) => one.crowd.perSecond,
      "request p50, ms": (one) => one.crowd.total50,
      "p99, ms": (one) => one.crowd.total99,
      "refused, %": (one) => one.crowd.refusedPercent,
      "server's processes": (one) => one.crowd.processes,
      "their own memory, MB": (one) => one.crowd.serverMb,
      "pooler's, MB": (one) => one.crowd.poolerMb,
      "CPU without a request, %": (one) => one.idleCpuPercent,
    },
  );
  const refusals = new Set(figures.flat().flatMap((one) => one.refusals));
  if (refusals.size > 0)
    console.log(`\nRefused with:\n${[...refusals].map((text) => `- ${text}`).join("\n")}`);
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error("Run it as root: it starts a container.");
  const task = readTask();
  await prepareHost((text) => console.error(text));
  for (const left of leftovers(PREFIX)) await remove(left);
  const { bavail, bsize } = await statfs(tmpdir());
  const free = (bavail * bsize) / 1e9;
  if (free < GIGABYTES_NEEDED(task.spaces))
    throw new Error(
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
    report(task, result, await describeMachine(), loads);
  } finally {
    await remove(folder);
  }
}

try {
  await main();
} catch (problem) {
  console.error(problem instanceof Error ? problem.message : problem);
  process.exitCode = 1;
}
