// What makes a storage node and the pair of sites: files, pool, order, policy.
import { describe, expect, it } from "vitest";
import { storageMachines } from "../../infra/addresses.ts";
import {
  renderMcAliases,
  renderMinioEnvironment,
  renderPool,
  renderSpacePolicy,
  storageEndpoints,
  storageFiles,
} from "../../infra/storage.ts";
import { exampleEnvironment } from "./example-environment.ts";
import { commandOf, commandsBefore, prodPlatform } from "./platform-graph.ts";

const environment = exampleEnvironment("prod");
const primary = storageMachines(environment, "primary");
const [node] = primary;
if (!node) throw new Error("prod has storage");
const files = storageFiles(primary, node);
const contentOf = (path: string) => files.find((candidate) => candidate.path === path)?.content;

describe("a node", () => {
  it("runs MinIO as reviewed", async () => {
    await expect(contentOf("/etc/systemd/system/minio.service")).toMatchFileSnapshot(
      "../golden/minio.service",
    );
  });

  it("mounts each drive by its own stable id, and boots without it", () => {
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

describe("a site", () => {
  it("is one pool over all drives of all nodes", () => {
    expect(renderPool(primary)).toBe("https://storage-a{1...5}:9000/srv/minio/drive-{1...4}");
  });

  it("of one node and one drive needs no range", () => {
    const single = { ...node, server: { ...node.server, drives: ["ata-1"] } };
    expect(renderPool([single])).toBe("https://storage-a1:9000/srv/minio/drive-1");
  });

  it("spends the configured number of drives on parity", () => {
    expect(renderMinioEnvironment("primary", 4, "x")).toContain("\nMINIO_STORAGE_CLASS_STANDARD=EC:4\n");
  });

  it("serves through every node", () => {
    expect(storageEndpoints(environment)).toEqual(
      [1, 2, 3, 4, 5].map((number) => `https://storage-a${number}:9000`),
    );
    expect(storageEndpoints(environment, "replica")[0]).toBe("https://storage-b1:9000");
    expect(storageEndpoints(exampleEnvironment("lab"))).toEqual([]);
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

describe("settling", () => {
  it("waits for both sites", async () => {
    const { resource } = commandOf(await prodPlatform(), "storage-settle");
    expect(commandsBefore(resource)).toEqual(expect.arrayContaining(["storage-a5-role", "storage-b5-role"]));
  });

  it("keeps mc's secret in a file of mode 0600", async () => {
    const { script } = commandOf(await prodPlatform(), "storage-settle");
    const secret = /"secretKey": "(.{40})"/.exec(script)?.[1];
    expect(secret).toBeDefined();
    for (const line of script.split("\n").filter((text) => text.includes(secret ?? "")))
      expect(line).toMatch(/^ +"secretKey": /);
    expect(script).toContain("file '/root/.mc/config.json' 0600 root:root");
  });

  it("knows the replica only where there is one", () => {
    const aliases: unknown = JSON.parse(renderMcAliases(["https://storage-a1:9000"], "x"));
    expect(aliases).toMatchObject({ aliases: { primary: { url: "https://storage-a1:9000" } } });
    expect(aliases).not.toHaveProperty("aliases.replica");
  });

  it("gives the spaces the policy as reviewed", async () => {
    await expect(renderSpacePolicy()).toMatchFileSnapshot("../golden/space-policy.json");
  });
});
