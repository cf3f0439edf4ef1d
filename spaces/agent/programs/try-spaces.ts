// try-space: uses spaces as their members do, and prints one line for each problem. It makes a throw-away account in each
// space, and through every web server logs in, uploads a file whole and in chunks, reads both back through every other
// one, and deletes them. Through the first it also shares a file by a link, asks for the preview of a picture and writes
// into a calendar. At last it runs the space's background job. Before all that, it says which releases of this machine
// are not what their makers signed.
import { existsSync, readFileSync } from "node:fs";
import { waitForCron } from "./close-space.ts";
import { unlock, type Locks } from "./locks.ts";
import { dropMember, makeMember, makeUpload } from "./member.ts";
import { lastLine, ownConfig, runPhp, scratchConfig } from "./nextcloud-command.ts";
import type { Places } from "./places.ts";
import { isId, readCatalog, readSpace } from "./read-space.ts";
import { sayError, type Result } from "../../../infra/machine/programs/program.ts";
import { differingReleases } from "./prepared-release.ts";
import { SpaceError } from "./space-error.ts";
import { beginWork, lockSpace, type SpaceWork } from "./space-work.ts";
import { tryThrough } from "./try-through.ts";
import { reachableWebServers } from "./web-servers.ts";

/** Tries spaces, one after the other. One that breaks does not hide the next one. Status 0: all serve. */
export async function trySpaces(places: Places, ids: readonly string[]): Promise<Result> {
  if (ids.length === 0) {
    console.error("try-space ID…");
    return { output: "", status: 2 };
  }
  const { acceptedReleases } = readCatalog(places);
  const lines = differingReleases(places, acceptedReleases).map((line) => `${line}\n`);
  let broken = false;
  for (const id of ids) {
    try {
      for (const problem of await trySpace(places, id)) lines.push(`space ${id}: ${problem}\n`);
    } catch (error) {
      sayError(error);
      broken = true;
    }
  }
  return { output: lines.join(""), status: broken || lines.length > 0 ? 1 : 0 };
}

/** Resolves to what is wrong with a space. Throws SpaceError if it cannot be tried. */
async function trySpace(places: Places, id: string): Promise<string[]> {
  if (!isId(id)) throw new SpaceError({ id, step: "reading" }, "this is no id");
  const file = `${places.spaces}/${id}/config/space.json`;
  const locks: Locks = {};
  try {
    locks.space = await lockSpace(places, { id, step: "reading" });
    if (!existsSync(file)) return ["ops-1 does not have it"];
    const work = { ...beginWork(places, readSpace(places, readFileSync(file, "utf8"))), locks };
    work.step = "use it as a member";
    const { state } = work.space.document;
    return state === "active" ? await useSpace(work) : [`it is ${state}, so nobody can use it`];
  } finally {
    for (const which of ["space", "cron"] as const) unlock(locks, which);
  }
}

async function useSpace(work: SpaceWork): Promise<string[]> {
  const member = { config: scratchConfig(work), release: work.space.document.release };
  try {
    const webs = reachableWebServers(work);
    if (webs.length === 0) return ["ops-1 reaches no web server"];
    await waitForCron(work);
    const problem = await makeMember(work, member);
    if (problem !== undefined) return [problem];
    // Nextcloud takes no chunk but the last under 5 MB into object storage (S3's limit of a part).
    makeUpload(work, 6 * MEGABYTE, 2 * MEGABYTE);
    const found: string[] = [];
    for (const web of webs) found.push(...(await tryThrough(work, web, webs)));
    return [...found, ...(await tryCron(work))];
  } finally {
    await dropMember(work, member);
  }
}

const MEGABYTE = 2 ** 20;

/** Its background job, which is not counted as one of run-cron's. */
async function tryCron(work: SpaceWork): Promise<string[]> {
  const own = { config: ownConfig(work), release: work.space.document.release };
  const options = { longestSeconds: 600, errors: "with-output" } as const;
  const { status, output } = await runPhp(work, own, "cron.php", [], options);
  return status === 0 ? [] : [`its background job ends with status ${status}: ${lastLine(output, 200)}`];
}
