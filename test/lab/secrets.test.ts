// Secrets stay where they belong. The suite brings the lab up, adds a space, suspends, resumes, upgrades and exports
// it, and makes the users of its secrets again. Meanwhile no secret may appear in a process list, in the environment of
// another user, in a log, in the output of a command, or in a file that everybody can read. The suite learns the
// secrets from the program itself, as it derives them. A canary, put into each of these places, shows that the search
// works.
import { execa } from "execa";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ed25519Pkcs8, sshKeyPair } from "../../infra/pki/keys.ts";
import { Secrets } from "../../infra/pki/secrets.ts";
import { PASSPHRASE } from "../../lab/configuration.ts";
import { openLab, leaderOf, processesIn } from "../../lab/lab.ts";
import { insideMachine, machineNames } from "../../lab/machine.ts";
import { record } from "../../evaluate/recorder.ts";
import { readStackConfiguration } from "../../evaluate/stack-configuration.ts";
import { loadFleet } from "../../spaces/fleet/load-fleet.ts";
import { DOMAIN, sharedLab as lab } from "../support/suite-lab.ts";

const ID = "pivoine";
const place = openLab(lab.name);
/** A text that is put into each place, and must be found only there. */
const CANARY = `canary-${randomBytes(24).toString("base64url")}`;

/** Text that must not appear → its owner. */
const needles = new Map<string, string>([[CANARY, "canary"]]);
/** The same texts for grep, in a file that only root reads: they must not appear in the process list of this test. */
const folder = mkdtempSync(join(tmpdir(), "framaspace-needles-"));
const NEEDLES = join(folder, "needles");

/** Every form in which a derived secret is written: password, private key of TLS or SSH, plain seed. */
function formsOf(seed: Buffer): string[] {
  const ssh = sshKeyPair(seed).privateKey.split("\n");
  const ofAnyKey = new Set(sshKeyPair(Buffer.alloc(32)).privateKey.split("\n"));
  return [
    seed.subarray(0, 30).toString("base64url"),
    ed25519Pkcs8(seed).toString("base64"),
    ...ssh.filter((line) => line.length > 30 && !ofAnyKey.has(line)),
    seed.toString("hex"),
    seed.toString("base64"),
    seed.toString("base64url"),
  ];
}

/** Every secret comes from this private method. */
interface Deriving {
  derive(owner: string, purpose: string): Buffer;
}

/**
 * Spies on the program while it derives the secrets of the lab's stacks, and reads the secrets of the configuration.
 */
async function learnSecrets(): Promise<void> {
  const spy = vi.spyOn(Secrets.prototype as unknown as Deriving, "derive");
  const configFile = join(place.directory, "Pulumi.lab.yaml");
  const fleet = loadFleet(lab.tree, "lab");
  for (const stack of ["lab-platform", ...fleet.tenantsFiles.map(({ name }) => `lab-spaces-${name}`)])
    await record({ stack, configFile, passphrase: PASSPHRASE, fleet });
  spy.mock.calls.forEach(([owner, purpose], index) => {
    const { type, value } = spy.mock.results[index] ?? {};
    // This one names a cookie, and is public.
    if (type !== "return" || !Buffer.isBuffer(value) || purpose === "nextcloud-instance") return;
    for (const form of formsOf(value)) needles.set(form, `${owner}/${purpose}`);
  });
  spy.mockRestore();
  const { values, secretKeys } = await readStackConfiguration(configFile, PASSPHRASE);
  for (const key of secretKeys) needles.set(values[key] ?? "", key);
  writeFileSync(NEEDLES, [...needles.keys()].join("\n"), { mode: 0o600 });
}

/** The owners of the secrets in a text. */
function ownersIn(text: string): string[] {
  const found = [...needles].flatMap(([needle, owner]) => (text.includes(needle) ? [owner] : []));
  return [...new Set(found)];
}

/** Where something was found: "web-1, /var/log/x: iris/postgres". */
type Finding = string;
const real = (findings: readonly Finding[]) => findings.filter((finding) => !finding.endsWith(": canary"));

/** Checks every process of the lab, again and again, until it is stopped. */
class ProcessWatch {
  readonly findings = new Set<Finding>();
  readonly #over = new AbortController();
  readonly #seen = new Map<string, string>();
  readonly #commands = new Set<string>();
  readonly #running: Promise<void>;
  rounds = 0;

