// `npm run state`: what to do when the engine's own record is lost.
import { Command } from "commander";
import { resolve } from "node:path";
import { startRebuild, type StartOptions } from "../rollout/start.ts";
import { runMain } from "../validation/user-error.ts";

const program = new Command("npm run state --")
  .description("The engine's record of what it made.")
  .showHelpAfterError();

program
  .command("rebuild")
  .description(
    "make lost states again: takes over all that is declared and there, by planned names and the cloud's ids. Leaves states that have resources as they are",
  )
  .option("--env <environment>", "environment whose states were lost", "prod")
  .option("--dry-run", "only say what would be taken over", false)
  .option(
    "--config-file <file>",
    "the environment's configuration (default: Pulumi.<environment>.yaml)",
    (file) => resolve(file),
  )
  .option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd())
  .action((options: Omit<StartOptions, "atOnce"> & { dryRun: boolean }) => startRebuild(options));

await runMain(() => program.parseAsync());
