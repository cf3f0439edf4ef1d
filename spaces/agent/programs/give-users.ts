// Gives spaces their own Unix user and pool where an earlier version of the platform ran all of them as one user. Until
// then, web servers serve them by the pool of before.
import { readFileSync, writeFileSync } from "node:fs";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import { isUnreachable, webServersOf } from "./distribute-spaces.ts";
import { lockFileOf, unlock } from "./locks.ts";
import type { Places } from "./places.ts";
import { sayError } from "../../../infra/machine/programs/program.ts";
import { idsOfSpaces, readSpace } from "./read-space.ts";
import { handoverIn, hasUser } from "./space-directory.ts";
import { namingStep } from "./space-error.ts";
import { beginWork, type SpaceWork } from "./space-work.ts";
import { distribute } from "./web-servers.ts";

/**
 * Gives them all, and finishes what was cut off, or did not reach every web server. A space that a program works on comes
 * with the next run. Says what is wrong.
 */
export async function giveUsers(places: Places): Promise<void> {
  const reachesAll = () => !webServersOf(places).some((web) => isUnreachable(places, web));
  const waiting = idsOfSpaces(places).filter((id) => {
    const handover = handoverIn(`${places.undistributed}/${id}`);
    return (
      !hasUser(`${places.spaces}/${id}`) || handover === "giving" || (handover === "given" && reachesAll())
    );
  });
  for (const id of waiting) {
    const document = readFileSync(`${places.spaces}/${id}/config/space.json`, "utf8");
    let work: SpaceWork | undefined;
    try {
      work = beginWork(places, readSpace(places, document));
      await giveUser(work);
    } catch (error) {
      sayError(namingStep(work ?? { space: { id }, step: "user" }, error));
    } finally {
      if (work) for (const which of ["space", "cron"] as const) unlock(work.locks, which);
    }
  }
}

async function giveUser(work: SpaceWork): Promise<void> {
  const { places, space, locks, directory } = work;
  work.step = "user";
  const number = space.document.redis?.database;
  if (number === undefined) {
    // converge-space gives the number, and then the user.
    writeFileSync(`${places.unfinished}/${space.id}`, "it has no number for its user\n");
    return;
  }
  for (const which of ["space", "cron"] as const) {
    const descriptor = await lock(lockFileOf(places, which, space.id), 0);
    if (descriptor === undefined) return;
    locks[which] = descriptor;
  }
  await directory.giveTo(number);
  await distribute(work);
}
