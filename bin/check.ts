// `npm run check`: the one check, for people, hooks and CI. Needs no credentials, no network and no Pulumi engine.
// `npm run check -- tenants` checks only the data, in well under a second.
import { Command } from "commander";
import { resolve } from "node:path";
import { check } from "../check/check.ts";
import { runMain } from "../validation/user-error.ts";

const program = new Command("npm run check --")
  .description("Format, lint, types, shell scripts, tenants, catalog, every environment's configuration.")
  .argument("[parts...]", "only these")
  .option("--root <folder>", "folder of the repository", ".")
  .action(async (parts: string[], { root }: { root: string }) => {
    if (!(await check(resolve(root), parts))) process.exitCode = 1;
  });

await runMain(() => program.parseAsync());
