// prepare-release VERSION: makes what new spaces begin with. See spaces/agent/programs/prepare/prepare-release.ts.
import { placesIn } from "../../../../programs/places.ts";
import { prepareRelease } from "../../../../programs/prepare/prepare-release.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";

const [, program = "", ...words] = process.argv;
void runProgram(() => prepareRelease(placesIn(""), words, program));
