// What makes a PostgreSQL node: its files, and the order in which nodes are made.
import { describe, expect, it } from "vitest";
import { cloudMachines } from "../../../infra/inventory/addresses.ts";
import { postgresFiles, renderHba, slotName } from "../../../infra/postgres/postgres.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { commandOf, commandsBefore, prodPlatform } from "../../support/platform-graph.ts";

const prod = exampleEnvironment("prod");
const [first, second] = cloudMachines(prod, "postgres");
if (!first || !second) throw new Error("prod has two PostgreSQL nodes");
const contentOf = (path: string) =>
  postgresFiles(prod, second, first).find((candidate) => candidate.path.endsWith(path))?.content;

describe("files", () => {
  it.each(["postgresql.conf", "pg_hba.conf"])("%s is as reviewed", async (name) => {
    await expect(contentOf(name)).toMatchFileSnapshot(`../../golden/${name}`);
  });

  it("let nobody in without TLS, without a password, or from another network", () => {
    const lines = renderHba(first)
      .split("\n")
      .filter((line) => line && !line.startsWith("#"))
      .map((line) => line.split(/ +/));
    expect(new Set(lines.map(([type]) => type))).toEqual(new Set(["local", "hostssl"]));
    const remote = lines.filter(([type]) => type === "hostssl");
    for (const [, , , address] of remote) expect(address).toMatch(/^10\.0\.(20|21|1|30)\.\d+\/(24|32)$/);
    // Only the administrator sees the databases of others, and only from ops. The database `postgres` holds no data.
    expect(remote.filter(([, database = ""]) => !["sameuser", "replication"].includes(database))).toEqual([
      ["hostssl", "all", "framaspace", "10.0.1.0/24", "scram-sha-256"],
      ["hostssl", "postgres", "replication", "10.0.30.1/32", "scram-sha-256"],
    ]);
    expect(lines.flatMap((fields) => fields.slice(-1)).sort()).toEqual(
      ["peer", ...Array.from({ length: lines.length - 1 }, () => "scram-sha-256")].sort(),
    );
  });

  it("allow replication only from the peer, and from nobody without a peer", () => {
    expect(renderHba(first)).toMatch(/^hostssl +replication +replication +10\.0\.30\.1\/32 +scram-sha-256$/m);
    expect(renderHba(undefined)).not.toMatch(/^hostssl .*replication/m);
  });

  it("contain a password only in a file of mode 0600", async () => {
    const graph = await prodPlatform();
    const { script } = commandOf(graph, "postgres-1-role");
    const password = /^REPLICATION_PASSWORD='(.+)'$/m.exec(commandOf(graph, "postgres-settle").script)?.[1];
    expect(password).toHaveLength(40);
    expect(script.split("\n").filter((line) => password && line.includes(password))).toHaveLength(1);
    expect(script).toContain("file '/etc/postgresql/17/main/replication.pgpass' 0600 postgres:postgres");
  });
});

it("names slots as PostgreSQL allows", () => {
  expect(slotName(second)).toBe("postgres_2");
});

it("makes one node after the other, after both machines have their base", async () => {
  const graph = await prodPlatform();
  const bases = ["postgres-1-base", "postgres-2-base"];
  expect(commandsBefore(commandOf(graph, "postgres-1-role").resource)).toEqual(expect.arrayContaining(bases));
  expect(commandsBefore(commandOf(graph, "postgres-2-role").resource)).toContain("postgres-1-role");
  // Reconciled after both are installed, and after the backups, from which they may be filled, can be reached.
  expect(commandsBefore(commandOf(graph, "postgres-settle").resource)).toEqual(
    expect.arrayContaining(["postgres-2-role", "storage-settle"]),
  );
});
