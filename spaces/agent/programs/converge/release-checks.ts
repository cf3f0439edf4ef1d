// What must hold before anything of a space is changed.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { refuseCutOff } from "../cut-off.ts";
import { run } from "../../../../infra/machine/programs/run-command.ts";
import { AlreadySaid } from "../../../../infra/machine/programs/program-error.ts";
import { failure, heldButSpace, type SpaceWork } from "../space-work.ts";
import { releaseOf, type Converging, type WithData, type PreparedRelease } from "./converging.ts";
import { words } from "./database-facts.ts";
import { readIfThere } from "../../../../infra/machine/programs/texts.ts";

/** Throws SpaceError for what archive-space or a restore has begun: a space whose data is gone must not be served as an empty one. */
export function checkArchive(work: Converging): void {
  refuseCutOff(work);
  const record = `${work.places.archivedRecords}/${work.space.id}`;
  const text = work.wanted.state === "archived" ? undefined : readIfThere(record);
  if (text === undefined) return;
  if (text.includes('"dropping"'))
    throw failure(
      work,
      `its live data was dropped; restore its export first: npm run space -- restore ${work.space.id}`,
    );
  rmSync(record);
}

/** The release that is wanted, as this machine prepared it. Throws SpaceError if it is not here, or has other apps. */
export async function checkRelease(work: Converging): Promise<PreparedRelease> {
  const { places, wanted, space } = work;
  const { release } = wanted;
  const folder = `${places.prepared}/${release}`;
  if (!existsSync(`${places.releases}/${release}/index.php`))
    throw failure(work, `release ${release} is not on this machine; run up for the platform, then again`);
  const { catalog } = space;
  const lists = [
    [wanted.apps, catalog.apps],
    [wanted.appsOptional, catalog.appsOptional],
    [wanted.appsOff, catalog.appsOff],
  ] as const;
  if (lists.some(([one, other]) => one.join(" ") !== other.join(" ")))
    throw failure(
      work,
      "the catalog lists other apps than this machine knows of; run up for the platform, then again",
    );
  if (!existsSync(`${folder}/key`)) await prepare(work, release);
  const read = (name: string) => readFileSync(`${folder}/${name}`, "utf8").trim();
  return { folder, version: read("version"), apps: words(read("apps")) };
}

/** Has the release prepared again. Throws AlreadySaid. */
export async function prepare(work: SpaceWork, release: string): Promise<void> {
  const { status } = await run("prepare-release", [release], heldButSpace(work));
  if (status !== 0) throw new AlreadySaid();
}

/** Throws SpaceError for what cannot be done. */
export function judge(work: WithData): void {
  const { facts, wanted, prepared } = work;
  const { release, wave } = wanted;
  if (facts.version === undefined) {
    if (facts.tables === "0") return;
    throw failure(
      work,
      `its database holds ${facts.tables} tables that were not made here; nothing was changed. If they are wanted, restore them by npm run space -- restore; else empty the database`,
    );
  }
  if (facts.version === prepared.version) return;
  const from = releaseOf(facts.version);
  if (isOlder(prepared.version, facts.version))
    throw failure(
      work,
      `it is on ${from}, and ${release} is older: Nextcloud cannot go back. Nothing was changed; write ${from} or later for wave "${wave}" in spaces/catalog.yaml`,
    );
  const major = Number.parseInt(from, 10);
  const ahead = Number.parseInt(release, 10) - major;
  if (ahead > 1)
    throw failure(
      work,
      `it is on ${from}, and ${release} is ${ahead} majors ahead: one at a time. Nothing was changed; move wave "${wave}" to a ${major + 1} release first, in spaces/catalog.yaml`,
    );
}

/** Whether a version comes before another one. */
function isOlder(one: string, other: string): boolean {
  const parts = (version: string) => version.split(".").map(Number);
  const there = parts(other);
  for (const [index, part] of parts(one).entries())
    if (part !== there[index]) return part < (there[index] ?? 0);
  return false;
}