  constructor() {
    this.#running = this.#watch();
  }

  async #watch(): Promise<void> {
    while (!this.#over.signal.aborted) {
      for (const pid of processesIn(place, "")) this.#look(pid);
      this.rounds++;
      await sleep(2);
    }
  }

  #look(pid: string): void {
    let command: string;
    let environment: string;
    let user: number;
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, "latin1");
      user = statSync(`/proc/${pid}`).uid;
      // Root of a machine may read everything on it.
      environment = user === 0 ? "" : readFileSync(`/proc/${pid}/environ`, "latin1");
    } catch {
      return;
    }
    const both = `${command}\0\0${environment}`;
    if (this.#seen.get(pid) === both) return;
    this.#seen.set(pid, both);
    this.#commands.add(command);
    const [program = ""] = command.split("\0");
    for (const owner of ownersIn(command)) this.findings.add(`command line of ${program}: ${owner}`);
    for (const owner of ownersIn(environment))
      this.findings.add(`environment of ${program}, user ${user}: ${owner}`);
  }

  async stop(): Promise<string> {
    this.#over.abort();
    await this.#running;
    return `${this.rounds} checks of all processes, ${this.#seen.size} processes, ${this.#commands.size} command lines`;
  }
}

/** Searches the files that a command lists, with NUL between them, for secrets with grep. */
async function search(
  where: string,
  list: readonly string[],
): Promise<{ findings: Finding[]; figures: string }> {
  const [command = "", ...words] = list;
  const { stdout: names } = await execa(command, words, { reject: false, maxBuffer: 1e9 });
  const files = names.split("\0").filter(Boolean);
  const { stdout } = await execa("xargs", ["-0r", "grep", "-aFlZ", "-f", NEEDLES, "--"], {
    input: names,
    reject: false,
  });
  const findings = await Promise.all(
    stdout
      .split("\0")
      .filter(Boolean)
      .map(async (file) => {
        const owners = ownersIn(await readFile(file, "latin1"));
        return owners.map((owner) => `${where}, ${file.replace(/^\/proc\/\d+\/root/, "")}: ${owner}`);
      }),
  );
  const bytes = files.reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
  return { findings: findings.flat(), figures: `${files.length} files (${Math.round(bytes / 1024)} kB)` };
}

const rootOf = async (machine: string) => `/proc/${await leaderOf(place, machine)}/root`;

/** Trees of Debian's packages, of the releases, and of the kernel. */
const STATIC = [
  "usr/bin",
  "usr/sbin",
  "usr/lib",
  "usr/share",
  "usr/include",
  "srv/releases",
  "var/lib/dpkg",
  "var/lib/apt",
  "var/cache",
  "proc",
  "sys",
  "dev",
];

/** Files that everybody on a machine may read, according to their own mode and that of every directory above. */
async function worldReadable(machine: string) {
  const root = await rootOf(machine);
  const pruned = STATIC.flatMap((path, index) => [...(index > 0 ? ["-o"] : []), "-path", `${root}/${path}`]);
  return search(machine, [
    "find",
    `${root}/`,
    "(",
    ...pruned,
    "-o",
    "-type",
    "d",
    "!",
    "-perm",
    "-o=x",
    ")",
    "-prune",
    "-o",
    "-type",
    "f",
    "-perm",
    "-o=r",
    "-print0",
  ]);
}

async function logFiles(machine: string) {
  return search(machine, ["find", `${await rootOf(machine)}/var/log`, "-type", "f", "-print0"]);
}

/** All fields of all entries. One of them is the command line of the process that wrote the entry. */
async function journal(machine: string): Promise<{ findings: Finding[]; lines: number }> {
  const [command = "", ...words] = await insideMachine(place, machine);
  const file = join(folder, `journal-${machine}`);
  await execa(command, [...words, "journalctl", "--no-pager", "--all", "--output=export"], {
    stdout: { file },
    maxBuffer: 1e9,
  });
  const text = await readFile(file, "latin1");
  const owners =
    (await execa("grep", ["-aFq", "-f", NEEDLES, file], { reject: false })).exitCode === 0
      ? ownersIn(text)
      : [];
  rmSync(file);
  return { findings: owners.map((owner) => `${machine}, journal: ${owner}`), lines: text.split("\n").length };
}

