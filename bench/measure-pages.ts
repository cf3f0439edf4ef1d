// Measures what people wait for: pages, listings, uploads and downloads of a space, through the whole platform of a
// running lab, beside a stock Nextcloud of the same release on the same machine (bench/stock/). Both are asked by turns,
// so that what else the machine does meets both. The stock Nextcloud and the account are removed at the end.
import { execa } from "execa";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inside, machineGroup, openLab, processorTime, type Lab } from "../lab/lab.ts";
import { insideMachine, machineNames } from "../lab/machine.ts";
import { ADMIN, BALANCER_ADDRESS } from "../lab/namespaces.ts";
import { readSettings, type Settings } from "../lab/settings.ts";
import { readOn } from "../lab/ssh.ts";
import { UserError } from "../validation/user-error.ts";
import { median, percentile } from "./median.ts";
import { SCENARIOS, type Question, type Scenario } from "./page-requests.ts";
import { makeStock, removeStock, STOCK, STOCK_HOST, STOCK_PORT } from "./stock/stock-machine.ts";
import { Verdict } from "./verdict.ts";

export interface PagesBench {
  /** Name of the lab. */
  name: string;
  /** Id of the space that is asked. */
  space: string;
  /** How often each side is asked the same, by turns. */
  rounds: number;
}

/** Requests of each client in a round, and at most how many times a stock Nextcloud's median is allowed. */
const WITH = [
  { clients: 1, requests: 10, most: 1.15 },
  { clients: 16, requests: 4, most: 1 },
] as const;
/** Requests of each client in a round that are not measured. */
const WARM_UP = 2;
/** Milliseconds by the web server's clock: the answer itself, without the way through load balancer and gateway. */
const OWN_BUDGETS = [
  ["/status.php", 10],
  ["/login", 50],
] as const;
const ACCOUNT = "banc";

/** Where a Nextcloud is reached, and by whom. */
type Side = Pick<Question, "address" | "port" | "host" | "account" | "password"> & {
  /** Words that run a command in the network namespace from which it is reached. */
  from: string[];
  /** Starts PHP anew: no worker, no compiled code. */
  cool: () => Promise<unknown>;
};

const PROGRAM = join(import.meta.dirname, "page-requests.ts");

/** Measures, and prints each figure. Resolves to whether all kept their budgets. Throws a UserError without such a lab. */
export async function benchPages({ name, space, rounds }: PagesBench): Promise<boolean> {
  const lab = openLab(name);
  const { settings, archive } = suited(lab);
  const host = `${space}.${settings.domain}:${settings.port}`;
  const webs = (await machineNames(lab)).filter((machine) => machine.startsWith("web-"));
  console.log("making a stock Nextcloud, in about a minute");
  try {
    const stock: Side = {
      address: "127.0.0.1",
      port: STOCK_PORT,
      host: STOCK_HOST,
      account: ACCOUNT,
      password: await makeStock(lab, settings.image, archive),
      from: inside(lab, STOCK),
      cool: async () => {
        const [command = "", ...words] = await insideMachine(lab, STOCK);
        await execa(command, [...words, "systemctl", "restart", "php8.4-fpm"]);
      },
    };
    const platform: Side = {
      address: BALANCER_ADDRESS,
      port: 443,
      host,
      account: ACCOUNT,
      password: await addAccount(lab, space),
      from: inside(lab, ADMIN),
      cool: () => Promise.all(webs.map((web) => readOn(lab, web, "systemctl restart php8.4-fpm"))),
    };
    const verdict = new Verdict();
    await compare({ platform, stock }, rounds, verdict, () => processorTimes(lab));
    await measureOwn(lab, `${space}.${settings.domain}`, verdict);
    return verdict.passed;
  } finally {
    await removeAccount(lab, space);
    await removeStock(lab);
  }
}

/** The lab's settings, and the archive of its Nextcloud. */
function suited(lab: Lab): { settings: Settings; archive: string } {
  const settings = readSettings(lab);
  if (!settings) throw new UserError(`there is no lab "${lab.name}"; bring it up with: npm run lab`);
  const lacking = settings.leftOut.filter(({ what }) => /nextcloud|storage/i.test(what));
  const archive = Object.entries(settings.artifacts).find(([served]) => /nextcloud/.test(served))?.[1];
  if (lacking.length > 0 || archive === undefined)
    throw new UserError(
      `lab "${lab.name}" has no ${lacking.map(({ what }) => what).join(", no ") || "Nextcloud"}: nothing to measure. Bring up one with real parts (docs/lab.md).`,
    );
  return { settings, archive };
}

/**
 * Asks both sides by turns, and prints a line for each scenario and number of clients; for a single client, also whose
 * processor time it was.
 */
