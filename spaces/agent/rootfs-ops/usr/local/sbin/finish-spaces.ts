// finish-spaces: does what is wanted of spaces and is not done yet. See spaces/agent/programs/finish-spaces.ts.
import { finishSpaces } from "../../../../programs/finish-spaces.ts";
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";

void runProgram(() => finishSpaces(placesIn(""), process.argv.slice(2)));
