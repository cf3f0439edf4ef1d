// What makes a storage node and the pair of sites: files, pool, order and policy.
import { describe, expect, it } from "vitest";
import { servingMachines, storageMachines } from "../../../infra/inventory/addresses.ts";
import { crossChecks } from "../../../infra/inventory/environment-checks.ts";
import type { Environment, Storage } from "../../../infra/inventory/environment.ts";
import { poolLayout, usableBytes } from "../../../infra/inventory/pools.ts";
import {
  POLICIES,
  renderLifecycles,
  renderMcAliases,
  renderMinioEnvironment,
  renderPools,
  renderReconcileSettings,
  storageFiles,
} from "../../../infra/storage/storage.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { commandOf, commandsBefore, prodPlatform } from "../../support/platform-graph.ts";

const environment = exampleEnvironment("prod");
const { storage } = environment;
if (!storage) throw new Error("prod has storage");
const primary = storageMachines(environment, "primary");
const [node] = primary;
if (!node) throw new Error("prod has storage");
const files = storageFiles(storage.pools, primary, node);
const contentOf = (path: string) => files.find((candidate) => candidate.path === path)?.content;

describe("a node", () => {
  it("runs MinIO as reviewed", async () => {
    await expect(contentOf("/etc/systemd/system/minio.service")).toMatchFileSnapshot(
      "../../golden/minio.service",
    );
  });

  it("mounts each drive by its stable id, and boots without the drive", () => {
    const mounts = files.filter(({ path }) => path.endsWith(".mount"));
    expect(mounts.map(({ path }) => path)).toEqual(
      [1, 2, 3, 4].map((drive) => String.raw`/etc/systemd/system/srv-minio-drive\x2d${drive}.mount`),
    );
    mounts.forEach(({ content }, index) => {
      expect(content).toContain(`What=/dev/disk/by-id/${node.server.drives[index]}\n`);
      expect(content).toContain(`Where=/srv/minio/drive-${index + 1}\n`);
      expect(content).toContain("Options=noatime,nofail\n");
      expect(content).toContain("WantedBy=");
      expect(content).not.toContain("RequiredBy=");
    });
  });

  it("keeps the root secret out of its unit", async () => {
    const { script } = commandOf(await prodPlatform(), "storage-a1-role");
    const password = /^MINIO_ROOT_PASSWORD=(.{40})$/m.exec(script)?.[1];
    expect(script.split(password ?? "absent")).toHaveLength(2);
    expect(script).toContain("file '/etc/framaspace/minio/environment' 0600 root:root");
  });
});

/** The example environment with some of its storage changed. */
const changed = (change: Partial<Storage>): Environment => ({
  ...environment,
  storage: { ...storage, ...change },
});

describe("a pool", () => {
  it.each([
    // 320 TB raw, 192 TB usable: the promise of the design, and what the real server makes of it.
    [
      { nodes: 5, drivesPerNode: 4, driveTerabytes: 16 },
      4,
      { sets: 2, setSize: 10, usable: 192, nodesToLose: 2 },
    ],
    [
      { nodes: 1, drivesPerNode: 4, driveTerabytes: 1 },
      2,
      { sets: 1, setSize: 4, usable: 2, nodesToLose: 0 },
    ],
    [
      { nodes: 4, drivesPerNode: 4, driveTerabytes: 1 },
      4,
      { sets: 1, setSize: 16, usable: 12, nodesToLose: 1 },
    ],
    // 12 divides 36, but is not a multiple of nine nodes.
    [
      { nodes: 9, drivesPerNode: 4, driveTerabytes: 1 },
      4,
      { sets: 4, setSize: 9, usable: 20, nodesToLose: 4 },
    ],
  ])("of %o with EC:%i", (pool, parity, expected) => {
    const { sets, setSize, usableBytes: usable, nodesToLose } = poolLayout(pool, parity);
    expect({ sets, setSize, usable: Math.round(usable / 1e12), nodesToLose }).toEqual(expected);
  });

  it("adds to the site's capacity", () => {
    const [pool] = storage.pools;
    if (!pool) throw new Error("prod has a pool");
    expect(usableBytes({ ...storage, pools: [pool, { ...pool, driveTerabytes: 20 }] })).toBe(432e12);
  });
});

describe("a site", () => {
  it("is one pool over all drives of all nodes", () => {
    expect(renderPools(storage.pools, primary)).toBe("https://storage-a{1...5}:9000/srv/minio/drive-{1...4}");
  });

  it("grows by a pool, whose nodes come after the existing ones", () => {
    expect(renderPools([...storage.pools, { nodes: 4, drivesPerNode: 6, driveTerabytes: 20 }], primary)).toBe(
      "https://storage-a{1...5}:9000/srv/minio/drive-{1...4} https://storage-a{6...9}:9000/srv/minio/drive-{1...6}",
    );
  });

  it("of one node and one drive needs no range", () => {
    expect(renderPools([{ nodes: 1, drivesPerNode: 1, driveTerabytes: 1 }], primary)).toBe(
      "https://storage-a1:9000/srv/minio/drive-1",
    );
  });

  it("uses the configured number of drives for parity, and drops old unfinished uploads as configured", () => {
    const text = renderMinioEnvironment("primary", storage, "x");
    expect(text).toContain("\nMINIO_STORAGE_CLASS_STANDARD=EC:4\n");
    expect(text).toContain("\nMINIO_API_STALE_UPLOADS_EXPIRY=48h\n");
    expect(text).toContain("\nMINIO_SYNC_BOOT=on\n");
  });

  it("has one name for all its nodes, in /etc/hosts and in their certificates", async () => {
    const { script } = commandOf(await prodPlatform(), "ops-1-base");
    expect(script.match(/^10\.0\.128\.1\d storage-a\d storage-a$/gm)).toHaveLength(5);
    expect(script.match(/^10\.0\.128\.2\d storage-b\d storage-b$/gm)).toHaveLength(5);
  });

  it("serves spaces if the configuration says so", () => {
    expect(servingMachines(environment).map(({ name }) => name)).toContain("storage-a1");
    const moved = changed({ serving: "replica" });
    expect(servingMachines(moved).map(({ name }) => name)).toEqual(
      [1, 2, 3, 4, 5].map((number) => `storage-b${number}`),
    );
    expect(JSON.parse(renderMcAliases(moved, "x"))).toMatchObject({
      aliases: { primary: { url: "https://storage-a:9000" }, serving: { url: "https://storage-b:9000" } },
    });
    expect(servingMachines(exampleEnvironment("lab"))).toEqual([]);
  });

  it("changes one node at a time", async () => {
    const graph = await prodPlatform();
    for (const site of ["a", "b"])
      for (let number = 2; number <= 5; number++)
        expect(commandsBefore(commandOf(graph, `storage-${site}${number}-role`).resource)).toContain(
          `storage-${site}${number - 1}-role`,
        );
  });
});

