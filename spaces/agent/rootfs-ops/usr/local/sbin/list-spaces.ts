// list-spaces [--fresh] [ID…]: says what the machines hold of spaces. See spaces/agent/programs/list-spaces.ts.
import { listSpaces } from "../../../../programs/list-spaces.ts";
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";

void runProgram(() => listSpaces(placesIn(""), process.argv.slice(2)));
