// platform-health [--report]: prints one line for each problem. See infra/monitoring/programs/platform-health.ts.
import { runProgram } from "../../../../../machine/programs/program.ts";
import { platformHealth } from "../../../../programs/platform-health.ts";

void runProgram(() => platformHealth("", process.argv.slice(2)));
