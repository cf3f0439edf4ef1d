// Nextcloud's app store: which version of an app fits a version of Nextcloud.
import semver from "semver";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";
import type { Downloads } from "./download.ts";
import type { Sources } from "./sources.ts";

/** Debian 13's, which all machines run (infra/machine/packages.ts). */
export const PHP = "8.4.16";
/** The whole list has 20 MB. */
const MOST_BYTES = 2e8;

const storeRelease = z.looseObject({
  version: z.string(),
  download: z.string(),
  signature: z.string(),
  platformVersionSpec: z.string(),
  phpVersionSpec: z.string(),
  isNightly: z.boolean(),
  lastModified: z.string().optional(),
});
const storeApp = z.looseObject({
  id: z.string(),
  certificate: z.string(),
  releases: z.array(storeRelease),
});
const storeList = z.array(storeApp);
export type StoreApp = z.infer<typeof storeApp>;

/** One version of an app, as it can be downloaded. */
export interface AppRelease {
  id: string;
  version: string;
  url: string;
  signature: string;
  certificate: string;
}

/** The store's list for a version of Nextcloud, by id. Throws a UserError. */
export async function storeApps(
  nextcloud: string,
  { sources, downloads }: { sources: Sources; downloads: Downloads },
): Promise<ReadonlyMap<string, StoreApp>> {
  const url = `${sources.store}/platform/${nextcloud}/apps.json`;
  const bytes = await downloads.fresh({ url, what: "the app store's list", most: MOST_BYTES });
  const { data, error } = storeList.safeParse(parseJson(bytes));
  if (!data)
    throw new UserError(
      `${url} is not the app store's list: ${error.issues[0]?.path.join(".")}: ${error.issues[0]?.message}.`,
    );
  return new Map(data.map((app) => [app.id, app]));
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/**
 * The newest version of an app that is no preview and fits Nextcloud and PHP. Throws a UserError if there is none.
 * @param store Addresses of the list, which says where archives are. Only one without TLS may send to such a one.
 */
export function newestRelease(
  id: string,
  app: StoreApp | undefined,
  nextcloud: string,
  store: string,
): AppRelease {
  if (!app)
    throw new UserError(
      `${id}: the app store has it not for Nextcloud ${nextcloud}; wait for its makers, or take it off spaces/catalog.yaml.`,
    );
  const fitting = app.releases.filter(
    ({ version, isNightly, platformVersionSpec, phpVersionSpec }) =>
      semver.valid(version) !== null &&
      !isNightly &&
      semver.prerelease(version) === null &&
      semver.satisfies(nextcloud, platformVersionSpec) &&
      semver.satisfies(PHP, phpVersionSpec),
  );
  // The order in the list is not promised.
  const [newest] = fitting.toSorted((a, b) => semver.rcompare(a.version, b.version));
  if (!newest)
    throw new UserError(
      `${id}: none of its ${app.releases.length} versions in the app store fits Nextcloud ${nextcloud} and PHP ${PHP}; wait for its makers, or take it off spaces/catalog.yaml.`,
    );
  const { version, download: url, signature } = newest;
  if (!URL.canParse(url) || !(url.startsWith("https://") || store.startsWith("http://")))
    throw new UserError(
      `${id} ${version}: the app store says that it lies at ${url}, which is no https address.`,
    );
  return { id, version, url, signature, certificate: app.certificate };
}
