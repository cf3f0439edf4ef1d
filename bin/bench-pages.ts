// `npm run bench:pages`: measures what people wait for in a running lab, beside a stock Nextcloud.
import { Command } from "commander";
import { benchPages } from "../bench/measure-pages.ts";
import { runMain } from "../validation/user-error.ts";

interface Options {
  name: string;
  space: string;
  rounds: string;
}

const program = new Command("npm run bench:pages --")
  .description(
    "Pages and files of a space in a lab that is up with real parts, beside a stock Nextcloud; root.",
  )
  .option("--name <name>", "the lab's name", "lab")
  .option("--space <id>", "the space that is asked", "lotus")
  .option("--rounds <n>", "how often each side is asked, by turns", "3")
  .action(async ({ rounds, ...options }: Options) => {
    if (!(await benchPages({ ...options, rounds: Number(rounds) }))) process.exitCode = 1;
  });

await runMain(() => program.parseAsync());
