// Starts a program of ops-1 from its source, with a folder in the machine's place:
//   node test/support/start-program.ts FOLDER PROGRAM WORDS…
import { existsSync } from "node:fs";
import { join } from "node:path";
import { archiveSpace } from "../../spaces/agent/programs/archiving.ts";
import { convergeSpace } from "../../spaces/agent/programs/converge/converge.ts";
import { serveConverging } from "../../spaces/agent/programs/converge/converge-service.ts";
import { distributeSpaces } from "../../spaces/agent/programs/distribute-spaces.ts";
import { exportSpace } from "../../spaces/agent/programs/export/export.ts";
import { finishSpaces } from "../../spaces/agent/programs/finish-spaces.ts";
import { listSpaces } from "../../spaces/agent/programs/list-spaces.ts";
import { occSpace } from "../../spaces/agent/programs/occ-space.ts";
import { placesIn } from "../../spaces/agent/programs/places.ts";
import { runProgram, type Result } from "../../infra/machine/programs/program.ts";
import { prepareRelease } from "../../spaces/agent/programs/prepare/prepare-release.ts";
import { redisUsers } from "../../spaces/agent/programs/redis-users.ts";
import { removeSpace } from "../../spaces/agent/programs/removal.ts";
import { restoreSpaceAt } from "../../spaces/agent/programs/restore-at/restore-at.ts";
import { restoreSpace } from "../../spaces/agent/programs/restore/restore.ts";
import { runCron } from "../../spaces/agent/programs/run-cron.ts";
import { trySpaces } from "../../spaces/agent/programs/try-spaces.ts";

const [root = "", program = "", ...words] = process.argv.slice(2);
const library = join(import.meta.dirname, "../../spaces/agent/rootfs-ops/usr/local/lib/framaspace");
// Some tests have a library of their own.
const own = existsSync(join(root, "empty-database.sql"));
const places = placesIn(root, own ? root : library, join(root, "bin"));

const PROGRAMS: Readonly<Record<string, () => Promise<Result>>> = {
  "archive-space": () => archiveSpace(places, words, 1),
  "converge-space": () =>
    words[0] === "--serve"
      ? serveConverging(places, 1)
      : convergeSpace(places, words, { patienceSeconds: 1 }),
  "distribute-spaces": () => distributeSpaces(places, words),
  "export-space": () => exportSpace(places, words, 1),
  "finish-spaces": () => finishSpaces(places, words),
  "list-spaces": () => listSpaces(places, words),
  "occ-space": () => occSpace(places, words),
  "prepare-release": () => prepareRelease(places, words, import.meta.filename),
  "redis-users": () => redisUsers(places, words),
  "remove-space": () => removeSpace(places, words),
  "restore-space-at": () => restoreSpaceAt(places, words, 1),
  "restore-space": () => restoreSpace(places, words, 1),
  // A job is long after one second.
  "run-cron": () => runCron(places, 1),
  "try-space": () => trySpaces(places, words),
};
const run = PROGRAMS[program];
if (!run) throw new Error(`no program of TypeScript is called ${program}`);
await runProgram(run);
