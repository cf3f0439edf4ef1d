// `npm run bench:spaces`: measures what spaces cost in a running lab, against budgets.
import { Command } from "commander";
import { benchSpaces } from "../bench/measure-spaces.ts";
import { runMain } from "../validation/user-error.ts";

interface Options {
  name: string;
  spaces: string;
  upgrade?: string;
}

const program = new Command("npm run bench:spaces --")
  .description("What spaces cost in a lab that is up: to create, to converge, to upgrade.")
  .argument("[options...]", "after another --: options of the lab's up, such as --nextcloud")
  .option("--name <name>", "the lab's name", "lab")
  .option("--spaces <n>", "how many are created", "100")
  .option("--upgrade <release>", "the release that two spaces are moved to, for the outage of the second one")
  .action(async (upOptions: string[], { spaces, ...options }: Options) => {
    if (!(await benchSpaces({ ...options, spaces: Number(spaces), upOptions }))) process.exitCode = 1;
  });

await runMain(() => program.parseAsync());
