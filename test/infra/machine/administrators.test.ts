// Only the administrators that are declared now can enter a machine as root.
import { expect, test } from "vitest";
import { allMachines } from "../../../infra/inventory/addresses.ts";
import { Access } from "../../../infra/machine/remote.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";
import { renderPeople } from "../../../infra/machine/server.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { commandOf, prodPlatform } from "../../support/platform-graph.ts";

const environment = exampleEnvironment("prod");
const { sshKeys } = environment.administrators;

test("every machine accepts the keys of the engine and of administrators, from a managed file", async () => {
  const graph = await prodPlatform();
  const deploy = String(graph.outputs.deployPublicKey);
  const machines = allMachines(environment);
  expect(machines.length).toBeGreaterThan(15);
  for (const { name } of machines) {
    const { script } = commandOf(graph, `${name}-base`);
    const people = /authorized_keys\/root-people'? .*<<'?(\w+)'?(\n[^]*?\n)\1\n/.exec(script)?.[2] ?? "";
    expect(people, name).toContain(`\n${deploy} deploy\n`);
    for (const key of Object.values(sshKeys)) expect(people, name).toContain(`\n${key} `);
    const files = /^AuthorizedKeysFile (.*)$/m.exec(script)?.[1]?.split(" ") ?? [];
    expect(files).toContain("/etc/framaspace/authorized_keys/%u-people");
    // What the first boot wrote there is no longer read.
    expect(files.filter((file) => !file.startsWith("/etc/framaspace/"))).toEqual([]);
    // A machine that is killed between the two steps still lets the engine in.
    expect(script.indexOf("/authorized_keys/root-people")).toBeLessThan(script.indexOf("AuthorizedKeysFile"));
  }
});

test("a cloud server starts with only the engine's key, so that no administrator stays on an unfinished server", async () => {
  const { resources } = await prodPlatform();
  const keys = resources.filter(({ type }) => type === "hcloud:index/sshKey:SshKey");
  expect(keys.map(({ inputs }) => inputs.name)).toEqual(["deploy"]);
});

test("machines accept a new deploy key before it is used, and the old one as long as it is used", () => {
  const keysOf = (generations: Record<string, number>) =>
    new Access(new Secrets("master", "prod", generations)).deployPublicKeys;
  const [old = ""] = keysOf({});
  const [fresh = ""] = keysOf({ "deploy/ssh": 2 });
  expect(fresh).not.toBe(old);
  expect(keysOf({ "deploy/trusted": 2 })).toEqual([old, fresh]);
  expect(keysOf({ "deploy/ssh": 2, "deploy/trusted": 1 })).toEqual([fresh, old]);
  expect(keysOf({ "deploy/ssh": 2 })).toEqual([fresh]);
  expect(renderPeople([old, fresh], { ada: "ssh-ed25519 AAAA" })).toMatch(
    / deploy\n.* deploy\nssh-ed25519 AAAA ada\n$/,
  );
});
