// Measures what spaces cost in a running lab, against budgets: to create them, with all their resources and a page that
// answers; to converge them unchanged; and how long one does not answer during an upgrade. Adds its own tenants file
// and removes it at the end. The spaces stay in the lab.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { renderEntry } from "../spaces/fleet/edit.ts";
import { tenantsFolder } from "../spaces/fleet/fleet.ts";
import { UserError } from "../validation/user-error.ts";
import { Verdict } from "./verdict.ts";

const ROOT = join(import.meta.dirname, "..");
const FILE = join(ROOT, tenantsFolder("lab"), "999.yaml");

export interface SpacesBench {
  /** Name of the lab. */
  name: string;
  /** How many are created. */
  spaces: number;
  /** The release to which two spaces are upgraded, one after the other. Without it, no outage is measured. */
  upgrade?: string;
  /** Options of the lab's `up`, such as --nextcloud. */
  upOptions: readonly string[];
}

/** Runs `npm run lab` with arguments. Resolves to its standard output. */
type Lab = (...words: string[]) => Promise<string>;

async function secondsOf(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return (performance.now() - start) / 1000;
}

/** Waits until this machine's processors have been three quarters idle for five seconds. Throws a UserError after ten minutes. */
async function untilQuiet(): Promise<void> {
  const end = performance.now() + 600_000;
  while (performance.now() < end) {
    const before = idleTime();
    await wait(5000);
    if (idleTime() - before >= 0.75 * 5000 * cpus().length) return;
  }
  throw new UserError("this machine is not quiet after ten minutes; see what else runs on it (top)");
}

/** Milliseconds that its processors were idle, together. */
const idleTime = () => cpus().reduce((sum, { times }) => sum + times.idle, 0);

/**
 * Words, on ops-1, that succeed while it has Nextcloud upgrade a space. In brackets, so that the shell that runs them is
 * not found.
 */
export const isUpgrading = (id: string) =>
  `pgrep -f '/srv/spaces/${id}/.*occ --no-interaction --no-ansi [u]pgrade' >/dev/null`;

/** Asks a web server every 50 ms during an upgrade. Returns seconds: the longest time without a 200, and occ's own. */
async function outageOf(lab: Lab, id: string, release: string): Promise<{ outage: number; own: number }> {
  const text = await lab(
    "ssh",
    "ops-1",
    `
    host=$(jq -r .host /srv/spaces/${id}/config/space.json)
    jq -c 'del(.version) | .release = "${release}"' /srv/spaces/${id}/config/space.json >/tmp/bench.json
    { while [ ! -e /tmp/bench.done ]; do
        echo "$(date +%s.%N) $(curl -s -o /dev/null -w '%{http_code}' --max-time 5 -H "Host: $host" http://web-1/status.php)"; sleep 0.05
      done; } >/tmp/bench.seen &
    # When occ upgrade begins and ends.
    { while [ ! -e /tmp/bench.done ]; do ${isUpgrading(id)} && date +%s.%N; sleep 0.05; done; } >/tmp/bench.own &
    converge-space </tmp/bench.json >/dev/null; touch /tmp/bench.done; wait; rm /tmp/bench.done
    awk '$2 != 200 { if (!from) from = $1; next } from { if ($1 - from > most) most = $1 - from; from = 0 } END { print most + 0 }' /tmp/bench.seen
    awk 'NR == 1 { first = $1 } END { print $1 - first }' /tmp/bench.own`,
  );
  const [longest = NaN, own = NaN] = text.split("\n").map(Number);
  if (!(own > 0 && own <= longest))
    throw new Error(`${id} did not answer for ${longest} s, of which occ took ${own}: this measures nothing`);
  return { outage: longest, own };
}

/** How many converges run at the same moment: those of a rollout of four stacks, by the engine's default of 16. */
const AT_ONCE = 64;
const CONVERGES = 1000;

/**
 * Measures, and prints each figure. Resolves to whether all kept their budgets. Throws a UserError if the lab does not
 * stand, because its making would count as a space's, and if the tenants file already exists.
 */
