// `npm run review -- comment`: the one comment on a pull request, edited in place. Runs the default branch's code, with
// a token that may write, over what another run left: that is a stranger's data, and so is its every claim.
import * as z from "zod";
import { isTenantsFile } from "../spaces/fleet/fleet.ts";
import { MARKER, renderComment, type Part, type Report } from "./comment-text.ts";
import type { Forge, Pull } from "./forge.ts";
import { readResult } from "./result.ts";
import { forgeOf, readEvent, type Variables } from "./run.ts";

const eventSchema = z.object({
  workflow_run: z.object({
    event: z.literal("pull_request"),
    path: z.string(),
    head_sha: z.string().regex(/^[0-9a-f]{40}$/),
    html_url: z.url(),
    head_repository: z.object({ full_name: z.string() }),
  }),
  repository: z.object({ full_name: z.string(), default_branch: z.string() }),
});
type Event = z.infer<typeof eventSchema>;

/** Which part of the comment a workflow writes. Its path is the forge's word; what it left is not. */
const PART_OF: Readonly<Record<string, Part>> = {
  ".github/workflows/review.yml": "plan",
  ".github/workflows/preview.yml": "preview",
};

/**
 * Comments what the run that ended left in a folder, and resolves to a sentence for the log. Comments nothing if the
 * run left nothing, or is not of the pull request's last commit. Throws a UserError if what it left is not what our
 * program writes, or if the forge refuses.
 */
export async function comment(folder: string, variables: Variables): Promise<string> {
  const event = readEvent(variables, eventSchema);
  const { head_sha: head, html_url: run, head_repository: source, path } = event.workflow_run;
  const isOurs = source.full_name === event.repository.full_name;
  const part = PART_OF[path.replace(/@.*$/, "")];
  // Only a branch of ours is previewed; a workflow that a fork wrote may claim that it did.
  if (part === undefined || (part === "preview" && !isOurs))
    return `No comment: ${source.full_name} may not write that part of it (${JSON.stringify(path)}).`;
  const result = readResult(folder);
  if (result === undefined)
    return `No comment: the run ended before there was a ${part}. Its log says why: ${run}`;
  const forge = forgeOf(variables);
  const pull = result.number === undefined ? undefined : await forge.pull(result.number);
  if (result.number === undefined || !pull || !isOf(pull, event))
    return `No comment: the run is of ${head}, which is not the last commit of pull request ${result.number ?? "(none)"}. A newer commit has a run of its own.`;
  const trusted = isOurs || (await changesOnlyTenants(forge, pull, event));
  await putComment(forge, result.number, { part, head, run, trusted, result });
  return `Pull request ${result.number}: its comment has the ${part} of ${head}.`;
}

/** Whether a run is of the last commit of an open pull request. */
function isOf({ state, head }: Pull, { workflow_run: run }: Event): boolean {
  return (
    state === "open" && head.sha === run.head_sha && head.repo?.full_name === run.head_repository.full_name
  );
}

/** Whether the program that ran was the default branch's own. */
async function changesOnlyTenants(
  forge: Forge,
  { base, head }: Pull,
  { repository }: Event,
): Promise<boolean> {
  if (base.ref !== repository.default_branch) return false;
  return (await forge.changedFiles(base.sha, head.sha))?.every(isTenantsFile) ?? false;
}

/** Writes the comment, or edits the one that is there. */
export async function putComment(forge: Forge, number: number, report: Report): Promise<void> {
  const own = await forge.findComment(number, MARKER);
  const body = renderComment(report, own?.body ?? "");
  if (!own) await forge.writeComment(number, body);
  else if (own.body !== body) await forge.editComment(own.id, body);
}
