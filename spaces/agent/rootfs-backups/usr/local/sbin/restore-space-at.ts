// restore-space-at ID TIME [NEW_ID]: puts one space back to a moment. See spaces/agent/programs/restore-at/restore-at.ts.
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";
import { restoreSpaceAt } from "../../../../programs/restore-at/restore-at.ts";

void runProgram(() => restoreSpaceAt(placesIn(""), process.argv.slice(2)));
