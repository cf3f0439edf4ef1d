// What Redis keeps, and from whom.
import { expect, it } from "vitest";
import { renderAcl, renderRedis } from "../../infra/redis.ts";
import { commandOf, prodPlatform } from "./platform-graph.ts";

const acl = renderAcl({ spaces: "for spaces", admin: "for people" });
const [spaces = ""] = acl.split("\n");

it("redis.conf is as reviewed", async () => {
  const machine = { name: "redis-1", role: "redis", privateAddress: "10.0.31.1" } as const;
  await expect(renderRedis(machine)).toMatchFileSnapshot("../golden/redis.conf");
});

it("users.acl is as reviewed", async () => {
  await expect(acl).toMatchFileSnapshot("../golden/users.acl");
});

it("holds no password in plain", () => {
  expect(acl).not.toMatch(/for (spaces|people)/);
  expect(acl).not.toContain("nopass");
});

it.each(["config", "flushall", "flushdb", "scan", "select", "monitor", "client", "acl", "info", "shutdown"])(
  "gives the spaces no %s",
  (command) => {
    expect(spaces.split(" ")).not.toContain(`+${command}`);
    expect(spaces).toContain(" -@all ");
    expect(spaces).not.toMatch(/\+@/);
  },
);

it("gets the password that the web servers log in with", async () => {
  const { script } = commandOf(await prodPlatform(), "redis-1-role");
  expect(script).toMatch(/^PASSWORD='[\w-]{40}'$/m);
  expect(script).toContain("file '/etc/redis/users.acl' 0640 redis:redis");
});
