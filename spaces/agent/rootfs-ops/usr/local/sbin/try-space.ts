// try-space ID…: uses spaces as members do. See spaces/agent/programs/try-spaces.ts.
// Exit status: 0 all serve, 1 there are problems.
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";
import { trySpaces } from "../../../../programs/try-spaces.ts";

void runProgram(() => trySpaces(placesIn(""), process.argv.slice(2)));
