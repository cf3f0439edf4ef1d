// `npm run bench:day`: measures a web server whose spaces are all polled by sync clients, in a running lab.
import { Command } from "commander";
import { benchDay } from "../bench/measure-day.ts";
import { runMain } from "../validation/user-error.ts";

interface Options {
  name: string;
  spaces: string;
  minutes: string;
}

const program = new Command("npm run bench:day --")
  .description(
    "A day's load on one web server of a lab that is up with real parts: every space is polled; root.",
  )
  .option("--name <name>", "the lab's name", "lab")
  .option("--spaces <n>", "how many spaces the lab has at least", "500")
  .option("--minutes <n>", "for how long they are polled", "10")
  .action(async ({ name, spaces, minutes }: Options) => {
    if (!(await benchDay({ name, spaces: Number(spaces), minutes: Number(minutes) }))) process.exitCode = 1;
  });

await runMain(() => program.parseAsync());
