// A space is closed while a program changes its data: visitors are outside, and its database takes no write of theirs.
import { setTimeout as sleep } from "node:timers/promises";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import { lockFileOf, unlock } from "./locks.ts";
import { bringBack } from "./old-versions.ts";
import { administrate } from "./space-database.ts";
import { failure, say, type SpaceWork } from "./space-work.ts";
import { askPages, distribute, endIdleWorkers, sayWrong } from "./web-servers.ts";

/**
 * Waits for the background job while the space still serves. Then every web server answers visitors with a 503 that asks
 * them to come back soon. Then it waits for requests that are under way, and shuts the database. From here on, only the
 * caller changes the space's data. Throws SpaceError if a web server goes on serving the space.
 */
export async function closeSpace(work: SpaceWork): Promise<void> {
  await waitForCron(work);
  await work.directory.put("maintenance", 0o640, "root:root", "");
  await distribute(work);
  const wrong = await askPages(work, 503);
  const serving = wrong.filter(({ answer }) => answer !== "unreachable" && answer !== "000");
  if (serving.length > 0) {
    await openSpace(work);
    throw failure(
      work,
      `${sayWrong(serving)} would go on serving it meanwhile; look at the web server (npm run lab -- logs, journalctl -u distribute-spaces), then run it again`,
    );
  }
  await shutDatabase(work);
}

/** Lets visitors in again. */
export async function openSpace(work: SpaceWork): Promise<void> {
  await openDatabase(work);
  work.directory.drop("maintenance");
  await distribute(work);
  unlock(work.locks, "cron");
}

/** Waits until the background job has ended. None begins until this program ends, or opens the space. */
export async function waitForCron(work: SpaceWork): Promise<void> {
  const file = lockFileOf(work.places, "cron", work.space.id);
  unlock(work.locks, "cron");
  const descriptor = await lock(file, 900);
  if (descriptor === undefined)
    throw failure(
      work,
      `its background job has run for 15 minutes, so nothing was changed (fuser -v ${file}); run it again`,
    );
  work.locks.cron = descriptor;
}

/**
 * From here on, only the programs of ops-1 write to the database, whatever web servers do. The database itself refuses
 * the others, because Nextcloud connects again after its connection is cut: an upload that was under way would be
 * acknowledged after the dump. What is refused here was not acknowledged.
 */
export async function shutDatabase(work: SpaceWork): Promise<void> {
  const { patienceSeconds: patience } = work;
  const end = performance.now() / 1000 + patience;
  const sessions = sessionsOf(work);
  if (work.door.state === "open") work.door = { state: "shut" };
  // PHP asks libpq for a session that may write, and libpq refuses one that may not.
  if (!(await alterRole(work, "SET default_transaction_read_only = on")))
    throw failure(
      work,
      "its database cannot be shut; look at the primary (psql service=framaspace), then run it again",
      "database",
    );
  await endIdleWorkers(work);
  for (;;) {
    const { status, output } = await administrate(work, `SELECT count(*) ${sessions}`);
    const others = output.trim();
    if (status !== 0 || others === "")
      throw failure(
        work,
        "its database does not say who is connected to it; look at the primary (psql service=framaspace), then run it again",
        "database",
      );
    if (others === "0") return;
    const now = performance.now() / 1000;
    if (now >= end + patience)
      throw failure(
        work,
        `${others} requests of it cannot be ended (psql service=framaspace -c 'SELECT * FROM pg_stat_activity'); run it again`,
        "database",
      );
    if (now >= end) await endRequests(work, others);
    await sleep(500);
  }
}

function sessionsOf({ space }: SpaceWork): string {
  const { name = "", user = "" } = space.document.database ?? {};
  return `FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = '${name}' AND usename = '${user}'`;
}

async function endRequests(work: SpaceWork, others: string): Promise<void> {
  say(
    work,
    `${others} requests still under way after ${work.patienceSeconds} s are ended; they were not acknowledged`,
  );
  // Two seconds earlier: what a request was writing to the bucket at that moment counts, too.
  const ended = Math.floor(Date.now() / 1000) - 2;
  if (work.door.state === "open" || work.door.ended === undefined) work.door = { state: "shut", ended };
  const { status } = await administrate(work, `SELECT count(pg_terminate_backend(pid)) ${sessionsOf(work)}`);
  if (status !== 0)
    throw failure(
      work,
      "requests of it cannot be ended; look at the primary (psql service=framaspace), then run it again",
      "database",
    );
}

/** Lets web servers write again. */
export async function openDatabase(work: SpaceWork): Promise<void> {
  if (work.door.state === "open") return;
  if (work.door.ended !== undefined) await bringBack(work, work.door.ended, "if the database has them");
  if (!(await alterRole(work, "RESET default_transaction_read_only")))
    throw failure(
      work,
      "its database cannot be opened again, so visitors stay outside; look at the primary (psql service=framaspace), then run it again",
      "database",
    );
  work.door = { state: "open" };
}

async function alterRole(work: SpaceWork, change: string): Promise<boolean> {
  const { name = "", user = "" } = work.space.document.database ?? {};
  return (await administrate(work, `ALTER ROLE "${user}" IN DATABASE "${name}" ${change}`)).status === 0;
}
