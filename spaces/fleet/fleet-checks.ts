// The rules between spaces, and between spaces and what they name. Each rule is a small pure function from the whole
// fleet to its problems. All rules run, whatever the others find. The schema of an entry has the rules of one entry
// alone.
import { generationsOfSpaces } from "../../infra/inventory/environment-checks.ts";
import { REFUSED_SUITES } from "../../infra/inventory/environment.ts";
import { oneOf } from "../../validation/forms.ts";
import { nearest, inOneLine } from "../../validation/wording.ts";
import type { Problem } from "../../validation/positions.ts";
import { ALWAYS_ON, REFUSED_APPS } from "./catalog.ts";
import { appearance, ENTRY_LIMITS } from "./ids.ts";
import { capacityOf, terabytes } from "./capacity.ts";
import type { Entry } from "./entry.ts";
import type { Fleet, TenantsFile } from "./fleet.ts";

type Check = (fleet: Fleet) => Problem[];

/** Every rule. */
export const CHECKS: readonly Check[] = [
  wavesPointAtCurrentReleases,
  archivesHaveChecksums,
  appsKeepSpacesApart,
  appsOffCanBeMissed,
  filesHaveAtMost100,
  idsAreSorted,
  idsAreUnique,
  idsDoNotLookAlike,
  plansExist,
  officeSuitesExist,
  wavesExist,
  storageSuffices,
  exportsOutliveLiveData,
  rotatedSpacesExist,
];

function problem(tenantsFile: TenantsFile, entry: Entry, key: keyof Entry, what: string): Problem {
  return { file: tenantsFile.file, ...tenantsFile.at(entry, key), who: `space "${entry.id}"`, what };
}

/** A wave moves its spaces to its release. A release that is not kept, or is about to be dropped, would strand them. */
function wavesPointAtCurrentReleases({ catalog, sources }: Fleet): Problem[] {
  if (!catalog) return [];
  const current = Object.entries(catalog.releases).flatMap(([version, { state }]) =>
    state === "current" ? [version] : [],
  );
  return Object.entries(catalog.waves)
    .filter(([, version]) => !current.includes(version))
    .map(([wave, version]) => ({
      file: sources.catalog.file,
      ...sources.catalog.at(["waves", wave]),
      who: `wave "${wave}"`,
      what: `release is ${inOneLine(version)}; write ${oneOf(current)}`,
    }));
}

/** An address alone, or a checksum alone, is half of what somebody meant to write. */
function archivesHaveChecksums({ catalog, sources }: Fleet): Problem[] {
  if (!catalog) return [];
  return Object.entries(catalog.releases)
    .filter(([, { url, sha256 }]) => (url === undefined) !== (sha256 === undefined))
    .map(([version, { url }]) => ({
      file: sources.catalog.file,
      ...sources.catalog.at(["releases", version]),
      who: `release ${version}`,
      what:
        url === undefined
          ? "has a sha256, but no url; write both, or neither"
          : "has a url, but no sha256; write both, or neither",
    }));
}

/**
 * Some apps open one space to another, however they are configured. No list may hold them, and no suite may need them.
 */
function appsKeepSpacesApart({ catalog, sources }: Fleet): Problem[] {
  if (!catalog) return [];
  const uses = [
    ...(["apps", "appsOptional"] as const).flatMap((list) =>
      catalog[list].map((app, index) => ({ app, path: [list, index] })),
    ),
    ...Object.entries(catalog.officeSuites).map(([suite, { app }]) => ({
      app,
      path: ["officeSuites", suite],
    })),
  ];
  return uses.flatMap(({ app, path }) => {
    const why = REFUSED_APPS.get(app);
    if (why === undefined) return [];
    const what = `${path[0]} holds it; take it off: ${why}`;
    return [{ file: sources.catalog.file, ...sources.catalog.at(path), who: `app "${app}"`, what }];
  });
}

