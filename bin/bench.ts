// `npm run bench`: measures what checking and planning cost for 10,000 spaces, against budgets.
import { Command } from "commander";
import { benchFleet } from "../bench/measure-fleet.ts";
import { runMain } from "../validation/user-error.ts";

const program = new Command("npm run bench --")
  .description("What checking and planning cost for 10,000 spaces, beside their budgets.")
  .argument("[words...]", "only cases that have all of these in their title")
  .action(async (words: string[]) => {
    if (!(await benchFleet(words))) process.exitCode = 1;
  });

await runMain(() => program.parseAsync());
