// `npm run review`: what a reviewer sees of a pull request. Run by the forges' pipelines; `write` also by people.
import { Command } from "commander";
import { enableCompileCache } from "node:module";
import { resolve } from "node:path";
import { COMPILED } from "../evaluate/worker-pool.ts";
import { runMain } from "../validation/user-error.ts";

const program = new Command("npm run review --")
  .description("Shows a reviewer what a change does, in the forms that forges know.")
  .showHelpAfterError()
  .configureHelp({ showGlobalOptions: true });
const verb = (name: string, description: string) =>
  program
    .command(name)
    .description(description)
    .option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd());

verb("write", "plan the work tree and write the plan into .review, without any credential")
  .option("--base <ref>", "compare with this commit; without it, with where this branch left main")
  .action(async (options: { root: string; base?: string }) => {
    const { writeReview } = await import("../review/write.ts");
    process.exitCode = await writeReview(options, process.env);
  });
verb("preview", "let `npm run rollout` preview the stacks that change, and write that into .review")
  .requiredOption("--env <environment>", "environment to preview")
  .action(async (options: { root: string; env: string }) => {
    const { writePreview } = await import("../review/write.ts");
    process.exitCode = await writePreview(options, process.env);
  });
program
  .command("comment")
  .description("comment on a pull request what the job before left, as data")
  .requiredOption("--from <folder>", "where that lies", (folder) => resolve(folder))
  .action(async ({ from }: { from: string }) => {
    const { comment } = await import("../review/comment.ts");
    console.log(await comment(from, process.env));
  });
verb(
  "tenants",
  "plan the tenants files of a pull request by the code that is checked out, and comment",
).action(async ({ root }: { root: string }) => {
  const { reviewTenants } = await import("../review/tenants-change.ts");
  process.exitCode = await reviewTenants(root, process.env);
});

enableCompileCache(COMPILED);
await runMain(() => program.parseAsync());
