// `npm run release -- outdated`: what is newer than what is pinned, and what will soon get no fixes.
import semver from "semver";
import * as z from "zod";
import { artifactsOf } from "../infra/inventory/environment.ts";
import { UserError } from "../validation/user-error.ts";
import { newestRelease, storeApps } from "./app-store.ts";
import { catalogIn } from "./build-release.ts";
import { Downloads } from "./download.ts";
import { environmentIn } from "./pin-artifact.ts";
import type { Say } from "./progress-lines.ts";
import { readLock } from "./release-lock.ts";
import type { News, Sources } from "./sources.ts";

export interface OutdatedOptions {
  root: string;
  cache: string;
  env: string;
  sources: Sources;
  news: News;
  /** `2026-11-29`. */
  today: string;
  say: Say;
}

/** Whoever plans an upgrade of all spaces needs this many days. */
const SOON_DAYS = 60;
const MOST_BYTES = 2e7;

const cycles = z.array(
  z.looseObject({ cycle: z.string(), latest: z.string(), eol: z.union([z.iso.date(), z.boolean()]) }),
);
type Cycle = z.infer<typeof cycles>[number];
const advisories = z.array(
  z.looseObject({
    ghsa_id: z.string(),
    severity: z.string().nullish(),
    summary: z.string(),
    vulnerabilities: z
      .array(
        z.looseObject({
          package: z.looseObject({ name: z.string().nullish() }).nullish(),
          patched_versions: z.string().nullish(),
        }),
      )
      .nullish(),
  }),
);
type Advisory = z.infer<typeof advisories>[number];
const githubRelease = z.looseObject({ tag_name: z.string() });

/** Prints what is newer. Resolves to 0 if nothing is, 2 if something is, 1 if something could not be asked. */
export async function outdated(options: OutdatedOptions): Promise<0 | 1 | 2> {
  const { root, cache, env, sources, news, today, say } = options;
  const { releases } = catalogIn(root);
  const artifacts = artifactsOf(environmentIn(root, env));
  const downloads = new Downloads(`${cache}/downloads`, () => {});
  const found: string[] = [];
  const unasked: string[] = [];
  const ask = async <Answer>(act: () => Promise<Answer>): Promise<Answer | undefined> => {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      unasked.push(error.message);
      return undefined;
    }
  };
  const list = <Answer>(url: string, what: string, schema: z.ZodType<Answer>) =>
    ask(async () => read(url, schema, await downloads.fresh({ url, what, most: MOST_BYTES })));

  const known = await list(news.cycles, "Nextcloud's versions", cycles);
  const faults = (await list(news.advisories, "Nextcloud's advisories", advisories)) ?? [];
  for (const version of Object.keys(releases).sort(semver.compare)) {
    if (known) found.push(...serverNews(version, known, faults, today));
    const apps = Object.entries(readLock(root, version)?.apps ?? {});
    const store = apps.length > 0 ? await ask(() => storeApps(version, { sources, downloads })) : undefined;
    const before = found.length;
    for (const [id, app] of store ? apps : []) {
      const newest = await ask(async () => newestRelease(id, store?.get(id), version, sources.store));
      if (newest && semver.gt(newest.version, app.version))
        found.push(
          `${id} ${app.version}, in release ${version}: ${newest.version} is out${fixes(faults, [id], app.version)}`,
        );
    }
    if (found.length > before)
      found.push(`release ${version} gets them by npm run release -- build ${version} --newest`);
  }
  const newestOf: Readonly<Record<string, () => Promise<string | undefined>>> = {
    mc: async () =>
      releaseIn((await downloads.fresh({ url: news.mc, what: "mc", most: MOST_BYTES })).toString()),
    minio: async () =>
      releaseIn(
        read(
          news.minio,
          githubRelease,
          await downloads.fresh({ url: news.minio, what: "MinIO", most: MOST_BYTES }),
        ).tag_name,
      ),
  };
  for (const { name, artifact } of artifacts) {
    const [now, newest] = [releaseIn(artifact.url), await ask(async () => newestOf[name]?.())];
    if (now !== undefined && newest !== undefined && newest > now)
      found.push(`${name} ${now}: ${newest} is out; ${howToPin(name, artifact.url, now, newest)}`);
  }

  for (const line of found) say(`- ${line}`);
  for (const line of unasked) say(`- not asked: ${line}`);
  if (found.length === 0 && unasked.length === 0) say("Nothing is newer than what is pinned.");
  return unasked.length > 0 ? 1 : found.length > 0 ? 2 : 0;
}

