// Who may go to a release, and when: an upgrade that fails in one space may fail in all.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { lock } from "../../../../infra/machine/programs/lock-file.ts";
import { unlock } from "../locks.ts";
import { failure } from "../space-work.ts";
import { releaseOf, type Converging } from "./converging.ts";
import { readIfThere } from "../../../../infra/machine/programs/texts.ts";

/** The files of the spaces of the wave whose upgrade to the release failed. */
const marksOf = ({ places, wanted }: Converging) => `${places.waves}/${wanted.wave}/${wanted.release}`;

/** The names in a folder that are not hidden; none if it is not there. */
const namesIn = (folder: string) =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => !name.startsWith("."))
        .sort()
    : [];

/**
 * Throws SpaceError if too many spaces of the wave have failed: no further one is upgraded. Those that failed may try
 * again.
 */
export function checkWave(work: Converging): void {
  const { places, space, wanted, facts } = work;
  const marks = marksOf(work);
  if (!existsSync(marks) || existsSync(`${marks}/${space.id}`)) return;
  const ofWave = `"wave":"${wanted.wave}"`;
  const failed = namesIn(marks).filter((id) => isStillToHave(work, id, ofWave));
  const percent = space.catalog.upgrade.stopAtFailedPercent;
  const total = namesIn(places.spaces).filter((id) =>
    readIfThere(`${places.spaces}/${id}/config/space.json`)?.includes(ofWave),
  ).length;
  if (failed.length * 100 <= percent * total) return;
  throw failure(
    work,
    `wave "${wanted.wave}" has stopped on its way to ${wanted.release}: ${failed.length} of ${total} spaces failed (${failed.join(" ")}), more than ${percent} %. It stays on ${releaseOf(facts.version ?? "")}. See ${places.log}/upgrade-<id>.log; when the cause is gone, run up again: those that failed try first`,
  );
}

/**
 * Until some space serves by the new release, one space at a time goes to it. If that one fails, no other follows: the
 * fault may be the release's.
 */
export async function awaitProof(work: Converging): Promise<void> {
  const { places, wanted, locks } = work;
  const proof = `${places.proven}/${wanted.release}`;
  if (existsSync(proof)) return;
  const file = `${places.run}/proof-${wanted.release}.lock`;
  const descriptor = await lock(file, 3600);
  if (descriptor === undefined)
    throw failure(
      work,
      `the first space that goes to ${wanted.release} is not done after an hour (fuser -v ${file}). It stays on ${releaseOf(work.facts.version ?? "")}; run up again`,
    );
  locks.proof = descriptor;
  // Whoever waited meanwhile need not go one by one any more.
  if (existsSync(proof)) unlock(locks, "proof");
  else refuseAfterOthers(work);
}

/** Throws SpaceError if the release failed in another space that is still to have it. */
function refuseAfterOthers(work: Converging): void {
  const { places, space, wanted, facts } = work;
  for (const wave of namesIn(places.waves)) {
    const marks = `${places.waves}/${wave}/${wanted.release}`;
    for (const other of namesIn(marks)) {
      if (other === space.id || !isStillToHave(work, other)) continue;
      const why = readFileSync(`${marks}/${other}`, "utf8").trimEnd();
      throw failure(
        work,
        `${wanted.release} failed in ${other}, the first space that it was tried on: ${why}. It stays on ${releaseOf(facts.version ?? "")}, and no space is upgraded before ${other} is. All that was said: ${places.log}/upgrade-${other}.log. When the cause is gone, run up again. If only ${other} is at fault, rm ${marks}/${other}, and another space goes first`,
      );
    }
  }
}

/**
 * Whether a space is to have the release that this one is to have, and `more` is true of it, too. One that is gone, or
 * that left release or wave, no longer stops the others.
 */
function isStillToHave({ places, wanted }: Converging, id: string, more = ""): boolean {
  const kept = readIfThere(`${places.wanted}/${id}`);
  return kept !== undefined && kept.includes(`"release":"${wanted.release}"`) && kept.includes(more);
}

export function markFailed(work: Converging, why: string): void {
  mkdirSync(marksOf(work), { recursive: true });
  writeFileSync(`${marksOf(work)}/${work.space.id}`, `${why}\n`);
}

/** The space is on the release. If it is active, it was seen to serve by it. */
export function markUpgraded(work: Converging): void {
  const { places, space, wanted, locks } = work;
  rmSync(`${marksOf(work)}/${space.id}`, { force: true });
  const proof = `${places.proven}/${wanted.release}`;
  if (wanted.state === "active" && !existsSync(proof)) {
    mkdirSync(places.proven, { recursive: true });
    writeFileSync(proof, `${space.id}\n`);
  }
  unlock(locks, "proof");
}
