// What only one of the sites has, and whether spaces may move from one to the other.
import { writeWhole } from "../../machine/programs/whole-file.ts";
import type { SiteRole } from "../../inventory/environment.ts";
import { bucketsOf, mcLines, refusal, type Sites } from "./storage-sites.ts";
import { readIfThere } from "../../machine/programs/texts.ts";

/** What mc says of a version. */
interface Version {
  status: string;
  key: string;
  versionId: string;
  size: number;
  etag?: string;
  isDeleteMarker?: boolean;
  lastModified: string;
}

/** A line for each version in a bucket that is older than a minute: the other site may still be getting the younger ones. */
async function versions(site: SiteRole, bucket: string, end: number): Promise<Set<string>> {
  const found = new Set<string>();
  const words = ["ls", "--recursive", "--versions", `${site}/${bucket}`];
  const status = await mcLines(words, (line) => {
    // An error takes many lines, and mc's status tells of it.
    if (!line.startsWith("{") || !line.endsWith("}")) return;
    const one = JSON.parse(line) as Version;
    if (one.status !== "success" || Math.floor(Date.parse(one.lastModified) / 1000) > end) return;
    found.add(`${one.key} ${one.versionId} ${one.size} ${one.etag ?? "-"} ${one.isDeleteMarker ?? false}`);
  });
  // Half a list would make the other site's objects look missing here, or ours as if both had them.
  if (status !== 0) throw refusal(`mc ls of ${site}/${bucket} ended with status ${status}; compare again.`);
  return found;
}

/** What one site has and the other one lacks. */
async function missing(from: SiteRole, to: SiteRole): Promise<string[]> {
  const there = new Set(await bucketsOf(to));
  const lines: string[] = [];
  for (const bucket of await bucketsOf(from)) {
    if (!there.has(bucket)) {
      lines.push(`${bucket} (the bucket)`);
      continue;
    }
    // Both lists end at the same moment.
    const end = Math.floor(Date.now() / 1000) - 60;
    const [ours, theirs] = [await versions(from, bucket, end), await versions(to, bucket, end)];
    lines.push(
      ...[...ours]
        .filter((one) => !theirs.has(one))
        .sort()
        .map((one) => `${bucket}/${one}`),
    );
  }
  return lines;
}

/** Tells what only one site has. Resolves to whether there is nothing. */
export async function compareSites({ settings, say }: Sites): Promise<boolean> {
  if (settings.sites.length !== 2)
    throw refusal("one site is declared unreachable: there is nothing to compare.");
  let same = true;
  for (const site of settings.sites)
    for (const line of await missing(site, site === "primary" ? "replica" : "primary")) {
      same = false;
      say(`only on ${site}: ${line}`);
    }
  if (same) say("Both sites hold the same objects.");
  return same;
}

/** Spaces move to another site only once it has everything that the old one has, unless the old one is unreachable. */
export async function checkMove({ settings, state, say, sleep }: Sites): Promise<void> {
  const { serving, sites } = settings;
  const file = `${state}/serving`;
  const noted = readIfThere(file)?.trim();
  const last = noted ?? serving;
  if (last !== serving && sites.length === 2) {
    if (last !== "primary" && last !== "replica")
      throw refusal(`${file} says "${last}", which is no site; remove it, and run up again.`);
    let found = await missing(last, serving);
    for (let tries = 1; found.length > 0 && tries < 20; tries += 1) {
      await sleep(15);
      found = await missing(last, serving);
    }
    if (found.length > 0)
      throw refusal(
        `spaces stay on ${last}: ${serving} still lacks ${found.length} objects, such as ${found[0]}. \`mc admin replicate status ${last}\` shows the progress; run up again when \`reconcile-storage compare\` finds no difference. Until then write ${last} as storage.serving.`,
      );
  }
  if (noted !== serving) await writeWhole(file, [`${serving}\n`]);
  if (last !== serving) say(`spaces move from ${last} to ${serving}`);
}
