// occ-space ID WORDS…: Nextcloud's command line for one space, for runbooks. Runs it as converge-space does, on a worker,
// with the space's own configuration and release, while no program of ours works on the space. Ends with its status.
// OC_PASS and NC_PASS, passwords for Nextcloud's --password-from-env, go with it.
import { occ, ownConfig } from "./nextcloud-command.ts";
import type { Places } from "./places.ts";
import type { Result } from "../../../infra/machine/programs/program.ts";
import { UsageError } from "../../../infra/machine/programs/program-error.ts";
import { namingStep } from "./space-error.ts";
import { beginOn, lockSpace } from "./space-work.ts";

export async function occSpace(places: Places, argv: readonly string[]): Promise<Result> {
  const usage = { program: "occ-space ID WORDS…, such as occ-space lotus user:list", next: "" };
  const [, ...words] = argv;
  if (words.length === 0) throw new UsageError(usage.program);
  const work = beginOn(places, usage, argv, 0);
  work.step = `occ ${words[0]}`;
  try {
    work.locks.space = await lockSpace(places, { id: work.space.id, step: work.step });
    const own = { config: ownConfig(work), release: work.space.document.release };
    const passwords = Object.entries(process.env).filter(([name]) => ["OC_PASS", "NC_PASS"].includes(name));
    return await occ(work, own, words, { env: Object.fromEntries(passwords) as Record<string, string> });
  } catch (error) {
    throw namingStep(work, error);
  }
}
