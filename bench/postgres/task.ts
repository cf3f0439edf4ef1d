// What `npm run bench:postgres` measures.
import { join } from "node:path";
import { cloudMachines } from "../../infra/inventory/addresses.ts";
import { readEnvironment } from "../../infra/inventory/environment-file.ts";
import { postgresFiles } from "../../infra/postgres/postgres.ts";
import type { Task } from "./measurements.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Limit for the creation of the databases and all rounds. */
export const LIMIT_MINUTES = 6.5;

/** The task, with prod's settings: `spaces` databases, at most `rounds` rounds. */
export function makeTask(spaces: number, rounds: number): Task {
  const { value: environment } = readEnvironment(ROOT, "prod");
  const [node] = environment ? cloudMachines(environment, "postgres") : [];
  if (!environment || !node) throw new Error("prod has no PostgreSQL node");
  const chosen = postgresFiles(environment, node, undefined).find(({ path }) =>
    path.endsWith("/postgresql.conf"),
  )?.content;
  if (typeof chosen !== "string") throw new Error("prod has no postgresql.conf");
  return {
    chosen,
    spaces,
    rounds,
    fillSeconds: 150,
    seconds: LIMIT_MINUTES * 60,
    ways: [
      { title: "PostgreSQL's defaults", settings: "defaults" },
      { title: "chosen settings", settings: "chosen" },
      { title: "chosen settings, PgBouncer", settings: "chosen", pooler: "transaction" },
    ],
    // pages: a page in a browser. polls: a client that asks whether something has changed.
    pages: { workers: 16, visit: 10, seconds: 6, holdMs: 0 },
    polls: { workers: 16, visit: 1, seconds: 6, holdMs: 0 },
    // All PHP workers of prod's two web servers (infra/web/install.sh: 218 each), all in slow requests.
    crowd: { workers: 436, visit: 1, seconds: 8, holdMs: 6000 },
    idleSeconds: 6,
  };
}
