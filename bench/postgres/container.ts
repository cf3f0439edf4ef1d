// Runs in the container of `npm run bench:postgres`, as root. Creates the databases, then measures each way to run
// them. Reads the task as JSON from standard input and prints the figures as JSON. Imports only Node's modules: the
// container has no node_modules.
import { execFileSync, spawn, type StdioOptions } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Busy, Figures, Load, Rates, Task, Way } from "./measurements.ts";

const FOLDER = "/var/lib/bench";
const DATA = join(FOLDER, "data");
const BIN = "/usr/lib/postgresql/17/bin";
const HERE = import.meta.dirname;
const PORT = { postgres: 5432, pooler: 6432 };

/** Runs a program as postgres, with text on its standard input. Returns its output. */
function asPostgres(command: string, args: string[], input = ""): string {
  return execFileSync("runuser", ["-u", "postgres", "--", command, ...args], {
    cwd: FOLDER,
    encoding: "utf8",
    input,
    maxBuffer: 2 ** 28,
    stdio: ["pipe", "pipe", "inherit"],
  });
}

const PSQL = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", FOLDER];
const psql = (database: string, sql: string) => asPostgres("psql", [...PSQL, "-d", database], sql);

function write(name: string, text: string): void {
  const path = join(FOLDER, name);
  writeFileSync(path, text, { mode: 0o600 });
  execFileSync("chown", ["postgres:postgres", path]);
}

// What all ways have in common: paths, TLS as in production, and nothing that needs another machine.
const PLACE = `
data_directory = '${DATA}'
hba_file = '${FOLDER}/pg_hba.conf'
ident_file = '${FOLDER}/pg_ident.conf'
external_pid_file = ''
unix_socket_directories = '${FOLDER}'
listen_addresses = '127.0.0.1'
port = ${PORT.postgres}
ssl = on
ssl_cert_file = '${FOLDER}/cert.pem'
ssl_key_file = '${FOLDER}/key.pem'
ssl_ca_file = '${FOLDER}/cert.pem'
ssl_min_protocol_version = 'TLSv1.3'
archive_mode = off
log_destination = stderr
`;

/** The same shares of memory as in infra/postgres/install.sh, which writes this file on a real node. */
function machineConfiguration(): string {
  const memory = Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) / 1024;
  const share = (percent: number) => Math.floor((memory * percent) / 100 / 128) * 128;
  return `shared_buffers = '${share(25)}MB'\neffective_cache_size = '${share(70)}MB'\nmax_wal_size = '4GB'\n`;
}

function prepare(settings: string): void {
  mkdirSync(FOLDER, { recursive: true });
  execFileSync("chown", ["postgres:postgres", FOLDER]);
  execFileSync("ip", ["link", "set", "lo", "up"]);
  const certificate =
    "-newkey ed25519 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost";
  execFileSync("openssl", `req -x509 ${certificate} -keyout key.pem -out cert.pem`.split(" "), {
    cwd: FOLDER,
    stdio: "ignore",
  });
  execFileSync("chown", ["postgres:postgres", join(FOLDER, "key.pem")]);
  // Clients read the certificate, whichever user they are.
  execFileSync("chmod", ["755", FOLDER]);
  write("pg_ident.conf", "");
  write(
    "pg_hba.conf",
    "local all postgres peer\nlocal sameuser all scram-sha-256\nhostssl sameuser all 127.0.0.1/32 scram-sha-256\n",
  );
  write("machine.conf", machineConfiguration());
  write("chosen.conf", `${settings}\n${PLACE}`);
  // To create 2,000 databases: nothing of this is measured.
  write(
    "fill.conf",
    `${settings}\n${PLACE}\nfsync = off\nfull_page_writes = off\nwal_level = minimal\nmax_wal_senders = 0\nautovacuum = off\n`,
  );
  asPostgres(join(BIN, "initdb"), [
    "-D",
    DATA,
    "--auth=peer",
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
  ]);
  write("defaults.conf", `${readFileSync(join(DATA, "postgresql.conf"), "utf8")}\n${PLACE}`);
}

async function startServer(configuration: string): Promise<void> {
  pgCtl("start", "-l", `${configuration}.log`, "-o", `-c config_file=${FOLDER}/${configuration}.conf`);
  await sleep(500);
}

function stopServer(): void {
  pgCtl("stop", "-m", "fast");
}

function pgCtl(verb: string, ...options: string[]): void {
  asPostgres(join(BIN, "pg_ctl"), [verb, "-w", "-s", "-t", "120", "-D", DATA, ...options]);
}

/** Sets the passwords under the running settings, which say how often each is hashed. */
function setPasswords(spaces: number, seed: string): void {
  const iterations = psql("postgres", "SHOW scram_iterations").trim();
  if (iterations === stored) return;
  const lines = Array.from({ length: spaces }, (_, index) => {
    const name = nameOf(index);
    return `ALTER ROLE "${name}" PASSWORD '${passwordOf(name, seed)}';`;
  });
  psql("postgres", ["BEGIN;", ...lines, "COMMIT;"].join("\n"));
  stored = iterations;
}
let stored = "";

