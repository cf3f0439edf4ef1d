// occ-space ID WORDS…: Nextcloud's command line for one space. See spaces/agent/programs/occ-space.ts.
import { occSpace } from "../../../../programs/occ-space.ts";
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";

void runProgram(() => occSpace(placesIn(""), process.argv.slice(2)));
