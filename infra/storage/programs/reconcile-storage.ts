// reconcile-storage [watch | all | compare | heal SITE]: keeps the storage sites as /etc/framaspace/storage declares
// them: with the computed layout, paired, with their users, policies, buckets and lifecycle rules. It does only what is
// missing, never deletes an object, and prints what it changed.
//   watch      for the timer: also notes problems for platform-health, and starts `heal` after drives were offline
//   all        checks the settings of all buckets again, not only of new ones
//   compare    lists the objects, older than a minute, that only one site has
//   heal SITE  writes every object of the site to all drives where it belongs
import { mkdirSync, readFileSync } from "node:fs";
import { lock } from "../../machine/programs/lock-file.ts";
import { succeeds } from "../../machine/programs/run-command.ts";
import { SURROUNDINGS, type Result } from "../../machine/programs/program.ts";
import { writeWhole } from "../../machine/programs/whole-file.ts";
import { reconcileBuckets } from "./bucket-rules.ts";
import { heal, noteGaps } from "./healing.ts";
import { fill, pair } from "./site-pairing.ts";
import { checkMove, compareSites } from "./sites-comparison.ts";
import { storageProblems } from "./storage-problems.ts";
import type { StorageSettings } from "./storage-settings.ts";
import { holdLock, infoOf, refusal, replyOne, type Answer, type Sites, type Work } from "./storage-sites.ts";
import { makeBuckets, reconcileUsers } from "./storage-users.ts";

const DONE: Result = { output: "", status: 0 };

/**
 * @param root The folder in the machine's place; on the machine "".
 * @param sleep Waits some seconds.
 */
export async function reconcileStorage(
  root: string,
  [word = "reconcile", named]: readonly string[],
  sleep: Sites["sleep"] = SURROUNDINGS.sleep,
): Promise<Result> {
  const declared = `${root}/etc/framaspace/storage`;
  const state = `${root}/var/lib/framaspace/storage`;
  mkdirSync(state, { recursive: true });
  const settings = JSON.parse(readFileSync(`${declared}/settings`, "utf8")) as StorageSettings;
  const work = WORKS.find((one) => one === word) ?? "reconcile";
  const sites: Sites = {
    settings,
    work,
    declared,
    state,
    ...SURROUNDINGS,
    sleep,
  };
  if (word === "heal") {
    const site = settings.sites.find((one) => one === named);
    if (site === undefined) throw refusal(`write which site: reconcile-storage heal ${settings.sites[0]}`);
    await heal(sites, site);
    return DONE;
  }
  if (work !== word) throw refusal(`there is no "${word}"; write one of watch, all, compare, heal SITE`);
  const file = `${root}/run/lock/reconcile-storage`;
  const descriptor = await lock(file, 86_400);
  if (descriptor === undefined)
    throw refusal(`another reconcile-storage has been running for a day: fuser -v ${file}`);
  holdLock(descriptor);
  await waitForSites(sites);
  if (work === "compare") return { output: "", status: (await compareSites(sites)) ? 0 : 1 };
  await reconcile(sites);
  return DONE;
}

const WORKS: readonly Work[] = ["reconcile", "watch", "all", "compare"];

async function reconcile(sites: Sites): Promise<void> {
  const { settings, work, state } = sites;
  await checkLayout(sites);
  if (settings.paired && settings.sites.length === 2) {
    await pair(sites);
    await fill(sites);
  }
  await checkMove(sites);
  await reconcileUsers(sites);
  await makeBuckets(sites);
  await reconcileBuckets(sites);
  await noteGaps(sites);
  if (work === "watch")
    await writeWhole(
      `${state}/problems`,
      (await storageProblems(sites)).map((line) => `${line}\n`),
    );
}

async function waitForSites({ settings, work, sleep }: Sites): Promise<void> {
  const seconds = work === "watch" ? 30 : 300;
  for (const site of settings.sites)
    for (const end = performance.now() + seconds * 1000; ; await sleep(0.3)) {
      const { URL: url } = await replyOne<Answer & { URL?: string }>(["alias", "list", site]);
      const words = ["-fsS", "-m", "5", "-o", "/dev/null", `${url}/minio/health/cluster`];
      if (await succeeds("curl", words, { errors: "ignore" })) break;
      if (performance.now() >= end)
        throw refusal(
          `the ${site} site does not serve after ${seconds} s. \`journalctl -u minio -n 50\` on each of its nodes shows what it waits for. If the site is lost: docs/runbooks/primary-site-lost.md`,
        );
    }
}

/** Checks that MinIO's layout of the drives is the one from which the capacity was computed. */
async function checkLayout({ settings }: Sites): Promise<void> {
  const written = (
    parity: number,
    pools: readonly (readonly [sets: number, setSize: number | undefined])[],
  ) => `${parity}: ${pools.map(([sets, setSize]) => `${sets} ${setSize}, `).join("")}`;
  const declared = written(
    settings.parity,
    settings.pools.map(({ sets, setSize }) => [sets, setSize] as const),
  );
  for (const site of settings.sites) {
    const { standardSCParity, totalSets, totalDrivesPerSet } = (await infoOf(site)).info.backend;
    const found = written(
      standardSCParity,
      totalSets.map((sets, pool) => [sets, totalDrivesPerSet[pool]] as const),
    );
    if (found !== declared)
      throw refusal(
        `the ${site} site has parity and pools (sets, drives of a set) "${found}", not "${declared}" as computed. Pools never change once they hold data: put storage.pools and storage.parity back to what is there.`,
      );
  }
}