/** What to type. MinIO's own place has every version at the same kind of address; another place is the host's. */
function howToPin(name: string, url: string, now: string, newest: string): string {
  return new URL(url).host === "dl.min.io"
    ? `type npm run release -- pin ${name} --url ${url.replaceAll(now, newest)}`
    : `serve it, and type npm run release -- pin ${name} --file FILE --url ADDRESS`;
}

/** What is newer than a version of Nextcloud, and until when its own cycle gets fixes. */
function serverNews(
  version: string,
  known: readonly Cycle[],
  faults: readonly Advisory[],
  today: string,
): string[] {
  const major = semver.major(version);
  const own = known.find(({ cycle }) => Number(cycle) === major);
  if (!own) return [`Nextcloud ${version}: nothing is known of ${major}`];
  const lines: string[] = [];
  if (semver.valid(own.latest) !== null && semver.gt(own.latest, version))
    lines.push(
      `Nextcloud ${version}: ${own.latest} is out${fixes(faults, ["server"], version)}; type npm run release -- build ${own.latest}`,
    );
  if (typeof own.eol === "string" && days(today, own.eol) < SOON_DAYS) {
    const newer = known.map(({ cycle }) => Number(cycle)).filter((cycle) => cycle > major);
    lines.push(
      `Nextcloud ${major} ${own.eol <= today ? "has got" : "gets"} its last fixes on ${own.eol}; upgrade to ${newer.length > 0 ? Math.min(...newer) : "the next"}`,
    );
  } else if (own.eol === true) lines.push(`Nextcloud ${major} gets no fixes any more`);
  return lines;
}

/** The advisories that a newer version of the same major closes, as they end a sentence; empty if there are none. */
function fixes(faults: readonly Advisory[], names: readonly string[], version: string): string {
  const closed = faults.filter(({ vulnerabilities }) =>
    (vulnerabilities ?? []).some(
      ({ package: one, patched_versions: patched }) =>
        names.includes(plainName(one?.name ?? "")) &&
        [...(patched ?? "").matchAll(/\d+\.\d+\.\d+/g)].some(
          ([number]) => semver.major(number) === semver.major(version) && semver.gt(number, version),
        ),
    ),
  );
  if (closed.length === 0) return "";
  return `, with security fixes: ${closed.map(({ ghsa_id, severity, summary }) => `${ghsa_id} (${severity ?? "unknown"}) ${summary}`).join("; ")}`;
}

/** Advisories name apps as people do. */
const NAMES: Readonly<Record<string, string>> = {
  talk: "spreed",
  office: "richdocuments",
  "user oidc": "user_oidc",
};

/** `Nextcloud Server` → `server`, `Talk app` → `spreed`. */
function plainName(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/^nextcloud /, "")
    .replace(/ app$/, "")
    .replace(/^\(|\)$/g, "")
    .trim();
  return NAMES[plain] ?? plain.replaceAll(" ", "_");
}

/** `RELEASE.2025-08-13T08-35-41Z` in an address or a line. Such names sort by time. */
function releaseIn(text: string): string | undefined {
  return /RELEASE\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ/.exec(text)?.[0];
}

function read<Answer>(url: string, schema: z.ZodType<Answer>, bytes: Buffer): Answer {
  try {
    return schema.parse(JSON.parse(bytes.toString()));
  } catch (error) {
    throw new UserError(`${url} does not answer as it did; look at it, and at release/outdated.ts.`, {
      cause: error,
    });
  }
}

const days = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 86_400_000;
