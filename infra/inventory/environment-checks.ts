// Rules that concern several keys of an environment. Each is a pure function from the whole configuration to findings,
// and all of them always run. Rules for a single key are in its schema.
import { oneOf } from "../../validation/forms.ts";
import { nearest, type Finding } from "../../validation/wording.ts";
import { allMachines, siteName } from "./addresses.ts";
import { CLOUD_ROLES, MOST_STORAGE_NODES, type Environment } from "./environment.ts";
import { poolLayout } from "./pools.ts";
import { MACHINE_SECRETS, PLATFORM_SECRETS, SPACE_SECRETS, TRUSTED_OWNERS } from "./secret-names.ts";

/** The findings of all rules. A `path` begins with a key without its prefix. */
export function crossChecks(environment: Environment): Finding[] {
  return [
    ...inventoryIsComplete(environment),
    ...poolsArePossible(environment),
    ...servingSiteIsReachable(environment),
    ...drivesAreUnique(environment),
    ...typesArePriced(environment),
    ...neededKeysArePresent(environment),
    ...generationsNameSecrets(environment),
  ];
}

/**
 * Each site has the servers of all pools, in order, each with its pool's drives: MinIO cannot add one node to a pool.
 */
function inventoryIsComplete({ storage }: Environment): Finding[] {
  if (!storage) return [];
  const findings: Finding[] = [];
  const drives = storage.pools.flatMap((one) => Array<number>(one.nodes).fill(one.drivesPerNode));
  for (const role of ["primary", "replica"] as const) {
    const servers = storage.sites[role]?.servers;
    if (!servers) continue;
    const path = ["storage", "sites", role, "servers"];
    if (servers.length !== drives.length)
      findings.push({
        path,
        what: `${servers.length} servers; write ${drives.length}, as storage.pools says`,
      });
    servers.forEach((server, index) => {
      const expected = `${siteName(role)}${index + 1}`;
      if (server.name !== expected)
        findings.push({
          path: [...path, index, "name"],
          what: `"${server.name}" is in the place of ${expected}; keep servers in order`,
        });
      const wanted = drives[index];
      if (wanted !== undefined && server.drives.length !== wanted)
        findings.push({
          path: [...path, index, "drives"],
          what: `${server.name} has ${server.drives.length} drives; write ${wanted}, as its pool's drivesPerNode says`,
        });
    });
  }
  return findings;
}

/** MinIO divides each pool into equal sets, and parity is at most half of a set (docs/erasure/storage-class). */
function poolsArePossible({ storage }: Environment): Finding[] {
  if (!storage) return [];
  const { pools, parity } = storage;
  const nodes = pools.reduce((sum, one) => sum + one.nodes, 0);
  const tooMany = {
    path: ["storage", "pools"],
    what: `${nodes} nodes; a site has addresses for ${MOST_STORAGE_NODES} (infra/inventory/addresses.ts)`,
  };
  return [
    ...(nodes > MOST_STORAGE_NODES ? [tooMany] : []),
    ...pools.flatMap((one, index) => {
      const { setSize } = poolLayout(one, parity);
      if (parity * 2 <= setSize) return [];
      const size = `${one.nodes} × ${one.drivesPerNode} drives`;
      return [
        {
          path: ["storage", "pools", index, "nodes"],
          what:
            setSize === 1
              ? `${size} divide into no erasure set; write numbers whose product has a divisor from 2 to 16 that is even over the nodes`
              : `${size} make sets of ${setSize}, too small for parity ${parity}; write a parity of at most ${Math.floor(setSize / 2)}, or more nodes`,
        },
      ];
    }),
  ];
}

/** The serving site is declared, and not declared unreachable. */
function servingSiteIsReachable({ storage }: Environment): Finding[] {
  if (!storage) return [];
  const path = ["storage", "serving"];
  const site = storage.sites[storage.serving];
  if (!site)
    return [{ path, what: `"${storage.serving}", but storage.sites has no such site; write primary` }];
  if (site.declaredUnreachable === undefined) return [];
  const other = storage.serving === "primary" ? "replica" : "primary";
  return [
    {
      path,
      what: `"${storage.serving}", which is declared unreachable (${site.declaredUnreachable}); write ${other}, or remove \`declaredUnreachable\``,
    },
  ];
}

