import { execa } from "execa";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { isSecret, mapSecrets, reveal, secret, type Graph } from "../../evaluate/graph.ts";
import { record } from "../../evaluate/recorder.ts";
import { readStackConfiguration } from "../../evaluate/stack-configuration.ts";
import { COMPILED } from "../../evaluate/worker-pool.ts";

const ROOT = join(import.meta.dirname, "../..");
const STACKS = ["prod-platform", "prod-spaces-001", "lab-platform", "lab-spaces-001"];

/** A separate program, removed after the test. */
function programOf(code: string): string {
  const root = mkdtempSync(join(tmpdir(), "framaspace-test-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
  writeFileSync(join(root, "package.json"), '{"type":"module"}');
  writeFileSync(
    join(root, "index.ts"),
    `import * as pulumi from "@pulumi/pulumi"; import * as hcloud from "@pulumi/hcloud"; export default async function program() { ${code} }`,
  );
  return root;
}

const EMPTY = { values: {}, secretKeys: [] };

function find(graph: Graph, name: string) {
  const found = graph.resources.find((resource) => resource.name === name);
  if (!found) throw new Error(`no resource ${name}`);
  return found;
}

/** Every value that is not marked as secret, by its path. */
function plainLeaves(graph: Graph): Map<string, string> {
  const leaves = new Map<string, string>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value === "object" && value !== null)
      for (const [key, item] of Object.entries(value)) walk(item, `${path} ${key}`);
    else leaves.set(path, String(value));
  };
  for (const { urn, inputs } of graph.resources)
    walk(
      mapSecrets(inputs, () => "secret"),
      urn,
    );
  return leaves;
}

test.each(STACKS)("%s holds no derived secret in plain", async (stack) => {
  const file = join(ROOT, `Pulumi.${stack.split("-")[0]}.yaml`);
  const { values, secretKeys } = await readStackConfiguration(file);
  const withSecrets = (suffix: string) => ({
    values: {
      ...values,
      ...Object.fromEntries(secretKeys.map((key) => [key, `${values[key]?.slice(0, 60)}${suffix}`])),
    },
    secretKeys,
  });
  // Every value that changes with the secrets is derived from them.
  const one = plainLeaves(await record({ stack, config: withSecrets("AAAA") }));
  const other = plainLeaves(await record({ stack, config: withSecrets("BBBB") }));
  const derived = [...one].filter(([path, value]) => other.get(path) !== value);
  // These are public: the public half of the deploy key, and the path of the authority's certificate.
  const isPublic = (value: string) => value.startsWith("ssh-ed25519 ") || value.endsWith(".crt");
  expect(derived.filter(([, value]) => !isPublic(value))).toEqual([]);
  expect(one.size).toBeGreaterThan(30);
});

test("records parents, protection, dependencies and secrets as the engine sees them", async () => {
  const graph = await record({ stack: "lab-spaces-001" });
  const [role, database, converge] = ["role", "database", "converge"].map((name) =>
    find(graph, `lotus-${name}`),
  );
  expect(role?.urn).toBe(
    "urn:pulumi:lab-spaces-001::framaspace::framaspace:spaces:Spaces$framaspace:spaces:Space$postgresql:index/role:Role::lotus-role",
  );
  expect(role?.parent).toMatch(/framaspace:spaces:Space::lotus$/);
  expect(role?.protect).toBe(true);
  expect(role?.provider).toMatch(/pulumi:providers:postgresql::postgresql$/);
  expect(isSecret(role?.inputs.password)).toBe(true);
  expect(database?.propertyDependencies.owner).toEqual([role?.urn]);
  expect(converge?.dependencies).toContain(database?.urn);
  expect(graph.resources.find(({ name }) => name === "lotus")?.custom).toBe(false);
});

