// The two sites know each other and replicate everything, or nothing is changed.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { writeWhole } from "../../machine/programs/whole-file.ts";
import type { SiteRole } from "../../inventory/environment.ts";
import {
  bucketsOf,
  infoOf,
  mc,
  refusal,
  reply,
  replyLater,
  replyOne,
  valuesIn,
  type Answer,
  type Sites,
} from "./storage-sites.ts";

interface Replication extends Answer {
  enabled?: boolean;
  sites?: { name: string; deploymentID: string }[];
}

async function partnersOf(site: SiteRole): Promise<{ name: string; deploymentID: string }[]> {
  const { enabled, sites = [] } = await replyOne<Replication>(["admin", "replicate", "info", site]);
  return enabled ? sites : [];
}

const namesIn = async (site: SiteRole) =>
  (await partnersOf(site))
    .map(({ name }) => name)
    .sort()
    .join(" ");

/** Whether both sites know both of their current ids. A site that was built again has a new id. */
async function isPaired(): Promise<boolean> {
  const both = [(await infoOf("primary")).info.deploymentID, (await infoOf("replica")).info.deploymentID];
  const knows = async (site: SiteRole) =>
    (await partnersOf(site))
      .map(({ deploymentID }) => deploymentID)
      .sort()
      .join(" ") === both.sort().join(" ");
  return (await knows("primary")) && (await knows("replica"));
}

/** The file that says from where to where the first copy goes, until MinIO has begun it. */
const fillOf = ({ state }: Sites) => `${state}/fill`;

/** Pairs the sites. Throws ProgramError if both hold buckets: MinIO copies the data of one to the other. */
export async function pair(sites: Sites): Promise<void> {
  if (await isPaired()) return;
  let source: SiteRole = "primary";
  let target: SiteRole = "replica";
  if ((await bucketsOf("replica")).length > 0) {
    if ((await bucketsOf("primary")).length > 0)
      throw refusal(
        `the sites are not paired (primary knows "${await namesIn("primary")}", replica "${await namesIn("replica")}"), and both hold buckets: only a person can say which one is right. Nothing was changed. docs/runbooks/primary-site-lost.md, "Both sites hold data", says how to compare them and go on.`,
      );
    [source, target] = ["replica", "primary"];
  }
  await unpair(source);
  await unpair(target);
  await writeWhole(fillOf(sites), [`${source} ${target}\n`]);
  await replyLater(sites, "is offline for endpoint", ["admin", "replicate", "add", source, target]);
  if (!(await isPaired()))
    throw refusal("primary and replica were paired, but not both of them report it: run up again.");
  sites.say(`sites paired, from ${source} to ${target}`);
}

/** A site forgets its partner; its objects stay. `--force`, because a lost partner cannot agree. */
async function unpair(site: SiteRole): Promise<void> {
  if ((await partnersOf(site)).length > 0)
    await reply(["admin", "replicate", "rm", site, "--all", "--force"]);
}

/**
 * Starts the copy of what the source held before the pairing, even if an earlier run was interrupted before this step.
 * Without it, a scan copies the data only after days. MinIO refuses a second copy while one is running.
 */
export async function fill(sites: Sites): Promise<void> {
  if (!existsSync(fillOf(sites))) return;
  const [source = "", target = ""] = readFileSync(fillOf(sites), "utf8").trim().split(" ");
  if (source !== "primary" && source !== "replica")
    throw refusal(`${fillOf(sites)} does not say from which site to copy; remove it, and run up again.`);
  if ((await bucketsOf(source)).length > 0) {
    const words = ["admin", "replicate", "resync", "start", source, target];
    const { status, output } = await mc(words, { errors: "with-output" });
    if (status !== 0) {
      if (output.includes("already in progress")) return;
      throw refusal(`mc ${words.join(" ")}: ${output.trim()}`);
    }
    const left = lacking(output);
    if (left.length > 0)
      throw refusal(
        `not copied from ${source} to ${target}: ${left[0]} (${left.length} in all). It is tried again every quarter of an hour.`,
      );
  }
  rmSync(fillOf(sites));
}

/** The buckets that MinIO did not begin to copy, each with its reason. */
function lacking(output: string): string[] {
  const answers = valuesIn(output) as { buckets?: { bucket: string; errorDetail?: string }[] | null }[];
  return answers
    .flatMap(({ buckets }) => buckets ?? [])
    .flatMap(({ bucket, errorDetail }) => (errorDetail ? [`${bucket}: ${errorDetail}`] : []));
}
