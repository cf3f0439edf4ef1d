// How the files of a release compare with what Nextcloud and the makers of apps signed: Nextcloud's own check.
import { appendFileSync } from "node:fs";
import { occ } from "../nextcloud-command.ts";
import type { Integrity } from "../prepared-release.ts";
import { CommandError } from "../../../../infra/machine/programs/program-error.ts";
import { installationOf, logOf, type Preparing } from "./preparing.ts";
import { parseJson } from "../../../../infra/machine/programs/texts.ts";

/** What the check finds of one part: kind → file → checksums; or why there is nothing to compare with. */
type Found = Record<string, Record<string, unknown>> | { EXCEPTION: { message: string } };

/** Nextcloud's words for a part without a signature (lib/private/IntegrityCheck/Checker.php of 33.0.3). */
const UNSIGNED = "Signature data not found.";

/** Has Nextcloud check itself and all apps. Throws CommandError if it could not. */
export async function checkIntegrity(work: Preparing): Promise<Integrity> {
  const core = await check(work, "integrity:check-core");
  const [found] = core.output.split("\n").flatMap(parse);
  // A release that its makers build themselves has the channel "git", of which Nextcloud checks nothing: status 2.
  if (core.status === 2 || (found && messageOf(found) === UNSIGNED))
    return { signed: false, differences: [], unsignedApps: [] };
  if (core.status !== 0 && !found) throw new CommandError("occ integrity:check-core", core.status);
  const apps = await check(work, "integrity:check-app", "--all");
  const { differences, unsignedApps } = readApps(apps.output);
  if (apps.status !== 0 && differences.length === 0)
    throw new CommandError("occ integrity:check-app", apps.status);
  return {
    signed: true,
    differences: [...(found ? linesOf("core", found) : []), ...differences],
    unsignedApps,
  };
}

async function check(work: Preparing, ...words: string[]) {
  const { installation, env } = installationOf(work);
  const ended = await occ(work, installation, [...words, "--output=json"], { errors: "with-output", env });
  appendFileSync(logOf(work), ended.output);
  return ended;
}

/** A line names the app, the next one has what was found as JSON. */
function readApps(output: string): Pick<Integrity, "differences" | "unsignedApps"> {
  const differences: string[] = [];
  const unsignedApps: string[] = [];
  let app = "";
  for (const line of output.split("\n")) {
    app = /^(\w+): \d+ errors found:$/.exec(line)?.[1] ?? app;
    const [, unsigned] = /^(\w+): App signature not found/.exec(line) ?? [];
    if (unsigned !== undefined) unsignedApps.push(unsigned);
    for (const found of parse(line)) differences.push(...linesOf(app, found));
  }
  return { differences: differences.sort(), unsignedApps: unsignedApps.sort() };
}

function parse(line: string): Found[] {
  const found = line.startsWith("{") ? parseJson<Found>(line) : undefined;
  return found ? [found] : [];
}

const messageOf = (found: Found) =>
  "EXCEPTION" in found && typeof found.EXCEPTION["message"] === "string"
    ? found.EXCEPTION["message"]
    : undefined;

function linesOf(part: string, found: Found): string[] {
  const message = messageOf(found);
  if (message !== undefined) return [`${part}: ${message}`];
  return Object.entries(found).flatMap(([kind, files]) =>
    Object.keys(files).map((file) => `${part}: ${kind} ${file}`),
  );
}