/** Their code is removed from all releases. */
function appsOffCanBeMissed({ catalog, sources }: Fleet): Problem[] {
  if (!catalog) return [];
  const others = (["apps", "appsOptional"] as const).map((list) => ({ list, apps: new Set(catalog[list]) }));
  return catalog.appsOff.flatMap((app, index) => {
    const other = others.find(({ apps }) => apps.has(app));
    const what = ALWAYS_ON.has(app)
      ? "appsOff holds it, but Nextcloud does not work without it; take it off"
      : other && `both appsOff and ${other.list} hold it; take it off one of them`;
    if (what === undefined) return [];
    return [
      { file: sources.catalog.file, ...sources.catalog.at(["appsOff", index]), who: `app "${app}"`, what },
    ];
  });
}

/** A file is one stack, and every step rewrites the state of the stack. */
function filesHaveAtMost100({ tenantsFiles }: Fleet): Problem[] {
  const most = ENTRY_LIMITS.spacesPerFile;
  return tenantsFiles.flatMap((tenantsFile) => {
    const first = tenantsFile.entries[most];
    const what = `the file has ${tenantsFile.entries.length} entries; keep at most ${most}: \`npm run space -- add\` finds a file with room`;
    return first ? [problem(tenantsFile, first, "id", what)] : [];
  });
}

/** Sorted files make small diffs and few conflicts. */
function idsAreSorted({ tenantsFiles }: Fleet): Problem[] {
  const problems: Problem[] = [];
  for (const tenantsFile of tenantsFiles) {
    let last: Entry | undefined;
    for (const entry of tenantsFile.entries) {
      const next =
        last && entry.id < last.id ? tenantsFile.entries.find(({ id }) => id > entry.id) : undefined;
      if (last && next) {
        const line = tenantsFile.at(next).line;
        problems.push(
          problem(
            tenantsFile,
            entry,
            "id",
            `stands after "${last.id}"; entries are sorted by id: move it above "${next.id}" (line ${line})`,
          ),
        );
      } else last = entry;
    }
  }
  return problems;
}

/** An id is a database, a bucket and an address, so two spaces cannot share it, whichever files they are in. */
function idsAreUnique({ tenantsFiles }: Fleet): Problem[] {
  return clashes(
    tenantsFiles,
    ({ id }) => id,
    (first) => `id is already used in ${first}; choose another`,
  );
}

/** Addresses that people cannot tell apart invite fraud: lotus, l0tus, lo-tus. */
function idsDoNotLookAlike({ tenantsFiles }: Fleet): Problem[] {
  const seen = new Set<string>();
  const distinct = tenantsFiles.map((tenantsFile) => ({
    ...tenantsFile,
    entries: tenantsFile.entries.filter(({ id }) => !seen.has(id) && seen.add(id)),
  }));
  return clashes(
    distinct,
    ({ id }) => appearance(id),
    (first, { id }) => `id looks like "${id}" (${first}); choose one that nobody takes for it`,
  );
}

/** Makes one problem for each space whose key an earlier space has. `say` gets the place of the earlier space. */
function clashes(
  tenantsFiles: readonly TenantsFile[],
  keyOf: (entry: Entry) => string,
  say: (first: string, other: Entry) => string,
): Problem[] {
  const owners = new Map<string, [TenantsFile, Entry]>();
  const problems: Problem[] = [];
  for (const tenantsFile of tenantsFiles)
    for (const entry of tenantsFile.entries) {
      const owner = owners.get(keyOf(entry));
      if (owner) {
        const [{ file, at }, other] = owner;
        problems.push(problem(tenantsFile, entry, "id", say(`${file}:${at(other).line}`, other)));
      } else owners.set(keyOf(entry), [tenantsFile, entry]);
    }
  return problems;
}

/** A plan gives a space its storage and accounts. */
function plansExist({ tenantsFiles, catalog }: Fleet): Problem[] {
  return catalog ? unknownNames(tenantsFiles, "plan", Object.keys(catalog.plans)) : [];
}

