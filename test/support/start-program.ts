// Starts a program of ops-1 from its source, with a folder in the machine's place:
//   node test/support/start-program.ts FOLDER PROGRAM WORDS…
import { existsSync } from "node:fs";
import { join } from "node:path";
import { archiveSpace } from "../../spaces/agent/programs/archiving.ts";
import { convergeSpace } from "../../spaces/agent/programs/converge/converge.ts";
import { exportSpace } from "../../spaces/agent/programs/export/export.ts";
import { placesIn } from "../../spaces/agent/programs/places.ts";
import { runProgram } from "../../spaces/agent/programs/program.ts";
import { removeSpace } from "../../spaces/agent/programs/removal.ts";
import { restoreSpaceAt } from "../../spaces/agent/programs/restore-at/restore-at.ts";
import { restoreSpace } from "../../spaces/agent/programs/restore/restore.ts";

const [root = "", program = "", ...words] = process.argv.slice(2);
const library = join(import.meta.dirname, "../../spaces/agent/rootfs-ops/usr/local/lib/framaspace");
// Some tests have a library of their own.
const own = existsSync(join(root, "empty-database.sql"));
const places = placesIn(root, own ? root : library, join(root, "bin"));

const PROGRAMS: Readonly<Record<string, () => Promise<string>>> = {
  "archive-space": () => archiveSpace(places, words, 1),
  "converge-space": () => convergeSpace(places, words, 1),
  "export-space": () => exportSpace(places, words, 1),
  "remove-space": () => removeSpace(places, words),
  "restore-space-at": () => restoreSpaceAt(places, words, 1),
  "restore-space": () => restoreSpace(places, words, 1),
};
const run = PROGRAMS[program];
if (!run) throw new Error(`no program of TypeScript is called ${program}`);
await runProgram(run);
