// remove-space ID: forgets a space whose entry is gone. See spaces/agent/programs/removal.ts.
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";
import { removeSpace } from "../../../../programs/removal.ts";

void runProgram(() => removeSpace(placesIn(""), process.argv.slice(2)));
