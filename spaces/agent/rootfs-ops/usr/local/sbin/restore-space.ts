// restore-space ID [EXPORT]: replaces what a space holds by an export. See spaces/agent/programs/restore/restore.ts.
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";
import { restoreSpace } from "../../../../programs/restore/restore.ts";

void runProgram(() => restoreSpace(placesIn(""), process.argv.slice(2)));