describe("the reconciliation of storage", () => {
  it("runs last: after the site that serves, which comes after the other site", async () => {
    const graph = await prodPlatform();
    expect(commandsBefore(commandOf(graph, "storage-settle").resource)).toContain("storage-a5-role");
    expect(commandsBefore(commandOf(graph, "storage-a1-role").resource)).toContain("storage-b5-role");
  });

  it("ignores a site that is declared unreachable, and still expects a pair", () => {
    const text = renderReconcileSettings({
      ...storage,
      serving: "replica",
      sites: {
        ...storage.sites,
        primary: { ...storage.sites.primary, declaredUnreachable: "no power since Monday" },
      },
    });
    expect(JSON.parse(text)).toMatchObject({
      sites: ["replica"],
      paired: true,
      pools: [{ sets: 2, setSize: 10 }],
    });
  });

  it("keeps mc's secret in a file of mode 0600", async () => {
    const { script } = commandOf(await prodPlatform(), "storage-settle");
    const secret = /"secretKey": "(.{40})"/.exec(script)?.[1];
    expect(secret).toBeDefined();
    for (const line of script.split("\n").filter((text) => text.includes(secret ?? "")))
      expect(line).toMatch(/^ +"secretKey": /);
    expect(script).toContain("file '/root/.mc/config.json' 0600 root:root");
  });

  it("knows the replica only if there is one", () => {
    const { primary: only } = storage.sites;
    const aliases: unknown = JSON.parse(renderMcAliases(changed({ sites: { primary: only } }), "x"));
    expect(aliases).toMatchObject({ aliases: { primary: { url: "https://storage-a:9000" } } });
    expect(aliases).not.toHaveProperty("aliases.replica");
  });

  it("gives the spaces the policy as reviewed", async () => {
    await expect(`${JSON.stringify(POLICIES.space, null, 2)}\n`).toMatchFileSnapshot(
      "../../golden/space-policy.json",
    );
  });

  it("gives users of services only what is theirs", () => {
    const backup = JSON.stringify(POLICIES.backup);
    expect(backup.match(/arn:aws:s3:::[^"]*/g)).toEqual(
      ["backup", "backup/*", "backup/*"].map((name) => `arn:aws:s3:::${name}`),
    );
    expect(POLICIES.metrics).toEqual({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Action: ["admin:Prometheus"] }],
    });
  });

  it("lets old versions expire everywhere, and exports in the archive", () => {
    const { archive = "", others = "" } = renderLifecycles(storage);
    const rules = (text: string) =>
      (JSON.parse(text) as { Rules: Record<string, unknown>[] }).Rules.map(
        ({ ID, Status, Filter, ...rest }) => rest,
      );
    const oldVersions = {
      NoncurrentVersionExpiration: { NoncurrentDays: 30 },
      DelMarkerExpiration: { Days: 30 },
    };
    expect(rules(others)).toEqual([oldVersions]);
    expect(rules(archive)).toEqual([oldVersions, { Expiration: { Days: 365 } }]);
  });
});

describe("refused", () => {
  it.each<[string, Partial<Storage>, string]>([
    [
      "a site that serves and is declared unreachable",
      { sites: { ...storage.sites, primary: { ...storage.sites.primary, declaredUnreachable: "fire" } } },
      'storage.serving: "primary", which is declared unreachable (fire); write replica, or remove `declaredUnreachable`',
    ],
    [
      "a site that serves and does not exist",
      { serving: "replica", sites: { primary: storage.sites.primary } },
      'storage.serving: "replica", but storage.sites has no such site; write primary',
    ],
    [
      "a second pool without its servers",
      { pools: [...storage.pools, { nodes: 5, drivesPerNode: 4, driveTerabytes: 16 }] },
      "storage.sites.primary.servers: 5 servers; write 10, as storage.pools says",
    ],
    [
      "drives that cannot be divided into sets",
      { pools: [{ nodes: 1, drivesPerNode: 1, driveTerabytes: 16 }] },
      "storage.pools.0.nodes: 1 × 1 drives divide into no erasure set; write numbers whose product has a divisor from 2 to 16 that is even over the nodes",
    ],
    [
      "more parity than half of a set",
      { parity: 6 },
      "storage.pools.0.nodes: 5 × 4 drives make sets of 10, too small for parity 6; write a parity of at most 5, or more nodes",
    ],
  ])("%s", (_title, change, expected) => {
    const findings = crossChecks(changed(change)).map(({ path, what }) => `${path.join(".")}: ${what}`);
    expect(findings).toContain(expected);
  });
});