/** A wave gives a space its release. */
function wavesExist({ tenantsFiles, catalog }: Fleet): Problem[] {
  return catalog ? unknownNames(tenantsFiles, "wave", Object.keys(catalog.waves)) : [];
}

/** A suite must be in the catalog. If the environment runs any suites, it must be one of them. */
function officeSuitesExist({ tenantsFiles, catalog, environment }: Fleet): Problem[] {
  if (!catalog) return [];
  const known = Object.keys(catalog.officeSuites);
  const run: readonly string[] = environment?.office?.suites ?? known;
  return unknownNames(
    tenantsFiles,
    "office",
    known.filter((suite) => run.includes(suite)),
  );
}

function unknownNames(
  tenantsFiles: readonly TenantsFile[],
  key: "plan" | "office" | "wave",
  known: readonly string[],
): Problem[] {
  const allowed = new Set(known);
  return tenantsFiles.flatMap((tenantsFile) =>
    tenantsFile.entries
      .filter((entry) => !allowed.has(entry[key]))
      .map((entry) => {
        const meant = nearest(entry[key], known);
        const why = key === "office" ? REFUSED_SUITES.get(entry.office) : undefined;
        return problem(
          tenantsFile,
          entry,
          key,
          `${key} is ${inOneLine(entry[key])}; ${meant === undefined ? `write ${oneOf(known)}` : `did you mean "${meant}"?`}${why === undefined ? "" : `: ${why}`}`,
        );
      }),
  );
}

/** Few spaces are full, so more may be promised than there is, up to a limit. */
function storageSuffices(fleet: Fleet): Problem[] {
  const { environment, catalog, sources } = fleet;
  if (!environment || !catalog) return [];
  const capacity = capacityOf(
    fleet.tenantsFiles.flatMap(({ entries }) => entries),
    catalog,
    environment,
  );
  if (!capacity || capacity.committed <= capacity.promisable) return [];
  const [committed, usable, promisable] = [capacity.committed, capacity.usable, capacity.promisable].map(
    terabytes,
  );
  return [
    {
      file: sources.environment.file,
      ...sources.environment.at(["storage", "commitRatio"]),
      who: "storage",
      what: `spaces are promised ${committed}, but ${promisable} is the most (${usable} usable × commitRatio ${environment.storage?.commitRatio}); archive spaces, add storage servers, or raise commitRatio if measured use allows`,
    },
  ];
}

/** Live data goes only while its export is whole. An export that has expired by then would be made again and again. */
function exportsOutliveLiveData({ environment, catalog, sources }: Fleet): Problem[] {
  const exportDays = environment?.storage?.retention.exportDays;
  if (!catalog || exportDays === undefined || catalog.archive.graceDays < exportDays) return [];
  return [
    {
      file: sources.environment.file,
      ...sources.environment.at(["storage", "retention", "exportDays"]),
      who: "storage.retention",
      what: `exportDays is ${exportDays}, and the live data of an archived space goes after ${catalog.archive.graceDays} days (archive.graceDays of ${sources.catalog.file}); write more than ${catalog.archive.graceDays}`,
    },
  ];
}

/** With a mistyped id nothing would be rotated, and the person who wrote it would believe the opposite. */
function rotatedSpacesExist({ environment, tenantsFiles, sources, problems }: Fleet): Problem[] {
  // An entry that cannot be read is missing from the ids, so this check waits until there is no other problem.
  if (!environment || problems.length > 0) return [];
  const ids = tenantsFiles.flatMap(({ entries }) => entries.map(({ id }) => id));
  return generationsOfSpaces(environment)
    .filter(({ id }) => !ids.includes(id))
    .map(({ key, id }) => {
      const meant = nearest(id, ids);
      return {
        file: sources.environment.file,
        ...sources.environment.at(["generations", key]),
        who: `generations.${key}`,
        what: `no space has the id "${id}"; ${meant === undefined ? "remove it" : `did you mean "${meant}"?`}`,
      };
    });
}
