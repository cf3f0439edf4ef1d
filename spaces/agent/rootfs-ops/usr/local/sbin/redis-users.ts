// redis-users: gives each space its own user in Redis. See spaces/agent/programs/redis-users.ts.
import { placesIn } from "../../../../programs/places.ts";
import { runProgram } from "../../../../../../infra/machine/programs/program.ts";
import { redisUsers } from "../../../../programs/redis-users.ts";

void runProgram(() => redisUsers(placesIn(""), process.argv.slice(2)));
