// archive-space ID [--locked]: does the next step for an archived space. See spaces/agent/programs/archiving.ts.
import { archiveSpace } from "../../../../programs/archiving.ts";
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";

void runProgram(() => archiveSpace(placesIn(""), process.argv.slice(2)));
