// Every bucket keeps old versions, for as long as its lifecycle rule says.
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { SiteRole } from "../../inventory/environment.ts";
import {
  bucketsOf,
  infoOf,
  isWhole,
  mcPlain,
  refusal,
  reply,
  replyOne,
  type Answer,
  type Sites,
} from "./storage-sites.ts";
import { readIfThere } from "../../machine/programs/texts.ts";

/** The buckets that were checked are noted, and checked again after this time. */
const NOTED_SECONDS = 86_400;

/** Reconciles mostly new buckets: notes the ones that are done, for each version of the rules. */
export async function reconcileBuckets(sites: Sites): Promise<void> {
  const { settings, work, declared, state, say, warn } = sites;
  for (const site of settings.sites) {
    if (!isWhole(await infoOf(site))) {
      warn(`the ${site} site's buckets keep their settings until all of its drives are online`);
      continue;
    }
    const name = `buckets-${site}-${versionOfRules(declared)}`;
    const noted = `${state}/${name}`;
    for (const old of readdirSync(state))
      if (old.startsWith(`buckets-${site}-`) && old !== name) rmSync(`${state}/${old}`);
    if (work === "all" || isOlder(noted, NOTED_SECONDS)) rmSync(noted, { force: true });
    const done = new Set(readIfThere(noted)?.split("\n"));
    for (const bucket of (await bucketsOf(site)).filter((one) => !done.has(one)).sort()) {
      await reconcileBucket(sites, site, bucket);
      appendFileSync(noted, `${bucket}\n`);
      say(`lifecycle of ${site}/${bucket}`);
    }
  }
}

const versionOfRules = (declared: string) => {
  const hash = createHash("sha256");
  const rules = readdirSync(`${declared}/lifecycle`).filter((name) => name.endsWith(".json"));
  for (const name of rules.sort()) hash.update(readFileSync(`${declared}/lifecycle/${name}`));
  return hash.digest("hex").slice(0, 16);
};

const isOlder = (file: string, seconds: number) => {
  const found = statSync(file, { throwIfNoEntry: false });
  return found !== undefined && Date.now() - found.mtimeMs > seconds * 1000;
};

async function reconcileBucket({ declared }: Sites, site: SiteRole, bucket: string): Promise<void> {
  const own = `${declared}/lifecycle/${bucket}.json`;
  const rule = readFileSync(existsSync(own) ? own : `${declared}/lifecycle/others.json`, "utf8");
  const place = `${site}/${bucket}`;
  const { versioning } = await replyOne<Answer & { versioning?: { status?: string } }>([
    "version",
    "info",
    place,
  ]);
  if (versioning?.status !== "Enabled") await reply(["version", "enable", place]);
  const { status, output } = await mcPlain(["ilm", "rule", "export", place], { errors: "ignore" });
  if (status === 0 && isDeepStrictEqual(rulesIn(output), rulesIn(rule))) return;
  const imported = await mcPlain(["ilm", "rule", "import", place], { input: rule, errors: "with-output" });
  if (imported.status !== 0) throw refusal(`mc ilm rule import ${place}: ${imported.output.trim()}`);
}

/** What makes a rule, without what MinIO adds. */
function rulesIn(text: string): unknown {
  try {
    const { Rules } = JSON.parse(text) as { Rules: Record<string, unknown>[] };
    return Rules.map(({ ID, Status, Expiration, NoncurrentVersionExpiration, DelMarkerExpiration }) => ({
      ID: String(ID),
      Status,
      Expiration,
      NoncurrentVersionExpiration,
      DelMarkerExpiration,
    })).sort((one, other) => (one.ID < other.ID ? -1 : 1));
  } catch {
    return undefined;
  }
}
