// `npm run rollout`: applies all stacks of an environment that differ from what was last applied. Exit status: 0 all is
// as declared, 1 something failed or was not begun. With --preview: 0 fine, 1 failed, 2 it would destroy data.
import { Command, InvalidArgumentError } from "commander";
import { resolve } from "node:path";
import { startPreview, startRollout, type RolloutOptions } from "../rollout/start.ts";
import { sshToOps } from "../spaces/fleet/ask-ops.ts";
import { runMain } from "../validation/user-error.ts";

type Options = Omit<RolloutOptions, "sshToOps"> & { lab: string; preview: boolean };

const number = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`write a number from ${least} to ${most}.`);
};

const program = new Command("npm run rollout --")
  .description(
    "Applies what is declared: the platform, a stack with canary spaces, then the others. Only stacks that differ from what was last applied. Cut off, it is continued by the same command.",
  )
  .showHelpAfterError()
  .option("--env <environment>", "environment to roll out", "prod")
  .option("--dry-run", "only say which stacks would be applied, and why", false)
  .option("--preview", "only preview these stacks by the engine, as Markdown", false)
  .option("--all", "all stacks, also those that do not differ", false)
  .option("--at-once <n>", "how many stacks at once, after the first", number(1, 16), 2)
  .option("--stop-at <percent>", "begin no further stack once more than this share failed", number(0, 100), 5)
  .option("--no-look", "do not look whether canary spaces serve")
  .option(
    "--config-file <file>",
    "the environment's configuration (default: Pulumi.<environment>.yaml)",
    (file) => resolve(file),
  )
  .option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd())
  .option("--lab <name>", "which lab, with --env lab", "lab")
  .action(async (options: Options) => {
    if (options.preview) {
      const { status, markdown } = await startPreview(options);
      process.stdout.write(markdown);
      process.exitCode = status;
      return;
    }
    const sshToLab = async (name: string) => (await import("../lab/commands.ts")).sshToOps(name);
    const ok = await startRollout({ ...options, sshToOps: () => sshToOps({ ...options, sshToLab }) });
    if (!ok) process.exitCode = 1;
  });

await runMain(() => program.parseAsync());
