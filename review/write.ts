// `npm run review -- write`, and `preview`: what a reviewer must see of a change, in every form that forges show. Needs
// no credential. Runs the code of the change, so nothing that it leaves is trusted later.
import { randomUUID } from "node:crypto";
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { loadAll } from "../check/tenants.ts";
import { plan, planText, type Plan } from "../plan/plan.ts";
import { problemsOf } from "../spaces/fleet/fleet.ts";
import { UserError } from "../validation/user-error.ts";
import { cut } from "./comment-text.ts";
import { renderAnnotations, renderCodeQuality, withoutCommands } from "./findings.ts";
import { writeResult, type Result } from "./result.ts";
import { pullRequestOf, type Variables } from "./run.ts";

/** Where the files go; git ignores it. */
export const FOLDER = ".review";
/** GitHub shows no summary of a step above 1 MiB. A character has up to four bytes. */
const MOST_OF_SUMMARY = 2 ** 20 / 4;

/** Plans the work tree and writes what forges show of it. Resolves to the plan's status. Throws as `plan` does. */
export async function writeReview(
  { root, base }: { root: string; base?: string },
  variables: Variables,
): Promise<Plan["status"]> {
  const folder = emptyFolder(root);
  const planned = await plan({ root, ...(base !== undefined && { base }) });
  const problems = problemsOf(loadAll(root));
  const { resources, ...result } = planned;
  show(folder, result, variables);
  writeFileSync(join(folder, "codequality.json"), renderCodeQuality(problems));
  // As Terraform counts: what is replaced is deleted, and created again.
  if (resources)
    writeFileSync(
      join(folder, "terraform.json"),
      JSON.stringify({
        create: resources.create + resources.replace,
        update: resources.update,
        delete: resources.delete + resources.replace,
      }),
    );
  for (const annotation of renderAnnotations(problems)) console.log(annotation);
  return planned.status;
}

/**
 * Lets `npm run rollout` preview the stacks that change, and writes what it says in the same forms. Needs the
 * credentials that rollout needs. Resolves to rollout's exit status.
 */
export async function writePreview(
  { root, env }: { root: string; env: string },
  variables: Variables,
): Promise<Plan["status"]> {
  const folder = emptyFolder(root);
  await assertRebased(root);
  const args = ["run", "--silent", "rollout", "--", "--env", env, "--preview"];
  const { exitCode, stdout } = await execa("npm", args, {
    cwd: root,
    stdin: "ignore",
    stderr: "inherit",
    maxBuffer: 2 ** 28,
    reject: false,
  });
  const status = exitCode === 0 || exitCode === 2 ? exitCode : 1;
  show(folder, { status, summary: `${stdout}\n`, details: "" }, variables);
  return status;
}

/** Throws a UserError unless the branch has all that main has: to preview less would show how to undo the rest. */
async function assertRebased(root: string): Promise<void> {
  const args = ["merge-base", "--is-ancestor", "origin/main", "HEAD"];
  const { exitCode, stderr } = await execa("git", args, { cwd: root, reject: false });
  if (exitCode === 1)
    throw new UserError("This branch lacks commits of main, which a preview would undo; rebase it on main.");
  if (exitCode !== 0)
    throw new UserError(
      `git cannot compare this branch with origin/main (${stderr}); run \`git fetch origin main\`.`,
    );
}

function emptyFolder(root: string): string {
  const folder = join(root, FOLDER);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  return folder;
}

function show(folder: string, result: Result, variables: Variables): void {
  const text = planText(result);
  const number = pullRequestOf(variables);
  writeResult(folder, { ...result, ...(number !== undefined && { number }) });
  writeFileSync(join(folder, "plan.md"), text);
  const file = variables["GITHUB_STEP_SUMMARY"];
  if (file !== undefined) appendFileSync(file, cut(text, "… the log has the rest.", MOST_OF_SUMMARY));
  process.stdout.write(variables["GITHUB_ACTIONS"] === "true" ? withoutCommands(text, randomUUID()) : text);
}
