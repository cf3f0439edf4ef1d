// What prepare-release knows of a release on its way.
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { occ, scratchConfig } from "../nextcloud-command.ts";
import type { Places } from "../places.ts";
import { readCatalog, readPlatform } from "../read-space.ts";
import { CommandError, ProgramError } from "../../../../infra/machine/programs/program-error.ts";
import { SpaceError } from "../space-error.ts";
import { beginWork, type SpaceWork } from "../space-work.ts";

/** For the functions that work on spaces, a release on its way is a space. Its directory is its scratch configuration. */
export interface Preparing extends SpaceWork {
  readonly release: string;
  /** Its code. */
  readonly code: string;
  /** Name of its temporary database and role. No space can have it: an id has no underscore. */
  readonly name: string;
  readonly password: string;
  /** Whether commands have written to the log. */
  logs: boolean;
}

export function beginPreparing(places: Places, release: string): Preparing {
  const id = `release-${release}`;
  const name = `golden_${release.replaceAll(".", "_")}`;
  const password = randomBytes(24).toString("base64url");
  const work = beginWork(places, {
    id,
    document: {
      id,
      release,
      state: "active",
      database: { name, user: name, password },
      // Numbers of spaces begin with 1: its Unix user is nobody's.
      redis: { database: 0, user: "", password: "", prefix: "" },
    },
    platform: readPlatform(places),
    catalog: readCatalog(places),
    url: "",
    directory: `${places.scratch}/${id}`,
  });
  return { ...work, release, code: `${places.releases}/${release}`, name, password, logs: false };
}

export const logOf = ({ places, release }: Preparing) => `${places.log}/prepare-${release}.log`;

/** Empties the log. It may hold anything: root alone reads it. */
export function beginLog(work: Preparing): void {
  mkdirSync(work.places.log, { recursive: true });
  closeSync(openSync(logOf(work), "w", 0o600));
  work.logs = true;
}

/** What Nextcloud's command line needs to work on the release's database: the password is in no process list. */
export const pgpassOf = (work: Preparing) => ({ PGPASSFILE: `${scratchConfig(work)}/pgpass` });

/** Runs Nextcloud's command line, which must succeed. All that it says goes to the log. Throws CommandError. */
export async function logged(work: Preparing, ...words: string[]): Promise<void> {
  const log = openSync(logOf(work), "a");
  try {
    const installation = { config: scratchConfig(work), release: work.release };
    const { status } = await occ(work, installation, words, { log, env: pgpassOf(work) });
    if (status !== 0) throw new CommandError(`occ ${words[0]}`, status);
  } finally {
    closeSync(log);
  }
}

/** The error that ends the program: what is wrong, and what to do next. */
export const refusal = ({ release }: Pick<Preparing, "release">, what: string) =>
  new ProgramError(`release ${release}`, what);

/** The error, with release and step, and the end of what commands said. */
export function namingRelease(work: Preparing, error: unknown): Error {
  if (error instanceof ProgramError && !(error instanceof SpaceError)) return error;
  const what = error instanceof Error ? error.message : String(error);
  const said = work.logs && existsSync(logOf(work)) ? readFileSync(logOf(work), "utf8") : "";
  const end = said
    .trimEnd()
    .split("\n")
    .slice(-20)
    .map((line) => line.slice(0, 300));
  return new ProgramError(
    `release ${work.release}, ${work.step}`,
    `${what}; the end of what it said:\n${end.join("\n")}`,
  );
}
