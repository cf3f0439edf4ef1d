// What a plan allows, and what the entry says of the space's title.
import { occ, ownConfig } from "../nextcloud-command.ts";
import { remember } from "../space-database.ts";
import { failure, say } from "../space-work.ts";
import type { Converging } from "./converging.ts";
import { quotaOf } from "./installation.ts";

/** Storage counts for the whole space. The quota of each account follows the plan, unless the space has set another. */
export async function matchLimits(work: Converging): Promise<void> {
  const { facts, wanted, directory } = work;
  await directory.markFull(Number(facts.used ?? 0) >= wanted.limits.storageBytes);
  const quota = quotaOf(work);
  if (facts.quota !== quota) {
    if ((facts["default-quota"] ?? "") === (facts.quota ?? "")) {
      const words = ["config:app:set", "files", "default_quota", `--value=${quota}`];
      if (!(await setting(work, words)))
        throw failure(work, `could not set the quota of its accounts to ${quota}`);
    }
    await remember(work, "quota", quota);
    work.changed.push(`quota ${quota}`);
  }
  const accounts = Number(facts.accounts ?? 0);
  if (accounts > wanted.limits.accounts)
    say(
      work,
      `${accounts} accounts are enabled, ${wanted.limits.accounts} are in its plan; see docs/runbooks/too-many-accounts.md`,
    );
}

/** The space's title follows the name in its entry, unless the space has set another. */
export async function matchTitle(work: Converging): Promise<void> {
  const { facts, wanted } = work;
  if ((facts.title ?? "") === wanted.name) return;
  if (!facts["own-title"]) {
    if (!(await setting(work, ["theming:config", "--", "name", wanted.name])))
      throw failure(work, `could not set its title to ${wanted.name}. Run up again`);
    work.changed.push("title");
  }
  await remember(work, "title", wanted.name);
}

async function setting(work: Converging, words: readonly string[]): Promise<boolean> {
  const own = { config: ownConfig(work), release: work.wanted.release };
  return (await occ(work, own, words)).status === 0;
}
