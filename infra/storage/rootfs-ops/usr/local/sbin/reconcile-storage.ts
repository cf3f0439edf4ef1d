// reconcile-storage [watch | all | compare | heal SITE]: keeps the storage sites as they are declared. See
// infra/storage/programs/reconcile-storage.ts.
import { runProgram } from "../../../../../machine/programs/program.ts";
import { reconcileStorage } from "../../../../programs/reconcile-storage.ts";

void runProgram(() => reconcileStorage("", process.argv.slice(2)));
