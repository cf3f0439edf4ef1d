// converge-space [--again ID]: brings one space to what is wanted of it. See spaces/agent/programs/converge/converge.ts.
import { convergeSpace } from "../../../../programs/converge/converge.ts";
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";

void runProgram(() => convergeSpace(placesIn(""), process.argv.slice(2)));