const passwordOf = (space: string, seed: string) => createHmac("sha256", seed).update(space).digest("hex");

/**
 * Creates databases from a template, each with its role, as many as the time allows. Connects once to each, so that its
 * statistics begin. Returns how many databases there are, and how many files each has.
 */
async function fill(task: Task, seed: string): Promise<{ spaces: number; files: number }> {
  await startServer("fill");
  psql("postgres", "CREATE DATABASE small;");
  psql("small", readFileSync(join(HERE, "space.sql"), "utf8"));
  psql(
    "small",
    `DO $$ DECLARE t regclass; BEGIN
      FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') LOOP
        EXECUTE format('GRANT ALL ON %s TO PUBLIC', t);
      END LOOP; END $$;
    VACUUM (FREEZE, ANALYZE);`,
  );
  const SESSIONS = 4;
  const DATABASES = 25;
  let made = 0;
  while (made < task.spaces && seconds() < task.fillSeconds) {
    const sessions = Array.from({ length: SESSIONS }, async () => {
      const names = Array.from({ length: Math.min(DATABASES, task.spaces - made) }, () => nameOf(made++));
      const child = spawn("runuser", ["-u", "postgres", "--", "psql", ...PSQL, "-d", "postgres"], {
        cwd: FOLDER,
        stdio: ["pipe", "ignore", "inherit"],
      });
      child.stdin.end(
        names
          .map(
            (name) => `CREATE ROLE "${name}" LOGIN CONNECTION LIMIT 30;
              CREATE DATABASE "${name}" OWNER "${name}" TEMPLATE small STRATEGY file_copy;`,
          )
          .join("\n"),
      );
      return once(child, "exit");
    });
    const ends = await Promise.all(sessions);
    if (ends.some(([status]) => status !== 0)) throw new Error("a database could not be made");
  }
  setPasswords(made, seed);
  await load({ workers: 8, visit: 1, seconds: 0, holdMs: 0, each: true }, PORT.postgres, made, seed, 0);
  const oid = psql("postgres", `SELECT oid FROM pg_database WHERE datname = '${nameOf(0)}'`).trim();
  stopServer();
  return { spaces: made, files: readdirSync(join(DATA, "base", oid)).length };
}

const nameOf = (space: number) => `space-${space}`;

/** Lets PHP workers make requests, and waits until they end. */
async function load(
  shape: Load,
  port: number,
  spaces: number,
  seed: string,
  round: number,
): Promise<LoadFigures> {
  const folder = join(FOLDER, "load");
  mkdirSync(folder, { recursive: true });
  const stdio: StdioOptions = ["pipe", "pipe", "inherit"];
  const child = spawn("php", ["-d", "memory_limit=-1", join(HERE, "load.php")], { stdio });
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stdin?.end(
    JSON.stringify({
      each: false,
      ...shape,
      port,
      spaces,
      seed,
      round,
      folder,
      ca: join(FOLDER, "cert.pem"),
    }),
  );
  await once(child, "close");
  const figures: LoadFigures = JSON.parse(output);
  return figures;
}

interface LoadFigures {
  requests: number;
  seconds: number;
  connect50: number;
  total50: number;
  total99: number;
  refused: number;
  refusals: Record<string, number>;
}

interface Processes {
  /** Seconds of processor time so far, including processes that have ended. */
  cpu: number;
  /** MB that belong to no other process: private memory and page tables. */
  megabytes: number;
  count: number;
}

/** The sum of all processes of a program. */
function processes(program: string): Processes {
  const sum = { cpu: 0, megabytes: 0, count: 0 };
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      if (!stat.includes(`(${program})`)) continue;
      const fields = stat
        .slice(stat.lastIndexOf(")") + 2)
        .split(" ")
        .map(Number);
      // utime, stime, cutime, cstime: the time of ended backends counts for their parent.
      sum.cpu += [11, 12, 13, 14].reduce((total, index) => total + (fields[index] ?? 0), 0) / 100;
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      for (const field of ["RssAnon", "VmPTE"])
        sum.megabytes += Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) / 1024;
      sum.count += 1;
    } catch {
      // The process has just ended.
    }
  return sum;
}

const both = () => ({ server: processes("postgres"), pooler: processes("pgbouncer") });

