// A space as the engine gets it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isSecret, reveal, type Resource } from "../../evaluate/graph.ts";
import { loadFleet } from "../../spaces/fleet/load-fleet.ts";
import { wantedSpaceSchema } from "../../spaces/space-document.ts";
import { graphOf } from "../support/platform-graph.ts";

const ROOT = join(import.meta.dirname, "../..");
const SIX = [
  "command:remote/command:Command",
  "minio:index/iamUser:IamUser",
  "minio:index/iamUserPolicyAttachment:IamUserPolicyAttachment",
  "minio:index/s3Bucket:S3Bucket",
  "postgresql:index/database:Database",
  "postgresql:index/role:Role",
];

const prod = await graphOf("prod-spaces-001");
const fleet = loadFleet(ROOT, "prod");
const entries = fleet.tenantsFiles[0]?.entries ?? [];
const byUrn = new Map(prod.resources.map((resource) => [resource.urn, resource]));

function partsOf(id: string): Resource[] {
  const space = prod.resources.find(({ type, name }) => type === "framaspace:spaces:Space" && name === id);
  return prod.resources.filter(({ parent }) => parent !== undefined && parent === space?.urn);
}

/** `minio:index/s3Bucket:S3Bucket` → `S3Bucket`. */
const kind = ({ type }: Resource): string => type.split(":").at(-1) ?? type;
const partOf = (id: string, wanted: string): Resource => {
  const found = partsOf(id).find((part) => kind(part) === wanted);
  if (!found) throw new Error(`${id} has no ${wanted}`);
  return found;
};

it("asks for a second factor in at least one example", () => {
  expect(entries.map(({ twoFactor }) => twoFactor)).toContain("required");
});

describe.each(entries)("space $id", ({ id, state, ...entry }) => {
  it("has six resources, named after its id", () => {
    const parts = partsOf(id);
    expect(new Set(parts.map(kind))).toEqual(new Set(SIX.map((type) => type.split(":").at(-1))));
    expect(parts.length).toBe(SIX.length);
    for (const part of parts) expect(part.name.startsWith(`${id}-`)).toBe(true);
  });

  it("can be destroyed only once it is archived", () => {
    for (const wanted of ["Role", "Database", "S3Bucket", "IamUser"])
      expect(partOf(id, wanted).protect).toBe(state !== "archived");
    expect(partOf(id, "S3Bucket").inputs.forceDestroy).toBe(state === "archived");
  });

  it("owns its database and its bucket, whose limit is above the plan's", () => {
    expect(partOf(id, "Role").inputs).toMatchObject({ name: id, login: true });
    expect(partOf(id, "Database").inputs).toMatchObject({ name: id, owner: id });
    const { storageGb = 0 } = fleet.catalog?.plans[entry.plan] ?? {};
    expect(partOf(id, "S3Bucket").inputs).toMatchObject({
      bucket: `space-${id}`,
      quota: storageGb * 1.5 * 2 ** 30,
    });
    expect(partOf(id, "IamUserPolicyAttachment").inputs).toMatchObject({ userName: id, policyName: "space" });
  });

  it("may have a connection for each worker of its pool, and some for the programs of ops-1", () => {
    const install = readFileSync(join(ROOT, "infra/web/install.sh"), "utf8");
    const [, share, more] =
      /^share=.* : (\d+)\)\)$[^]*max_children = \$\(\(share \+ (\d+)\)\)/m.exec(install) ?? [];
    expect(partOf(id, "Role").inputs.connectionLimit).toBeGreaterThan(Number(share) + Number(more));
  });

  it("never sets forceDestroy on its user, which would delete it at the next update", () => {
    expect(partOf(id, "IamUser").inputs).not.toHaveProperty("forceDestroy");
  });

  it("converges after its other resources exist, with its secrets on standard input", () => {
    const converge = partOf(id, "Command");
    expect(converge.inputs.create).toBe("/usr/local/sbin/converge-space");
    expect(converge.inputs).not.toHaveProperty("triggers");
    expect(isSecret(converge.inputs.stdin)).toBe(true);
    expect(
      converge.dependencies
        .map((urn) => byUrn.get(urn))
        .filter((part) => part !== undefined)
        .map(kind),
    ).toEqual(expect.arrayContaining(["Database", "S3Bucket", "IamUserPolicyAttachment"]));
    const wanted = wantedSpaceSchema.parse(JSON.parse(String(reveal(converge.inputs.stdin))));
    expect(wanted.twoFactor).toBe(entry.twoFactor);
    expect(wanted).toMatchObject({
      id,
      state,
      host: `${id}.example.org`,
      release: fleet.catalog?.waves[entry.wave],
      database: { name: id, user: id, password: reveal(partOf(id, "Role").inputs.password) },
      s3: { bucket: `space-${id}`, user: id, secret: reveal(partOf(id, "IamUser").inputs.secret) },
      redis: { user: id, password: expect.stringMatching(/^[\w-]{40}$/), prefix: `${id}:` },
    });
  });
});

it("marks every secret as secret", () => {
  const secrets = prod.resources.flatMap(({ type, inputs }) => {
    if (type.endsWith(":Role")) return [inputs.password];
    return type.endsWith(":IamUser") ? [inputs.secret] : [];
  });
  expect(secrets).toHaveLength(2 * entries.length);
  expect(secrets.every(isSecret)).toBe(true);
});

it("allows more connections than any parallelism needs, and checks certificates", () => {
  const provider = prod.resources.find(({ type }) => type === "pulumi:providers:postgresql");
  expect(Number(provider?.inputs.maxConnections)).toBeGreaterThanOrEqual(2 * 64);
  expect(provider?.inputs.sslmode).toBe("verify-full");
  expect(String(provider?.inputs.sslrootcert)).toMatch(/^node_modules\/\.cache\//);
});

it("has no bucket where the environment has no storage", async () => {
  const lab = await graphOf("lab-spaces-001");
  const types = new Set(lab.resources.map(({ type }) => type));
  expect([...types].filter((type) => type.startsWith("minio"))).toEqual([]);
});
