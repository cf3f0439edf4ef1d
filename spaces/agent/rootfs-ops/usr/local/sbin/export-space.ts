// export-space ID [--locked]: writes a whole space into the archive. See spaces/agent/programs/export/export.ts.
import { exportSpace } from "../../../../programs/export/export.ts";
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";

void runProgram(() => exportSpace(placesIn(""), process.argv.slice(2)));
