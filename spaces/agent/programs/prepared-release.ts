// What prepare-release made of each release, for the programs that use it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { Places } from "./places.ts";
import { readIfThere, sha256Hex } from "../../../infra/machine/programs/texts.ts";

/** What Nextcloud says of a release's files, compared with what its makers signed: `integrity.json`. */
export interface Integrity {
  /** Whether Nextcloud's own part has a signature. Else nothing was compared. */
  signed: boolean;
  /** One line for each: `core: FILE_MISSING dist/core-common.js`. */
  differences: readonly string[];
  /** Apps of others that have no signature of their files. */
  unsignedApps: readonly string[];
}

/** The folder of a prepared release. */
export const preparedFolder = ({ prepared }: Places, release: string) => `${prepared}/${release}`;

/** Whether the files of a prepared release are those that were made. */
export function isWhole(folder: string): boolean {
  const lines = readIfThere(`${folder}/checksums`)?.split("\n").filter(Boolean) ?? [];
  return (
    lines.length > 0 &&
    lines.every((line) => {
      const [, checksum, name = ""] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
      const file = `${folder}/${name}`;
      return existsSync(file) && sha256Hex(readFileSync(file)) === checksum;
    })
  );
}

/**
 * What is wrong with the files of the releases that this machine has: one line for each release whose differences the
 * catalog does not accept. Spaces need not be on it yet: that is when it is good to know.
 */
export function differingReleases(places: Places, accepted: readonly string[] = []): string[] {
  if (!existsSync(places.prepared)) return [];
  return readdirSync(places.prepared)
    .filter((release) => !release.startsWith(".") && !accepted.includes(release))
    .filter((release) => existsSync(`${places.releases}/${release}/index.php`))
    .sort()
    .flatMap((release) => {
      const text = readIfThere(`${preparedFolder(places, release)}/integrity.json`);
      const line = text && lineOf(places, release, JSON.parse(text) as Integrity);
      return line ? [line] : [];
    });
}

/** The line for people about differences; undefined if there are none. */
export function lineOf(
  places: Places,
  release: string,
  { differences }: Integrity,
  accepted = false,
): string | undefined {
  if (differences.length === 0) return undefined;
  const shown = differences.slice(0, SHOWN).join(", ");
  const more = differences.length > SHOWN ? `, and ${differences.length - SHOWN} more` : "";
  const all = `${preparedFolder(places, release)}/integrity.json`;
  const next = accepted
    ? `They are accepted; all of them: ${all}`
    : `Move no wave to it; see ${all}, and docs/releases.md: "If its files differ"`;
  return `release ${release}: ${differences.length} differences from what its makers signed: ${shown}${more}. ${next}`;
}
const SHOWN = 3;
