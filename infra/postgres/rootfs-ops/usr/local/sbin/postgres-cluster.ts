// postgres-cluster VERB: decides which PostgreSQL node takes the writes. See infra/postgres/programs/postgres-cluster.ts.
import { runProgram } from "../../../../../machine/programs/program.ts";
import { postgresCluster } from "../../../../programs/postgres-cluster.ts";

void runProgram(() => postgresCluster("", process.argv.slice(2)));