test("outputs of newResource, even late ones, reach the resources that depend on them", async () => {
  const root = programOf(`
    const network = new hcloud.Network("net", { name: "net", ipRange: "10.0.0.0/16" });
    const key = new hcloud.SshKey("key", { name: "key", publicKey: network.id.apply((id) => "id " + id) });
    return { fingerprint: key.fingerprint };`);
  const order: string[] = [];
  const graph = await record({
    stack: "x-y",
    root,
    config: EMPTY,
    newResource: async ({ name }) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      order.push(name);
      return { id: "42", outputs: { fingerprint: secret("ab:cd") } };
    },
  });
  expect(order).toEqual(["net", "key"]);
  expect(find(graph, "key").inputs.publicKey).toBe("id 42");
  expect(graph.outputs).toEqual({ fingerprint: "ab:cd" });
});

test("parallel evaluations do not mix", async () => {
  const graphs = await Promise.all(STACKS.slice(1, 4).map((stack) => record({ stack })));
  expect(graphs.map(({ stack }) => stack)).toEqual(STACKS.slice(1, 4));
  for (const { stack, resources } of graphs)
    for (const { urn } of resources) expect(urn.startsWith(`urn:pulumi:${stack}::`)).toBe(true);
});

test("an error in the program, direct or in an output, fails the evaluation", async () => {
  await expect(record({ stack: "nonsense", config: EMPTY })).rejects.toThrow(
    'stack "nonsense" is not one of this project',
  );
  const late = programOf(`
    new hcloud.Network("net", { name: pulumi.output("x").apply(() => { throw new Error("broken value"); }), ipRange: "" });`);
  await expect(record({ stack: "x-y", root: late, config: EMPTY })).rejects.toThrow("broken value");
  const failing = record({
    stack: "x-y",
    root: programOf(`new hcloud.Network("net", { name: "net", ipRange: "10.0.0.0/16" });`),
    config: EMPTY,
    newResource: () => Promise.reject(new Error("no room")),
  });
  await expect(failing).rejects.toThrow("no room");
  // The next evaluation starts from nothing.
  expect((await record({ stack: "lab-spaces-001" })).resources.length).toBeGreaterThan(10);
});

test("refuses a program that asks the cloud", async () => {
  const root = programOf(`return { id: hcloud.getImageOutput({ name: "debian-13" }).id };`);
  await expect(record({ stack: "x-y", root, config: EMPTY })).rejects.toThrow("asks a cloud");
});

test("decrypts secrets with the passphrase, and uses placeholders without it", async () => {
  const file = join(ROOT, "Pulumi.lab.yaml");
  const opened = await readStackConfiguration(file, "example");
  const closed = await readStackConfiguration(file);
  expect(opened.secretKeys).toEqual(closed.secretKeys);
  expect(opened.values["framaspace:hcloudToken"]).toHaveLength(64);
  expect(closed.values["framaspace:hcloudToken"]).toHaveLength(64);
  expect(opened.values["framaspace:hcloudToken"]).not.toBe(closed.values["framaspace:hcloudToken"]);
  await expect(readStackConfiguration(file, "wrong")).rejects.toThrow("that is not its passphrase");
});

test("the lean SDK gives the same graphs", { timeout: 60_000 }, async () => {
  const code = (lean: boolean) => `
    if (${lean}) (await import(${JSON.stringify(join(ROOT, "evaluate/lean-sdk.ts"))})).makeSdkLean();
    const { record } = await import(${JSON.stringify(join(ROOT, "evaluate/recorder.ts"))});
    console.log(JSON.stringify([await record({ stack: "prod-platform" }), await record({ stack: "lab-spaces-001" })]));`;
  const [whole, lean] = await Promise.all(
    [false, true].map((is) =>
      execa(process.execPath, ["--input-type=module", "--eval", code(is)], {
        env: { NODE_COMPILE_CACHE: COMPILED },
      }),
    ),
  );
  expect(lean?.stdout).toBe(whole?.stdout);
});

test("reveal and mapSecrets reach nested values", () => {
  const value = { a: [secret({ b: secret("c") })], d: 1 };
  expect(reveal(value)).toEqual({ a: [{ b: "c" }], d: 1 });
  expect(mapSecrets(value, () => "*")).toEqual({ a: ["*"], d: 1 });
});
