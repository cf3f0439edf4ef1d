// The trial of a release: a member's account uses the space behind its maintenance.
import { dropMember, makeMember, makeUpload, MEMBER, tryChunks, tryDelete, tryWhole } from "../member.ts";
import { ownConfig, scratchConfig } from "../nextcloud-command.ts";
import { run } from "../../../../infra/machine/programs/run-command.ts";
import { failure, held } from "../space-work.ts";
import { BEHIND, hostHeader, reachableWebServers } from "../web-servers.ts";
import { releaseOf, type Converging } from "./converging.ts";

/** Makes the account while the space still serves. Throws SpaceError if there can be none. */
export async function makeTrial(work: Converging): Promise<void> {
  // A suspended space answers nobody.
  if (work.wanted.state !== "active") return;
  const from = releaseOf(work.facts.version ?? "");
  const problem = await makeMember(work, { config: scratchConfig(work), release: from });
  if (problem !== undefined)
    throw failure(
      work,
      `an upgrade is tried by a member's account, and ${problem}. Nothing was changed, it serves ${from} as before. Run up again`,
    );
  // One part, because visitors wait.
  makeUpload(work, 100_000);
  // An account's first requests take longer. What the old release does wrong keeps nobody from a newer one.
  await useThroughFirst(work);
}

/** Deletes the account if the database has it. */
export async function dropTrial(work: Converging): Promise<void> {
  const { facts } = work;
  if (!facts.member) return;
  const own = { config: ownConfig(work), release: releaseOf(facts.version ?? "") };
  if (!(await dropMember(work, own)))
    work.left.push(`the account ${MEMBER}, which tries releases, could not be deleted`);
}

/**
 * Asks every reachable web server for the space behind its maintenance, and uses it as a member through one of them.
 * Resolves to what is wrong. All at once, because visitors are waiting.
 */
export async function seeThroughWebServers(work: Converging): Promise<string[]> {
  if (work.wanted.state !== "active") return [];
  const webs = reachableWebServers(work);
  const found = await Promise.all([
    ...webs.map((web) => seeThrough(work, web)),
    // What a release does wrong, it does on each of them.
    useThroughFirst(work),
  ]);
  return found.flat();
}

async function seeThrough(work: Converging, web: string): Promise<string[]> {
  const { release } = work.wanted;
  const words = ["-s", "--connect-timeout", "2", "--max-time", "60", "-H", hostHeader(work), "-H", BEHIND];
  const { output } = await run("curl", [...words, `http://${web}/status.php`], held(work));
  if (!serves(output, release)) return [`${web} says ${output.trimEnd().slice(0, 300)}`];
  const status = ["-o", "/dev/null", "-w", "%{http_code}"];
  const page = await run("curl", [...words, ...status, `http://${web}/index.php/login`], held(work));
  const answer = page.output.trim();
  return answer === "200" ? [] : [`${web} answers the login page with ${answer}`];
}

/** Whether status.php says that the release serves. */
function serves(text: string, release: string): boolean {
  try {
    const status = JSON.parse(text) as Record<string, unknown>;
    const { installed, maintenance, needsDbUpgrade, versionstring } = status;
    return Boolean(installed) && !maintenance && !needsDbUpgrade && versionstring === release;
  } catch {
    return false;
  }
}

/** Uses the space as a member, through one web server. A full space takes no upload. */
async function useThroughFirst(work: Converging): Promise<string[]> {
  const found: (string | undefined)[] = [];
  const [web] = reachableWebServers(work);
  if (web === undefined || work.directory.has("full")) return [];
  const visit = { web, words: ["-H", BEHIND] };
  // One after the other: requests at the same time that are the first of an account fail in Nextcloud now and then
  // (503). What is not deleted here goes with the account.
  const whole = await tryWhole(work, visit, "whole");
  found.push(whole ?? (await tryDelete(work, visit, "whole")));
  for (const client of ["old", "new"] as const) found.push(await tryChunks(work, visit, client, client));
  return found.filter((problem) => problem !== undefined);
}
