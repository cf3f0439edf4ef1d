// What converge-space knows of a space on its way: what is wanted, what its database says, what is left to do.
import type { Facts } from "./database-facts.ts";
import type { SpaceDocument } from "../../../space-document.ts";
import type { SpaceWork } from "../space-work.ts";
import type { WrongAnswer } from "../web-servers.ts";

/** What prepare-release made of the release that is wanted. */
export interface PreparedRelease {
  folder: string;
  /** What a space's database is on with it, in four parts. */
  version: string;
  /** The apps that are on in a new space. */
  apps: readonly string[];
}

export interface Converging extends SpaceWork {
  /** With all fields: those that a test or an old record lacks are empty. */
  readonly wanted: Wanted;
  /** Where the reason stands if the space is left unfinished. */
  readonly reason: string;
  /** What could not be done now, and is tried again. */
  readonly left: string[];
  /** Web servers that do not serve the space yet. */
  pending: string[];
  /** What web servers answered before anything was done. It still holds if nothing was. */
  asked?: Promise<readonly WrongAnswer[]>;
  /** Whether the invitation went out, now or earlier. */
  invited: boolean;
  /** What the space's database says of itself. Of an archived space it is not asked. */
  facts: Facts;
}

/** Converging a space that is not archived. */
export interface WithData extends Converging {
  readonly prepared: PreparedRelease;
}

export type Wanted = Pick<
  SpaceDocument,
  | "name"
  | "contact"
  | "state"
  | "wave"
  | "release"
  | "apps"
  | "appsOptional"
  | "appsOff"
  | "office"
  | "limits"
>;

export const APPS_OF = {
  /** The apps of all office suites. */
  offices: ({ space }: SpaceWork) => Object.values(space.catalog.officeApps),
  /** The app of the suite that the space started with. */
  office: ({ space, wanted }: Converging) => space.catalog.officeApps[wanted.office],
};

/** `34.0.4.1` → `34.0.4` */
export const releaseOf = (version: string) => version.split(".").slice(0, 3).join(".");
