// Whether visitors get in, and whether web servers answer as they should.
import { existsSync } from "node:fs";
import { openDatabase } from "../close-space.ts";
import { failure, say } from "../space-work.ts";
import { askPages, distribute, isUndistributed, sayWrong, webServers } from "../web-servers.ts";
import type { Converging } from "./converging.ts";

/** nginx looks for these files at each request. */
export async function setState(work: Converging): Promise<void> {
  const { directory, wanted } = work;
  for (const stopped of ["suspended", "archived"] as const)
    if (wanted.state === stopped) await directory.put(stopped, 0o640, "root:root", "");
  for (const stopped of ["suspended", "archived"] as const)
    if (wanted.state !== stopped) directory.drop(stopped);
  // No program works behind the maintenance any more: it would hold the lock.
  await openDatabase(work);
  directory.drop("maintenance");
}

const STATUS = { active: 200, suspended: 503, archived: 410 };

/** Asks the web servers while the rest is looked at: an unchanged space takes a fifth less time. */
export function askEarly(work: Converging): void {
  if (!existsSync(work.directory.path) || isUndistributed(work)) return;
  work.asked = askPages(work, STATUS[work.wanted.state]);
  // Whoever needs the answer is told.
  work.asked.catch(() => {});
}

/**
 * A web server may answer wrongly because its copy is missing, so copy once more before it counts. A web server that
 * does not answer gets its copy from the timer as soon as it does. The space is served as long as another one answers.
 */
export async function serve(work: Converging): Promise<void> {
  const expected = STATUS[work.wanted.state];
  if (isUndistributed(work)) await distribute(work);
  let wrong = (work.changed.length === 0 && (await work.asked)) || (await askPages(work, expected));
  if (wrong.some(({ answer }) => answer !== "unreachable")) {
    await distribute(work);
    wrong = await askPages(work, expected);
  }
  if (wrong.length === 0) return;
  work.pending = wrong.map(({ web }) => web);
  work.left.push(`not served by ${sayWrong(wrong)}`);
  say(
    work,
    `not served by ${sayWrong(wrong)}; tried again twice a minute (systemctl status distribute-spaces)`,
  );
  if (wrong.length >= webServers(work).length) throw failure(work, "no web server answers as it should");
}
