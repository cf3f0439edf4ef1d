// `npm run review -- comment`: the one comment on a pull request, edited in place. Runs the default branch's code, with
// a token that may write, over what another run left: that is a stranger's data, and so is its every claim.
import * as z from "zod";
import { isTenantsFile } from "../spaces/fleet/fleet.ts";
import { MARKER, renderComment, type Part, type Report } from "./comment-text.ts";
import type { Forge, Pull } from "./forge.ts";
import { readResult } from "./result.ts";
import { forgeOf, readEvent, type Variables } from "./run.ts";

/** The workflow that plans. */
const REVIEW = ".github/workflows/review.yml";

const commit = z.string().regex(/^[0-9a-f]{40}$/);
const repository = z.object({ full_name: z.string(), default_branch: z.string() });

/** The run that ended: its path, its commit and where that came from are the forge's word. */
const afterRunSchema = z.object({
  workflow_run: z.object({
    event: z.literal("pull_request"),
    path: z.string().transform((path) => path.replace(/@.*$/, "")),
    head_sha: commit,
    html_url: z.url(),
    head_repository: z.object({ full_name: z.string() }),
  }),
  repository,
});
type AfterRun = z.infer<typeof afterRunSchema>;

/** A job of a workflow that the pull request cannot change. */
const targetSchema = z.object({
  pull_request: z.object({
    number: z.int().positive(),
    html_url: z.url(),
    head: z.object({ sha: commit, repo: z.object({ full_name: z.string() }).nullable() }),
  }),
  repository,
});

/**
 * Comments what another job left in a folder, and resolves to a sentence for the log. Comments nothing if it left
 * nothing, or is not of the pull request's last commit. Throws a UserError if what it left is not what our program
 * writes, or if the forge refuses.
 */
export async function comment(folder: string, variables: Variables): Promise<string> {
  return variables["GITHUB_EVENT_NAME"] === "pull_request_target"
    ? commentPreview(folder, variables)
    : commentPlan(folder, variables);
}

async function commentPlan(folder: string, variables: Variables): Promise<string> {
  const event = readEvent(variables, afterRunSchema);
  const { head_sha: head, html_url: run, head_repository: source, path } = event.workflow_run;
  if (path !== REVIEW) return `No comment: it is ${REVIEW} that plans, not ${JSON.stringify(path)}.`;
  const result = readResult(folder);
  if (result === undefined) return nothingToSay("plan", run);
  const forge = forgeOf(variables);
  const { number = 0 } = result;
  const pull = number === 0 ? undefined : await forge.pull(number);
  if (!pull || !isOf(pull, event)) return notTheLast(head, number);
  const isOurs = source.full_name === event.repository.full_name;
  const trusted = isOurs || (await changesOnlyTenants(forge, pull, event));
  return putComment(forge, number, { part: "plan", head, run, trusted, result });
}

async function commentPreview(folder: string, variables: Variables): Promise<string> {
  const { pull_request: about, repository: ours } = readEvent(variables, targetSchema);
  const { number, head } = about;
  const run = `${variables["GITHUB_SERVER_URL"]}/${ours.full_name}/actions/runs/${variables["GITHUB_RUN_ID"]}`;
  if (head.repo?.full_name !== ours.full_name)
    return `No comment: pull request ${number} comes from elsewhere, and only branches of ${ours.full_name} are previewed.`;
  const result = readResult(folder);
  if (result === undefined) return nothingToSay("preview", run);
  const forge = forgeOf(variables);
  if ((await forge.pull(number)).head.sha !== head.sha) return notTheLast(head.sha, number);
  return putComment(forge, number, { part: "preview", head: head.sha, run, trusted: true, result });
}

function nothingToSay(part: Part, run: string): string {
  return `No comment: the job ended before there was a ${part}. Its log says why: ${run}`;
}

function notTheLast(head: string, number: number): string {
  return `No comment: ${head} is not the last commit of pull request ${number}. A newer commit has a run of its own.`;
}

/** Whether a run is of the last commit of an open pull request. */
function isOf({ state, head }: Pull, { workflow_run: run }: AfterRun): boolean {
  return (
    state === "open" && head.sha === run.head_sha && head.repo?.full_name === run.head_repository.full_name
  );
}

/** Whether the program that ran was the default branch's own. */
async function changesOnlyTenants(forge: Forge, { base, head }: Pull, event: AfterRun): Promise<boolean> {
  if (base.ref !== event.repository.default_branch) return false;
  return (await forge.changedFiles(base.sha, head.sha))?.every(isTenantsFile) ?? false;
}

/** Writes the comment, or edits the one that is there. Resolves to a sentence for the log. */
export async function putComment(forge: Forge, number: number, report: Report): Promise<string> {
  const own = await forge.findComment(number, MARKER);
  const body = renderComment(report, own?.body ?? "");
  if (!own) await forge.writeComment(number, body);
  else if (own.body !== body) await forge.editComment(own.id, body);
  return `Pull request ${number}: its comment has the ${report.part} of ${report.head}.`;
}
