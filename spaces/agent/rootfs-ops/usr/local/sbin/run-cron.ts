// run-cron: runs the background jobs of all spaces. See spaces/agent/programs/run-cron.ts.
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";
import { runCron } from "../../../../programs/run-cron.ts";

void runProgram(() => runCron(placesIn("")));
