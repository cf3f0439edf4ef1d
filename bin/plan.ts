// `npm run plan`: prints what the work tree would change, as Markdown on standard output. Exit status: 0 fine, 1 not
// valid, 2 the change would destroy something that holds data, or concerns too many spaces.
import { Command } from "commander";
import { enableCompileCache } from "node:module";
import { resolve } from "node:path";
import { COMPILED } from "../evaluate/worker-pool.ts";
import { startPool } from "../plan/comparison-pool.ts";
import { runMain } from "../validation/user-error.ts";

interface Options {
  base?: string;
  environment?: string[];
  allowMany?: true;
  details?: true;
  root: string;
}

const program = new Command("npm run plan --")
  .description("What the work tree would change.")
  .showHelpAfterError()
  .option(
    "--base <ref>",
    "compare with this branch, tag or commit; without it, with where this branch left main",
  )
  .option(
    "--environment <name>",
    "plan only this environment, and also the lab, which is left out otherwise; can be given several times",
    (name, earlier: string[] = []) => [...earlier, name],
  )
  .option(
    "--allow-many",
    "that more than 30 % of an environment's spaces change, or go out of service, is meant",
  )
  .option("--details", "also every resource, setting and space that the short text leaves out")
  .option("--root <folder>", "plan the repository there, instead of the one in this folder", ".")
  .action(async ({ root: folder, environment, details, ...options }: Options) => {
    const root = resolve(folder);
    // The first thread of the pool takes longest to start. So it starts before this thread loads anything else.
    const pool = startPool(root);
    enableCompileCache(COMPILED);
    const { plan, planText, terminalText } = await import("../plan/plan.ts");
    const wanted = { root, ...options, ...(environment && { environments: environment }) };
    const planned = await plan(wanted, pool);
    process.stdout.write(details ? planText(planned) : terminalText(planned));
    process.exitCode = planned.status;
  });

await runMain(() => program.parseAsync());
