// The rules between spaces, and between spaces and what they name. Each is a small pure function from the whole
// fleet to its problems; all run, whatever the others find. Rules of one entry alone are in its schema.
import { generationsOfSpaces } from "../../infra/inventory/environment-checks.ts";
import { REFUSED_SUITES, type Environment } from "../../infra/inventory/environment.ts";
import { describePools, usableBytes } from "../../infra/inventory/pools.ts";
import { nearest, oneOf, inOneLine } from "../../validation/wording.ts";
import type { Problem } from "../../validation/positions.ts";
import { GIGABYTE, REFUSED_APPS, type Catalog } from "./catalog.ts";
import { appearance, TENANT_LIMITS } from "./ids.ts";
import type { Fleet, Shard, Tenant } from "./fleet.ts";

type Check = (fleet: Fleet) => Problem[];

/** Every rule. */
export const CHECKS: readonly Check[] = [
  wavesPointAtCurrentReleases,
  appsKeepSpacesApart,
  filesHaveAtMost100,
  idsAreSorted,
  idsAreUnique,
  idsDoNotLookAlike,
  plansExist,
  officeSuitesExist,
  wavesExist,
  storageSuffices,
  rotatedSpacesExist,
];

function problem(shard: Shard, tenant: Tenant, key: keyof Tenant, what: string): Problem {
  return { file: shard.file, ...shard.at(tenant, key), who: `space "${tenant.id}"`, what };
}

/** A wave moves its spaces to its release: one that is not kept, or about to go, would strand them. */
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

/** Some apps open one space to another, whatever is configured: no list may hold them, and no suite rest on them. */
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

/** A file is one stack, whose state is rewritten on every step. */
function filesHaveAtMost100({ shards }: Fleet): Problem[] {
  const most = TENANT_LIMITS.spacesPerFile;
  return shards.flatMap((shard) => {
    const first = shard.tenants[most];
    const what = `the file has ${shard.tenants.length} entries; keep at most ${most}: \`npm run space -- add\` finds a file with room`;
    return first ? [problem(shard, first, "id", what)] : [];
  });
}

/** Sorted files make small diffs and few conflicts. */
function idsAreSorted({ shards }: Fleet): Problem[] {
  const problems: Problem[] = [];
  for (const shard of shards) {
    let last: Tenant | undefined;
    for (const tenant of shard.tenants) {
      const next = last && tenant.id < last.id ? shard.tenants.find(({ id }) => id > tenant.id) : undefined;
      if (last && next) {
        const line = shard.at(next).line;
        problems.push(
          problem(
            shard,
            tenant,
            "id",
            `stands after "${last.id}"; entries are sorted by id: move it above "${next.id}" (line ${line})`,
          ),
        );
      } else last = tenant;
    }
  }
  return problems;
}

/** An id is a database, a bucket and an address: two spaces cannot share it, in whatever files they stand. */
function idsAreUnique({ shards }: Fleet): Problem[] {
  return clashes(
    shards,
    ({ id }) => id,
    (first) => `id is already used in ${first}; choose another`,
  );
}

/** Addresses that people cannot tell apart invite fraud: lotus, l0tus, lo-tus. */
function idsDoNotLookAlike({ shards }: Fleet): Problem[] {
  const seen = new Set<string>();
  const distinct = shards.map((shard) => ({
    ...shard,
    tenants: shard.tenants.filter(({ id }) => !seen.has(id) && seen.add(id)),
  }));
  return clashes(
    distinct,
    ({ id }) => appearance(id),
    (first, { id }) => `id looks like "${id}" (${first}); choose one that nobody takes for it`,
  );
}

/** One problem for each space whose key an earlier one has; `say` gets the earlier one's place. */
function clashes(
  shards: readonly Shard[],
  keyOf: (tenant: Tenant) => string,
  say: (first: string, other: Tenant) => string,
): Problem[] {
  const owners = new Map<string, [Shard, Tenant]>();
  const problems: Problem[] = [];
  for (const shard of shards)
    for (const tenant of shard.tenants) {
      const owner = owners.get(keyOf(tenant));
      if (owner) {
        const [{ file, at }, other] = owner;
        problems.push(problem(shard, tenant, "id", say(`${file}:${at(other).line}`, other)));
      } else owners.set(keyOf(tenant), [shard, tenant]);
    }
  return problems;
}

/** A plan gives a space its storage and accounts. */
function plansExist({ shards, catalog }: Fleet): Problem[] {
  return catalog ? unknownNames(shards, "plan", Object.keys(catalog.plans)) : [];
}

/** A wave gives a space its release. */
function wavesExist({ shards, catalog }: Fleet): Problem[] {
  return catalog ? unknownNames(shards, "wave", Object.keys(catalog.waves)) : [];
}

/** A suite must be known, and run in this environment where any does. */
function officeSuitesExist({ shards, catalog, environment }: Fleet): Problem[] {
  if (!catalog) return [];
  const known = Object.keys(catalog.officeSuites);
  const run: readonly string[] = environment?.office?.suites ?? known;
  return unknownNames(
    shards,
    "office",
    known.filter((suite) => run.includes(suite)),
  );
}

function unknownNames(
  shards: readonly Shard[],
  key: "plan" | "office" | "wave",
  known: readonly string[],
): Problem[] {
  const allowed = new Set(known);
  return shards.flatMap((shard) =>
    shard.tenants
      .filter((tenant) => !allowed.has(tenant[key]))
      .map((tenant) => {
        const meant = nearest(tenant[key], known);
        const why = key === "office" ? REFUSED_SUITES.get(tenant.office) : undefined;
        return problem(
          shard,
          tenant,
          key,
          `${key} is ${inOneLine(tenant[key])}; ${meant === undefined ? `write ${oneOf(known)}` : `did you mean "${meant}"?`}${why === undefined ? "" : `: ${why}`}`,
        );
      }),
  );
}

/** What is promised to spaces, and what may be, in bytes. */
export interface Capacity {
  /** Each pool of a site in words. */
  pools: string[];
  committed: number;
  usable: number;
  /** `usable` times the environment's commitRatio. */
  promisable: number;
}

/** Counts spaces that are not archived at their plan's full storage; undefined where the environment declares no storage. */
export function capacityOf(
  tenants: Iterable<Tenant>,
  catalog: Catalog,
  environment: Environment,
): Capacity | undefined {
  if (!environment.storage) return undefined;
  let committed = 0;
  for (const { plan, state } of tenants)
    if (state !== "archived") committed += (catalog.plans[plan]?.storageGb ?? 0) * GIGABYTE;
  const usable = usableBytes(environment.storage);
  return {
    pools: describePools(environment.storage),
    committed,
    usable,
    promisable: usable * environment.storage.commitRatio,
  };
}

/** Few spaces are full, so more may be promised than there is, but not without end. */
function storageSuffices(fleet: Fleet): Problem[] {
  const { environment, catalog, sources } = fleet;
  if (!environment || !catalog) return [];
  const capacity = capacityOf(
    fleet.shards.flatMap(({ tenants }) => tenants),
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

/** A mistyped id would rotate nothing, and whoever wrote it would believe that it had. */
function rotatedSpacesExist({ environment, shards, sources, problems }: Fleet): Problem[] {
  // An entry that cannot be read is missing from the ids.
  if (!environment || problems.length > 0) return [];
  const ids = shards.flatMap(({ tenants }) => tenants.map(({ id }) => id));
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

/** `192 TB`, `1.6 TB`: terabytes of 10^12 bytes, as drives are sold. */
export function terabytes(bytes: number): string {
  return `${Number((bytes / 1e12).toPrecision(3))} TB`;
}
