// What Redis keeps, and from whom.
import { expect, it } from "vitest";
import { renderAcl, renderRedis, renderSpaceCommands } from "../../../infra/redis/redis.ts";
import { commandOf, prodPlatform } from "../../support/platform-graph.ts";

const acl = renderAcl("for people");
const commands = renderSpaceCommands().trim().split(" ");

it("redis.conf is as reviewed", async () => {
  const machine = { name: "redis-1", role: "redis", privateAddress: "10.0.31.1" } as const;
  await expect(renderRedis(machine)).toMatchFileSnapshot("../../golden/redis.conf");
});

it("platform.acl is as reviewed", async () => {
  await expect(acl).toMatchFileSnapshot("../../golden/platform.acl");
});

it("holds no password in plain, and lets nobody in without a name", () => {
  expect(acl).not.toContain("for people");
  expect(acl).not.toContain("nopass");
  expect(acl).toMatch(/^user default reset off$/m);
});

it.each(["config", "flushall", "flushdb", "scan", "select", "monitor", "client", "acl", "info", "shutdown"])(
  "gives the spaces no %s",
  (command) => {
    expect(commands).not.toContain(`+${command}`);
    expect(commands.slice(0, 2)).toEqual(["resetchannels", "-@all"]);
    expect(commands.join(" ")).not.toMatch(/\+@/);
  },
);

it("keeps the users of spaces when its own change, and gets the password that ops-1 has", async () => {
  const { script } = commandOf(await prodPlatform(), "redis-1-role");
  expect(script).toMatch(/^PASSWORD='[\w-]{40}'$/m);
  expect(script).toContain("file '/etc/redis/platform.acl' 0640 redis:redis");
  expect(script).not.toContain("file '/etc/redis/users.acl'");
});
