// What the timer finds and a person has to look at. platform-health reports it.
import { infoOf, type Sites } from "./storage-sites.ts";

/** From which share on a drive counts as full. */
const FULL = 0.8;

/** A line for each problem. */
export async function storageProblems({ settings }: Sites): Promise<string[]> {
  const problems: string[] = [];
  for (const site of settings.sites)
    for (const { endpoint, state, drives } of (await infoOf(site)).info.servers) {
      if (state !== "online") problems.push(`storage ${site} node ${bare(endpoint)}: ${state}`);
      for (const drive of drives ?? []) {
        const name = bare(drive.endpoint);
        if (drive.state !== "ok") problems.push(`storage ${site} drive ${name}: ${drive.state}`);
        const { totalspace = 0, usedspace = 0 } = drive;
        if (totalspace > 0 && usedspace / totalspace > FULL)
          problems.push(`storage ${site} drive ${name}: over ${FULL * 100} % full`);
      }
    }
  if (settings.paired && settings.sites.length < 2)
    problems.push("storage site: one is declared unreachable, so what is written now has no second copy");
  return problems;
}

/** Without the port, because platform-health takes the text before the colon as the problem's name. */
const bare = (endpoint: string) => endpoint.replace(/^https?:\/\//, "").replace(/:[0-9]+/, "");
