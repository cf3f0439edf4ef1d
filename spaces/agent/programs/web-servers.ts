// The web servers, as ops-1 sees them.
import { existsSync, rmSync } from "node:fs";
import { copyToWebServers, isUnreachable, webServersOf } from "./distribute-spaces.ts";
import { run } from "../../../infra/machine/programs/run-command.ts";
import { handoverIn } from "./space-directory.ts";
import { held, heldButSpace, spaceUser, type SpaceWork } from "./space-work.ts";

/** A header with which ops-1 sees the space behind its maintenance. */
export const BEHIND = "X-Behind-Maintenance: yes";

/** A web server that does not answer as it should: what it answers, `000` for nothing. */
export interface WrongAnswer {
  web: string;
  answer: string;
}

export const webServers = ({ places }: SpaceWork): string[] => webServersOf(places);

/** Those that are not known to be unreachable. */
export const reachableWebServers = ({ places }: SpaceWork): string[] =>
  webServersOf(places).filter((web) => !isUnreachable(places, web));

export const isUndistributed = ({ places, space }: SpaceWork) =>
  existsSync(`${places.undistributed}/${space.id}`);

/** Copies the directory to every web server. If one does not answer, a timer copies it as soon as it does. */
export async function distribute(work: SpaceWork): Promise<void> {
  const { places, space } = work;
  const handover = handoverIn(`${places.undistributed}/${space.id}`);
  // Its new user could read only half of it, and so could that of before. finish-spaces gives it the rest.
  if (handover === "giving") return;
  const missed = await copyToWebServers(places, space.id, heldButSpace(work).locks, {
    emptyTmp: handover === "given",
  });
  if (missed.length === 0) rmSync(`${places.undistributed}/${space.id}`, { force: true });
}

/**
 * Asks all web servers for the space's status.php, but those that are known to be unreachable. Resolves to those that
 * do not answer with this status.
 * @param headers Of the requests.
 */
export async function askPages(
  work: SpaceWork,
  expected: number,
  headers: readonly string[] = [],
): Promise<WrongAnswer[]> {
  const reachable = reachableWebServers(work);
  const unreachable = webServers(work).filter((web) => !reachable.includes(web));
  const wrong = unreachable.map((web) => ({ web, answer: "unreachable" }));
  if (reachable.length === 0) return wrong;
  const words = ["-sZ", "--connect-timeout", "2", "--max-time", "20"];
  const asked = [hostHeader(work), ...headers].flatMap((header) => ["-H", header]);
  const requests = reachable.flatMap((web) => ["-o", "/dev/null", `http://${web}/status.php`]);
  const { output } = await run(
    "curl",
    [...words, ...asked, "-w", String.raw`%{url} %{http_code}\n`, ...requests],
    held(work),
  );
  for (const [, web = "", answer = ""] of output.matchAll(/^http:\/\/([^/\s]+)\S* (\S+)$/gm))
    if (answer !== String(expected)) wrong.push({ web, answer });
  return wrong;
}

/**
 * Ends the space's PHP workers that wait for a next request, because each keeps its connection to the database. One with
 * a request ends after that. Workers of a web server that this does not reach end by themselves, ten seconds after their
 * last request (infra/web/rootfs/etc/framaspace/php-pool.conf).
 */
export async function endIdleWorkers(work: SpaceWork): Promise<void> {
  // By the connection that the copying left open, if there is one. A new one would keep this program's output open.
  const words = ["-F", work.places.distributeSsh, "-o", "ControlMaster=no"];
  const end = `end-idle-php ${spaceUser(work)}`;
  const options = { ...held(work), errors: "ignore" } as const;
  await Promise.all(
    reachableWebServers(work).map((web) => run("ssh", [...words, `root@${web}`, end], options)),
  );
}

export const hostHeader = ({ space }: SpaceWork) => `Host: ${space.document.host}`;
export const sayWrong = (wrong: readonly WrongAnswer[]) =>
  wrong.map(({ web, answer }) => `${web} ${answer}`).join(", ");
