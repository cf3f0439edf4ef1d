// What the program converge-space asks, or runs:
//   converge-space --serve       stays, and converges for others: spaces/agent/programs/converge/converge-service.ts
//   converge-space [--again ID]  brings one space to what is wanted of it: spaces/agent/programs/converge/converge.ts
import { convergeSpace } from "../../../../../programs/converge/converge.ts";
import { serveConverging } from "../../../../../programs/converge/converge-service.ts";
import { placesIn } from "../../../../../programs/places.ts";
import { runProgram } from "../../../../../../../infra/machine/programs/program.ts";

const places = placesIn("");
const words = process.argv.slice(2);
void runProgram(() => (words[0] === "--serve" ? serveConverging(places) : convergeSpace(places, words)));