async function compare(
  sides: { platform: Side; stock: Side },
  rounds: number,
  verdict: Verdict,
  spent: () => Promise<Spent>,
): Promise<void> {
  console.log(
    "milliseconds, median and 95 %: the platform, a stock Nextcloud, and how many times its median",
  );
  for (const { clients, requests, most } of WITH)
    for (const scenario of SCENARIOS.filter((one) => one !== "cold" || clients === 1)) {
      const took = { platform: [] as number[], stock: [] as number[] };
      const before = await spent();
      for (let round = 0; round < rounds; round += 1)
        for (const side of ["platform", "stock"] as const)
          took[side].push(...(await ask(sides[side], scenario, clients, requests)));
      const ratio = median(took.platform) / median(took.stock);
      verdict.say(
        ratio <= most,
        `${scenario}, ${clients} at once: ${figures(took.platform)}, ${figures(took.stock)}, × ${ratio.toFixed(2)} (at most ${most})`,
      );
      if (clients === 1 && scenario !== "cold")
        console.log(
          `    processor time of one: ${shares(before, await spent(), rounds * (requests + WARM_UP))}`,
        );
    }
}

/** Role, or `stock` → milliseconds of processor time since it runs. */
type Spent = Readonly<Record<string, number>>;

/** What the machines, the stock one among them, have taken of the processors. */
async function processorTimes(lab: Lab): Promise<Spent> {
  const spent: Record<string, number> = {};
  for (const machine of await machineNames(lab)) {
    const role = machine.replace(/-[ab]?\d+$/, "");
    spent[role] = (spent[role] ?? 0) + processorTime(lab, machineGroup(machine));
  }
  return spent;
}

/** Each role's part of the processor time of one request, those of less than a millisecond left out. */
function shares(before: Spent, after: Spent, requests: number): string {
  const each = Object.entries(after)
    .map(([role, milliseconds]) => [role, (milliseconds - (before[role] ?? 0)) / requests] as const)
    .filter(([, milliseconds]) => milliseconds >= 1)
    .sort(([, one], [, other]) => other - one);
  return each.map(([role, milliseconds]) => `${role} ${milliseconds.toFixed(0)}`).join(", ");
}

const figures = (took: readonly number[]) =>
  `${median(took).toFixed(0)} and ${percentile(took, 95).toFixed(0)}`;

async function ask(side: Side, scenario: Scenario, clients: number, requests: number): Promise<number[]> {
  const { from, cool, ...where } = side;
  if (scenario === "cold") {
    await cool();
    await sleep(1000);
  }
  const times = scenario === "cold" ? { requests: 1, warmUp: 0 } : { requests, warmUp: WARM_UP };
  const [command = "", ...words] = from;
  const { stdout } = await execa(command, [...words, process.execPath, PROGRAM], {
    input: JSON.stringify({ ...where, scenario, clients, ...times } satisfies Question),
  });
  return JSON.parse(stdout) as number[];
}

/** What the web server itself takes for a page, warm, as ops-1 sees it on a connection that stays. */
async function measureOwn(lab: Lab, host: string, verdict: Verdict): Promise<void> {
  for (const [path, most] of OWN_BUDGETS) {
    const said = await readOn(
      lab,
      "ops-1",
      `curl -s -o /dev/null -w '%{time_total} %{http_code}\\n' -H 'Host: ${host}' 'http://web-1${path}?[1-40]'`,
    );
    const answers = said
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
    const wrong = answers.find(([, status]) => status !== "200");
    if (wrong) throw new Error(`web-1 answers ${wrong[1]} to ${path} of ${host}`);
    const own = median(answers.map(([seconds]) => Number(seconds) * 1000));
    verdict.say(own <= most, `${path} by the web server's clock: ${own.toFixed(1)} ms (at most ${most})`);
  }
}

/** Makes an account of the space. Resolves to an app password of it. */
async function addAccount(lab: Lab, space: string): Promise<string> {
  await removeAccount(lab, space);
  const said = await readOn(
    lab,
    "ops-1",
    "bash -s",
    `export OC_PASS=Aa1-$(head -c 18 /dev/urandom | base64 | tr +/ -_)
     export NC_PASS=$OC_PASS
     occ-space ${space} user:add --password-from-env ${ACCOUNT} >&2
     occ-space ${space} user:auth-tokens:add --password-from-env ${ACCOUNT}`,
  );
  return said.trim().split("\n").at(-1) ?? "";
}

const removeAccount = (lab: Lab, space: string) =>
  readOn(lab, "ops-1", `occ-space ${space} user:delete ${ACCOUNT} >/dev/null 2>&1 || true`);
