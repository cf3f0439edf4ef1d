// Starts a program of ops-1 from its source, with a folder in the machine's place:
//   node test/support/start-program.ts FOLDER PROGRAM WORDS…
import { join } from "node:path";
import { convergeSpace } from "../../spaces/agent/programs/converge/converge.ts";
import { distributeSpaces } from "../../spaces/agent/programs/distribute-spaces.ts";
import { finishSpaces } from "../../spaces/agent/programs/finish-spaces.ts";
import { listSpaces } from "../../spaces/agent/programs/list-spaces.ts";
import { placesIn } from "../../spaces/agent/programs/places.ts";
import { redisUsers } from "../../spaces/agent/programs/redis-users.ts";
import { runProgram, type Result } from "../../spaces/agent/programs/program.ts";
import { runCron } from "../../spaces/agent/programs/run-cron.ts";
import { trySpaces } from "../../spaces/agent/programs/try-spaces.ts";

const [root = "", program = "", ...words] = process.argv.slice(2);
const library = join(import.meta.dirname, "../../spaces/agent/rootfs-ops/usr/local/lib/framaspace");
const places = placesIn(root, library, join(root, "bin"));

const PROGRAMS: Readonly<Record<string, () => Promise<Result>>> = {
  "converge-space": () => convergeSpace(places, words, 1),
  "distribute-spaces": () => distributeSpaces(places, words),
  "finish-spaces": () => finishSpaces(places, words),
  "list-spaces": () => listSpaces(places, words),
  "redis-users": () => redisUsers(places, words),
  // A job is long after one second.
  "run-cron": () => runCron(places, 1),
  "try-space": () => trySpaces(places, words),
};
const run = PROGRAMS[program];
if (!run) throw new Error(`no program of TypeScript is called ${program}`);
await runProgram(run);
