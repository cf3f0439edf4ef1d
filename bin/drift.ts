// `npm run drift`: what the stacks believe that is not so. Exit status: 0 nothing differs, 1 a stack could not be looked
// at, 2 something differs.
import { Command } from "commander";
import { resolve } from "node:path";
import { startDrift, type StartOptions } from "../rollout/start.ts";
import { runMain } from "../validation/user-error.ts";

const program = new Command("npm run drift --")
  .description("Compares every stack's state with what is there. Writes nothing, and takes no lock.")
  .showHelpAfterError()
  .option("--env <environment>", "environment to look at", "prod")
  .option("--at-once <n>", "how many stacks at once", Number, 2)
  .option(
    "--config-file <file>",
    "the environment's configuration (default: Pulumi.<environment>.yaml)",
    (file) => resolve(file),
  )
  .option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd())
  .action(async (options: StartOptions) => {
    process.exitCode = await startDrift(options);
  });

await runMain(() => program.parseAsync());