/** The logs of the lab's own processes on this machine, and files of the lab that everybody here can read. */
async function labFiles() {
  const logs = await search("lab", [
    "find",
    place.directory,
    "-path",
    "*/machines/*/root",
    "-prune",
    "-o",
    "-path",
    "*/machines/*/upper",
    "-prune",
    "-o",
    "-path",
    "*/machines/*/work",
    "-prune",
    "-o",
    "-type",
    "f",
    "-name",
    "*.log",
    "-print0",
  ]);
  const open =
    (statSync(place.directory).mode & 0o007) === 0
      ? []
      : [`${place.directory} can be entered by everybody: mode`];
  return { findings: [...logs.findings, ...open], figures: logs.figures };
}

const printed: string[] = [];
/** Runs a command that people run, and keeps its output. */
async function said(run: Promise<string>): Promise<void> {
  printed.push(await run.catch((error: unknown) => String(error)));
}

const converge = (id: string, filter: string) =>
  lab.on(
    "ops-1",
    `jq -c 'del(.version) | ${filter}' /srv/spaces/${id}/config/space.json | converge-space 2>&1`,
  );

let watch: ProcessWatch;

beforeAll(async () => {
  await lab.prepare();
  await lab.space("add", "--id", ID, "--name", "Pivoine");
  await learnSecrets();
  watch = new ProcessWatch();
  await said(lab.up());
  await said(converge(ID, '.state = "suspended"'));
  await said(converge(ID, '.state = "active"'));
  await said(
    lab.on("ops-1", "redis-users 2>&1; rm -f /var/lib/framaspace/redis/.commands; redis-users 2>&1"),
  );
  await said(lab.on("ops-1", `export-space ${ID} 2>&1`));
  await said(converge(ID, '.release = "35.0.2"'));
  await said(lab.on("ops-1", "prepare-release 34.0.4; list-spaces 2>&1; platform-health 2>&1 || true"));
  await said(lab.space("list"));
  await said(lab.lab("status"));
  await said(lab.probe(`${ID}.${DOMAIN}`).then(({ body }) => body));
});
afterAll(async () => {
  await watch.stop();
  rmSync(folder, { recursive: true });
  await lab.remove();
});

test("there are secrets to look for", () => {
  const owners = new Set(needles.values());
  for (const owner of [
    `${ID}/postgres`,
    `${ID}/redis`,
    `${ID}/s3`,
    `${ID}/nextcloud-secret`,
    `${ID}/nextcloud-salt`,
    "postgres/superuser",
    "postgres/replication",
    "redis/admin",
    "deploy/ssh",
    "ca/key",
    "ops/distribute",
    "ops/worker",
    "web-1/tls",
    "web-1/ssh-host-key",
    "framaspace:masterSecret",
  ])
    expect(owners).toContain(owner);
  for (const needle of needles.keys()) expect(needle.length).toBeGreaterThan(15);
  console.log(`${owners.size - 1} secrets in ${needles.size - 1} forms`);
});

test("they are what the machines use", async () => {
  const used = await lab.on(
    "ops-1",
    `jq -r '.database.password, .redis.password, .nextcloud.secret, .nextcloud.passwordSalt' /srv/spaces/${ID}/config/space.json; cat /root/.pgpass /etc/framaspace/redis/admin /etc/framaspace/distribute/key | sha256sum >/dev/null; cut -d: -f5 /root/.pgpass | head -n 1; cat /etc/framaspace/redis/admin`,
  );
  for (const line of used.split("\n")) expect(ownersIn(line), sha256(line)).not.toEqual([]);
});
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

test("none is in the list of processes, or in the environment of another user than root", async () => {
  // MinIO takes the password of its root user only from its environment, and nothing else runs as its user.
  const allowed = /^environment of \S*minio, user \d+: minio\/root$/;
  console.log(await watch.stop());
  expect(real([...watch.findings]).filter((finding) => !allowed.test(finding))).toEqual([]);
  expect(watch.rounds).toBeGreaterThan(500);
});

test("none is in any journal", { timeout: 1_200_000 }, async () => {
  const journals = await Promise.all((await machineNames(place)).map(journal));
  console.log(`${journals.length} journals, ${journals.reduce((sum, { lines }) => sum + lines, 0)} lines`);
  expect(real(journals.flatMap(({ findings }) => findings))).toEqual([]);
  expect(journals.every(({ lines }) => lines > 100)).toBe(true);
});