function startPooler(mode: string): void {
  const users = psql(
    "postgres",
    `SELECT format('"%s" "%s"', rolname, rolpassword) FROM pg_authid WHERE rolname ~ '^space-'`,
  );
  write("userlist.txt", users);
  write(
    "pgbouncer.ini",
    `[databases]
* = host=${FOLDER} port=${PORT.postgres}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${PORT.pooler}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${FOLDER}/userlist.txt
client_tls_sslmode = require
client_tls_cert_file = ${FOLDER}/cert.pem
client_tls_key_file = ${FOLDER}/key.pem
client_tls_protocols = tlsv1.3
pool_mode = ${mode}
default_pool_size = 30
max_client_conn = 2000
# There is no limit for all databases together: it is this that keeps the sum below max_connections.
server_idle_timeout = ${IDLE_SECONDS}
logfile = ${FOLDER}/pgbouncer.log
pidfile = ${FOLDER}/pgbouncer.pid
log_connections = 0
log_disconnections = 0
`,
  );
  execFileSync("runuser", [
    "-u",
    "postgres",
    "--",
    "/usr/sbin/pgbouncer",
    "-d",
    "-q",
    join(FOLDER, "pgbouncer.ini"),
  ]);
}
const IDLE_SECONDS = 5;

async function stopPooler(): Promise<void> {
  const file = join(FOLDER, "pgbouncer.pid");
  if (!existsSync(file)) return;
  process.kill(Number(readFileSync(file, "utf8")), "SIGTERM");
  while (processes("pgbouncer").count > 0) await sleep(50);
  rmSync(file, { force: true });
}

async function measure(way: Way, task: Task, spaces: number, seed: string, round: number): Promise<Figures> {
  await startServer(way.settings);
  setPasswords(spaces, seed);
  if (way.pooler) startPooler(way.pooler);
  const port = way.pooler ? PORT.pooler : PORT.postgres;
  const run = (shape: Load, seedOfSpaces: number) => load(shape, port, spaces, seed, seedOfSpaces);
  try {
    // Warm the caches.
    await run({ ...task.pages, seconds: 2 }, 100 + round);
    const pages = await busy(() => run(task.pages, round));
    const polls = await busy(() => run(task.polls, round));
    const crowd = await crowded(run(task.crowd, round));
    return {
      pages: pages.figures,
      polls: polls.figures,
      crowd: crowd.figures,
      idleCpuPercent: way.pooler ? undefined : await idleCpuPercent(task.idleSeconds),
      refusals: Object.keys({ ...pages.refusals, ...polls.refusals, ...crowd.refusals }),
    };
  } finally {
    await stopPooler();
    stopServer();
  }
}

async function busy(run: () => Promise<LoadFigures>) {
  const before = both();
  const found = await run();
  const after = both();
  const cpuMs = (part: "server" | "pooler") => ((after[part].cpu - before[part].cpu) * 1000) / found.requests;
  const figures: Busy = { ...rates(found), serverCpuMs: cpuMs("server"), poolerCpuMs: cpuMs("pooler") };
  return { figures, refusals: found.refusals };
}

/** Measures all processes during the load, and keeps the highest figures. */
async function crowded(run: Promise<LoadFigures>) {
  let peak = both();
  const looking = setInterval(() => {
    const now = both();
    if (now.server.megabytes > peak.server.megabytes) peak = now;
  }, 700);
  const found = await run;
  clearInterval(looking);
  const { server, pooler } = peak;
  return {
    figures: {
      ...rates(found),
      processes: server.count,
      serverMb: server.megabytes,
      poolerMb: pooler.megabytes,
    },
    refusals: found.refusals,
  };
}

/** CPU of the server without requests: mostly autovacuum. */
async function idleCpuPercent(seconds: number): Promise<number> {
  await sleep(1000);
  const before = processes("postgres");
  await sleep(seconds * 1000);
  return ((processes("postgres").cpu - before.cpu) * 100) / seconds;
}

function rates({ requests, seconds, connect50, total50, total99, refused }: LoadFigures): Rates {
  return {
    perSecond: requests / seconds,
    connect50,
    total50,
    total99,
    refusedPercent: (refused * 100) / Math.max(1, refused + requests),
  };
}

const task: Task = JSON.parse(readFileSync(0, "utf8"));
const seed = randomBytes(16).toString("hex");
const started = performance.now();
const seconds = () => (performance.now() - started) / 1000;
const say = (text: string) => console.error(`${seconds().toFixed(0)} s: ${text}`);
prepare(task.chosen);
const { spaces, files } = await fill(task, seed);
say(`${spaces} databases made`);
const figures: Figures[][] = task.ways.map(() => []);
// In rounds, not one way after the other: so other load on this machine affects all ways.
let longest = 0;
for (let round = 1; round <= task.rounds && seconds() + longest < task.seconds; round++) {
  const start = seconds();
  for (const [index, way] of task.ways.entries()) {
    figures[index]?.push(await measure(way, task, spaces, seed, round));
    say(`round ${round}, ${way.title}`);
  }
  longest = Math.max(longest, seconds() - start);
}
console.log(
  JSON.stringify({
    figures,
    spaces,
    files,
    versions: [
      asPostgres(join(BIN, "postgres"), ["--version"]).trim(),
      execFileSync("/usr/sbin/pgbouncer", ["--version"], { encoding: "utf8" }).split("\n")[0],
    ],
  }),
);
