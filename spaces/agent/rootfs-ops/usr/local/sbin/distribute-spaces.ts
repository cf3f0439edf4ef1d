// distribute-spaces [ID]: copies spaces' directories to the web servers. See spaces/agent/programs/distribute-spaces.ts.
import { distributeSpaces } from "../../../../programs/distribute-spaces.ts";
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";

void runProgram(() => distributeSpaces(placesIn(""), process.argv.slice(2)));