/** No drive, address or host key is listed twice: two MinIO nodes on one drive would destroy each other's data. */
function drivesAreUnique({ storage }: Environment): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, string>();
  for (const role of ["primary", "replica"] as const) {
    storage?.sites[role]?.servers.forEach((server, index) => {
      const path = ["storage", "sites", role, "servers", index];
      const claims = [
        ...server.drives.map((drive, n) => ({ kind: "drive", value: drive, path: [...path, "drives", n] })),
        { kind: "address", value: server.address, path: [...path, "address"] },
        { kind: "host key", value: server.hostKey, path: [...path, "hostKey"] },
      ];
      for (const claim of claims) {
        const key = `${claim.kind} ${claim.value}`;
        const owner = seen.get(key);
        if (owner)
          findings.push({
            path: claim.path,
            what: `${key} is already listed for ${owner}; write ${server.name}'s own`,
          });
        else seen.set(key, server.name);
      }
    });
  }
  return findings;
}

/** Every type in use has a price, so that a plan's cost is never silently too low. */
function typesArePriced({ machines, storage, hcloud, prices }: Environment): Finding[] {
  const uses = [
    ...CLOUD_ROLES.map((role) => ({ path: ["machines", role, "type"], type: machines[role].type })),
    ...(storage ? [{ path: ["storage", "serverType"], type: storage.serverType }] : []),
    { path: ["hcloud", "loadBalancerType"], type: hcloud.loadBalancerType },
  ];
  return uses
    .filter(({ type }) => prices.monthly[type] === undefined)
    .map(({ path, type }) => ({
      path,
      what: `"${type}" has no price; add it to prices.monthly, or write one of ${Object.keys(prices.monthly).join(", ")}`,
    }));
}

/** A declared role has what it installs, and every role that spaces need has at least one machine. */
function neededKeysArePresent(environment: Environment): Finding[] {
  const { machines, postgresPrimary } = environment;
  const findings: Finding[] = [];
  if (postgresPrimary === "postgres-2" && machines.postgres.count < 2)
    findings.push({
      path: ["postgresPrimary"],
      what: `"postgres-2" is not declared; write postgres-1, or 2 for machines.postgres.count`,
    });
  for (const role of ["imaginary", "office"] as const)
    if (machines[role].count > 0 && !environment[role])
      findings.push({
        path: ["machines", role, "count"],
        what: `${machines[role].count}, but framaspace:${role} is missing; add it or write 0`,
      });
  for (const role of ["ops", "logs", "postgres", "redis", "web", "worker", "gateway"] as const)
    if (machines[role].count < 1)
      findings.push({
        path: ["machines", role, "count"],
        what: `0; write at least 1: no space works without ${role}-1`,
      });
  for (const [role, most] of [
    ["ops", 1],
    ["logs", 1],
    ["postgres", 2],
    ["redis", 1],
    ["imaginary", 1],
    ["office", 1],
  ] as const)
    if (machines[role].count > most)
      findings.push({
        path: ["machines", role, "count"],
        what: `${machines[role].count}; write at most ${most}: more are not built yet`,
      });
  return findings;
}

/** The configured generations. `platform` lists the owner's purposes that rotate; undefined if the owner is a space. */
function generationsOf(environment: Environment) {
  const platform = new Map<string, readonly string[]>([
    ...Object.entries<readonly string[]>(PLATFORM_SECRETS),
    ...TRUSTED_OWNERS.map((owner) => [owner, [...PLATFORM_SECRETS[owner], "trusted"]] as const),
    ...allMachines(environment).map(({ name }) => [name, MACHINE_SECRETS.rotating] as const),
  ]);
  return Object.keys(environment.generations).map((key) => {
    const [owner = "", purpose = ""] = key.split("/");
    return { key, owner, purpose, platform: platform.get(owner) };
  });
}

/** A number under a mistyped key would rotate nothing, and nobody would notice. */
function generationsNameSecrets(environment: Environment): Finding[] {
  return generationsOf(environment).flatMap(({ key, owner, purpose, platform }) => {
    // spaces/fleet/fleet-checks.ts checks that a space of this id exists.
    const known: readonly string[] = platform ?? SPACE_SECRETS.rotating;
    if (known.includes(purpose)) return [];
    const keys = known.map((one) => `${owner}/${one}`);
    const meant = nearest(key, keys);
    const remedy = meant === undefined ? `write ${oneOf(keys)}` : `did you mean ${meant}?`;
    return [{ path: ["generations", key], what: `names no secret that rotates; ${remedy}` }];
  });
}

/** The configured generations of spaces' secrets: each key, and the space's id in it. */
export function generationsOfSpaces(environment: Environment): { key: string; id: string }[] {
  return generationsOf(environment)
    .filter(({ platform }) => platform === undefined)
    .map(({ key, owner }) => ({ key, id: owner }));
}