export async function benchSpaces({ name, spaces, upgrade, upOptions }: SpacesBench): Promise<boolean> {
  const program = [join(ROOT, "bin/lab.ts"), "--name", name];
  const lab: Lab = async (...words) =>
    (await execa(process.execPath, [...program, ...words], { stdin: "ignore" })).stdout;
  const ops = (command: string) => lab("ssh", "ops-1", command);
  const up = () => lab("up", ...upOptions);
  // No two ids look alike (spaces/fleet/ids.ts), and none looks like a reserved word.
  const ids = Array.from(
    { length: spaces },
    (_, index) => `banc-${String.fromCharCode(97 + (index % 26), 97 + (Math.floor(index / 26) % 26))}-essai`,
  );
  const verdict = new Verdict();
  const report = (what: string, found: number, budget: number) =>
    verdict.say(found <= budget, `${what}: ${found.toFixed(2)} s, at most ${budget} s`);

  if (existsSync(FILE))
    throw new UserError(`${FILE} is there already; remove it, or let the run that made it end.`);
  const { exitCode, stderr } = await execa(process.execPath, [...program, "status"], { reject: false });
  if (exitCode !== 0)
    throw new UserError(`nothing was measured: ${stderr.trim() || `lab "${name}" has no status`}`);
  console.log("the lab as it is");
  const idle = await secondsOf(up);
  try {
    const entries = ids.map((id) =>
      renderEntry({
        id,
        name: `Banc ${id}`,
        kind: "collective",
        contact: `${id}@banc.example`,
        plan: "small",
        office: "collabora",
        wave: "main",
      }),
    );
    await writeFile(FILE, entries.sort().join("\n"));
    // Without the time that the platform and the spaces already there take.
    report(`creating ${spaces} spaces, each`, ((await secondsOf(up)) - idle) / spaces, 1.4);

    // New spaces have background jobs, and PostgreSQL archives what made them.
    console.log(`quiet again after ${(await secondsOf(untilQuiet)).toFixed(0)} s`);
    const wanted = `for id in ${ids.join(" ")}; do jq -c 'del(.version)' /srv/spaces/$id/config/space.json >/tmp/$id.json; done`;
    await ops(wanted);
    const unchanged = await ops(
      `start=$(date +%s.%N); for id in ${ids.join(" ")}; do converge-space </tmp/$id.json; done | jq -s 'map(.changed | length) | add' >/tmp/changed; echo "$(cat /tmp/changed) $(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')"`,
    );
    const [changed, took] = unchanged.split(" ").map(Number);
    if (changed !== 0) throw new Error(`converging what was just made changed ${changed} things`);
    report(`converging ${spaces} unchanged spaces, each`, (took ?? NaN) / spaces, 0.1);

    const many = Array.from({ length: CONVERGES }, (_, index) => ids[index % ids.length]);
    const atOnce = await ops(
      `start=$(date +%s.%N); printf '%s\\n' ${many.join(" ")} | xargs -P ${AT_ONCE} -I {} sh -c 'converge-space </tmp/{}.json >/dev/null' || exit 1; awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { print b - a }'`,
    );
    report(`converging unchanged spaces ${CONVERGES} times, ${AT_ONCE} at once`, Number(atOnce), 60);

    if (upgrade !== undefined) {
      const [first = "", second = ""] = ids;
      // For the first space that goes to a release, web servers compile its code.
      const { outage: longestOfFirst } = await outageOf(lab, first, upgrade);
      console.log(`outage of ${first}, the first one that is upgraded: ${longestOfFirst.toFixed(2)} s`);
      const { outage: longest, own } = await outageOf(lab, second, upgrade);
      report(`outage of ${second} in its upgrade, of which ${own.toFixed(2)} s are occ's`, longest, own + 3);
    }
  } finally {
    await rm(FILE, { force: true });
  }
  return verdict.passed;
}