test("none is in a file under /var/log, also on logs-1, or in the lab's own logs", async () => {
  for (const machine of await machineNames(place)) {
    const { findings, figures } = await logFiles(machine);
    console.log(`${machine}: ${figures} of logs`);
    expect(real(findings)).toEqual([]);
  }
  const { findings, figures } = await labFiles();
  console.log(`the lab's own: ${figures}`);
  expect(real(findings)).toEqual([]);
});

test("none is in a file that everybody can read", async () => {
  for (const machine of await machineNames(place)) {
    const { findings, figures } = await worldReadable(machine);
    console.log(`${machine}: ${figures} that everybody can read`);
    expect(real(findings)).toEqual([]);
  }
});

test("none was printed by any command", () => {
  console.log(`${printed.length} commands, ${printed.join("").length} characters`);
  expect(real(printed.flatMap(ownersIn).map((owner) => `printed: ${owner}`))).toEqual([]);
  expect(printed.join("").length).toBeGreaterThan(1000);
});

describe("a canary is found", () => {
  const canary = (findings: Iterable<Finding>) =>
    [...findings].filter((finding) => finding.endsWith(": canary"));
  /** Given on standard input, not in the command of a shell, so that only the tested place has it. */
  const plant = (machine: string, command: string) =>
    execa(process.execPath, ["bin/lab.ts", "--name", lab.name, "ssh", machine, command], {
      cwd: lab.tree,
      input: CANARY,
    });

  test("in a command line, even of a short process, and in an environment", async () => {
    const ours = new ProcessWatch();
    await plant(
      "web-1",
      'read -r canary; for n in $(seq 20); do sleep 0.05 & echo "$canary" | xargs -I{} sh -c ": {}; sleep 0.05"; done',
    );
    expect(canary(ours.findings)).not.toEqual([]);
    expect(canary(ours.findings).every((finding) => finding.startsWith("command line of"))).toBe(true);
    await plant(
      "web-1",
      "read -r CANARY; export CANARY; setpriv --reuid=www-data --regid=www-data --clear-groups sleep 0.5",
    );
    await ours.stop();
    expect(
      canary(ours.findings).filter((finding) => finding.startsWith("environment of sleep")),
    ).toHaveLength(1);
  });

  test("in a journal, in its file on logs-1, and in a machine's own log", async () => {
    await plant("web-1", "logger -t pivoine -p user.info");
    await expect
      .poll(async () => canary((await journal("web-1")).findings), { timeout: 30_000 })
      .toHaveLength(1);
    await expect
      .poll(async () => canary((await logFiles("logs-1")).findings), { timeout: 60_000, interval: 2000 })
      .not.toEqual([]);
    await plant("redis-1", "cat >/var/log/canary.log");
    expect(canary((await logFiles("redis-1")).findings)).toHaveLength(1);
    await lab.on("redis-1", "rm /var/log/canary.log");
  });

  test("in a file that everybody can read, and only there", async () => {
    await plant("web-1", "install -m 0644 /dev/stdin /etc/framaspace/canary");
    expect(canary((await worldReadable("web-1")).findings)).toEqual([
      "web-1, /etc/framaspace/canary: canary",
    ]);
    await lab.on("web-1", "chmod 0640 /etc/framaspace/canary");
    expect(canary((await worldReadable("web-1")).findings)).toEqual([]);
    await lab.on("web-1", "rm /etc/framaspace/canary");
  });

  test("in the lab's own logs, and in what a command prints", async () => {
    const file = join(place.directory, "canary.log");
    writeFileSync(file, CANARY, { mode: 0o600 });
    expect(canary((await labFiles()).findings)).toHaveLength(1);
    rmSync(file);
    expect(ownersIn(await lab.on("web-1", `echo '${CANARY}'`))).toEqual(["canary"]);
  });

  test("in every form of a secret", () => {
    const seed = randomBytes(32);
    expect(new Set(formsOf(seed)).size).toBeGreaterThanOrEqual(6);
    for (const form of formsOf(seed)) expect(sshKeyPair(randomBytes(32)).privateKey).not.toContain(form);
  });
});
