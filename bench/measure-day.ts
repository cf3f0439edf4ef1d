// Measures a working day of one web server: each space of a running lab has a sync client that asks every half minute
// whether anything has changed. What that needs of PHP's workers and memory decides how many spaces a web server takes.
// The app passwords that it makes are removed at the end.
import { execa } from "execa";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inside, openLab, type Lab } from "../lab/lab.ts";
import { readSettings } from "../lab/settings.ts";
import { readOn } from "../lab/ssh.ts";
import { UserError } from "../validation/user-error.ts";
import type { Answers, Client, Day } from "./day-requests.ts";
import { median, percentile } from "./median.ts";
import { Verdict } from "./verdict.ts";

export interface DayBench {
  /** Name of the lab. */
  name: string;
  /** Least number of spaces; all active ones are asked. */
  spaces: number;
  /** Minutes for which their clients ask. */
  minutes: number;
}

/** Seconds between two questions of Nextcloud's desktop client (`remotePollInterval`, its default). */
const EVERY = 30;
/** Milliseconds: 95 of 100 answers come within this, as when other spaces are attacked. */
const MOST = 500;
const PROGRAM = join(import.meta.dirname, "day-requests.ts");
/** Marks the app passwords, so that they can be removed. */
const TOKEN = "banc-jour";

/** Measures, and prints each figure. Resolves to whether all kept their budgets. Throws a UserError without such a lab. */
export async function benchDay({ name, spaces, minutes }: DayBench): Promise<boolean> {
  const lab = openLab(name);
  if (!readSettings(lab)) throw new UserError(`there is no lab "${name}"; bring it up with: npm run lab`);
  const there = await activeSpaces(lab);
  if (there.length < spaces)
    throw new UserError(
      `lab "${name}" has ${there.length} active spaces, not ${spaces}. Make them with: npm run bench:spaces -- --spaces ${spaces}`,
    );
  const [, address = ""] = /^(\S+)/.exec(await readOn(lab, "ops-1", "getent hosts web-1")) ?? [];
  try {
    console.log(`making an app password in each of ${there.length} spaces`);
    const clients = await makeClients(lab, there);
    const verdict = new Verdict();
    const before = await cpuSeconds(lab);
    const samples: Sample[] = [];
    const asking = ask(lab, { address, clients, every: EVERY, lasts: minutes * 60 });
    const ended = asking.then(
      () => true,
      () => true,
    );
    do samples.push(await sample(lab));
    while (!(await Promise.race([ended, sleep(20_000, false)])));
    const { took, wrong } = await asking;
    const used = (await cpuSeconds(lab)) - before;
    const failures = Object.entries(wrong).map(([what, times]) => `${times} × ${what}`);
    verdict.say(
      failures.length === 0 && took.length > 0,
      `${there.length} spaces, each asked every ${EVERY} s for ${minutes} min: ${took.length} answers, ${failures.join(", ") || "none wrong"}`,
    );
    const p95 = percentile(took, 95);
    verdict.say(
      p95 <= MOST,
      `milliseconds of an answer: median ${median(took).toFixed(0)}, 95 % ${p95.toFixed(0)} (at most ${MOST})`,
    );
    const workers = Math.max(...samples.map((one) => one.workers));
    const memory = Math.max(...samples.map((one) => one.megabytes));
    console.log(
      `  PHP-FPM of web-1: at most ${workers} workers, ${memory.toFixed(0)} MB (${(memory / workers).toFixed(1)} for each), ${((used * 1000) / took.length).toFixed(0)} ms of processor time for each answer`,
    );
    return verdict.passed;
  } finally {
    await removeClients(lab, there);
  }
}

/** Host of each space that serves, as people type it, by its id. */
async function activeSpaces(lab: Lab): Promise<{ id: string; host: string }[]> {
  const said = await readOn(
    lab,
    "ops-1",
    `port=$(jq -r '.port // empty' /etc/framaspace/platform.json)
     jq -r --arg port "$port" 'select(.state == "active") | "\\(.id) \\(.host)\\(if $port == "" then "" else ":" + $port end)"' /srv/spaces/*/config/space.json`,
  );
  return said
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [id = "", host = ""] = line.split(" ");
      return { id, host };
    });
}

/** Runs a shell text for each space on ops-1, a few at once. $1 is the id. Resolves to what they print. */
const inEach = (lab: Lab, spaces: readonly { id: string }[], text: string) =>
  readOn(lab, "ops-1", `xargs -P 2 -n 1 bash -c '${text}' -`, spaces.map(({ id }) => `${id}\n`).join(""));

async function makeClients(lab: Lab, spaces: readonly { id: string; host: string }[]): Promise<Client[]> {
  const said = await inEach(
    lab,
    spaces,
    `account=$(occ-space $1 user:list --output=json </dev/null | jq -r "keys[0]")
     echo $1 $account $(occ-space $1 user:auth-tokens:add --name ${TOKEN} -- "$account" </dev/null | tail -n 1)`,
  );
  const known = new Map(
    said
      .split("\n")
      .filter(Boolean)
      .map((line) => {
        const [id = "", account = "", password = ""] = line.split(" ");
        return [id, { account, password }] as const;
      }),
  );
  return spaces.map(({ id, host }) => {
    const client = known.get(id);
    if (!client?.password) throw new Error(`space ${id}: no app password could be made`);
    return { host, ...client };
  });
}

const removeClients = (lab: Lab, spaces: readonly { id: string }[]) =>
  readOn(
    lab,
    "ops-1",
    spaces
      .map(
        ({ id }) =>
          `psql -Xq "service=framaspace dbname=${id}" -c "DELETE FROM oc_authtoken WHERE name = '${TOKEN}'" || true`,
      )
      .join("\n"),
  );

async function ask(lab: Lab, day: Day): Promise<Answers> {
  const [command = "", ...words] = inside(lab, "ops-1");
  const { stdout } = await execa(command, [...words, process.execPath, PROGRAM], {
    input: JSON.stringify(day),
  });
  return JSON.parse(stdout) as Answers;
}

interface Sample {
  workers: number;
  /** Memory of PHP-FPM: of each process its own, and its part of what several share. */
  megabytes: number;
}

async function sample(lab: Lab): Promise<Sample> {
  const said = await readOn(
    lab,
    "web-1",
    `for id in $(pgrep -x php-fpm8.4); do cat /proc/$id/smaps_rollup 2>/dev/null || true; done | awk '/^Pss:/ { n++; kB += $2 } END { print n - 1, kB / 1024 }'`,
  );
  const [workers = NaN, megabytes = NaN] = said.trim().split(" ").map(Number);
  return { workers, megabytes };
}

async function cpuSeconds(lab: Lab): Promise<number> {
  return Number(await readOn(lab, "web-1", "systemctl show --value -p CPUUsageNSec php8.4-fpm")) / 1e9;
}
