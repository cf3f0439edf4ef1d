// A drive that is offline or being filled misses what is written or deleted. MinIO writes that to the drive only when
// somebody reads the object or its scanner reaches it (docs/decisions/0015-minio-versions.md). Until then the object
// tolerates fewer losses. So this notes the gap, and starts `heal` once all drives are back.
import { closeSync, existsSync, openSync, rmSync, statSync, utimesSync } from "node:fs";
import { read } from "../../machine/programs/run-command.ts";
import { ProgramError } from "../../machine/programs/program-error.ts";
import type { SiteRole } from "../../inventory/environment.ts";
import { infoOf, isFilled, mcLines, refusal, type SiteInfo, type Sites } from "./storage-sites.ts";
import { parseJson } from "../../machine/programs/texts.ts";

/** The file whose time is that of the last gap. */
const gapsOf = ({ state }: Sites, site: SiteRole) => `${state}/gaps-${site}`;

export async function noteGaps(sites: Sites): Promise<void> {
  for (const site of sites.settings.sites) {
    const info = await infoOf(site);
    const looked = `${sites.state}/looked-${site}`;
    if (wasRestarted(info, statSync(looked, { throwIfNoEntry: false })?.mtimeMs)) touch(gapsOf(sites, site));
    if (!isFilled(info)) touch(gapsOf(sites, site));
    else if (existsSync(gapsOf(sites, site)))
      await read("systemctl", ["start", "--no-block", `heal-storage@${site}.service`]);
    touch(looked);
  }
}

/** Whether a node was restarted since this moment. */
function wasRestarted({ info }: SiteInfo, moment = Date.now()): boolean {
  const seconds = Math.floor(Date.now() / 1000) - Math.floor(moment / 1000);
  return info.servers.some(({ uptime }) => uptime < seconds);
}

function touch(file: string): void {
  closeSync(openSync(file, "a"));
  utimesSync(file, new Date(), new Date());
}

/** What `mc admin heal` says last. */
interface Summary {
  type?: string;
  objects_scanned?: number;
  objects_healed?: number;
}

/** Writes every object of the site to all drives where it belongs, once all of them are there. */
export async function heal(sites: Sites, site: SiteRole): Promise<void> {
  while (!(await isReady(site))) await sites.sleep(10);
  const gaps = gapsOf(sites, site);
  const timeOf = () => statSync(gaps, { throwIfNoEntry: false, bigint: true })?.mtimeNs;
  const noted = timeOf();
  const { status, last } = await healAll(site);
  const said = parseJson<Summary>(last) ?? {};
  if (status !== 0 || said.type !== "summary")
    throw refusal(`mc admin heal of the ${site} site ended early: ${last}`);
  // The note stays if a drive went offline in the meantime.
  if (timeOf() === noted) rmSync(gaps, { force: true });
  sites.say(
    `${site}: ${said.objects_scanned} objects checked, ${said.objects_healed} written to drives that lacked them`,
  );
}

async function isReady(site: SiteRole): Promise<boolean> {
  try {
    return isFilled(await infoOf(site));
  } catch (error) {
    if (error instanceof ProgramError) return false;
    throw error;
  }
}

/** mc prints a line for each object, then a summary. Only the last line is kept. */
async function healAll(site: SiteRole): Promise<{ status: number; last: string }> {
  let last = "";
  const status = await mcLines(["admin", "heal", "--recursive", site], (line) => {
    last = line;
  });
  return { status, last };
}
