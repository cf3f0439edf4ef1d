// What Redis keeps, and who may read it.
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

it("contains no password in plain text, and lets nobody in without a name", () => {
  expect(acl).not.toContain("for people");
  expect(acl).not.toContain("nopass");
  expect(acl).toMatch(/^user default reset off$/m);
});

it.each(["config", "flushall", "flushdb", "scan", "select", "monitor", "client", "acl", "info", "shutdown"])(
  "does not allow spaces the command %s",
  (command) => {
    expect(commands).not.toContain(`+${command}`);
    expect(commands.slice(0, 2)).toEqual(["resetchannels", "-@all"]);
    expect(commands.join(" ")).not.toMatch(/\+@/);
  },
);

it("keeps the users of spaces when its own users change, and gets the password of ops-1", async () => {
  const { script } = commandOf(await prodPlatform(), "redis-1-role");
  expect(script).toMatch(/^PASSWORD='[\w-]{40}'$/m);
  expect(script).toContain("file '/etc/redis/platform.acl' 0640 redis:redis");
  expect(script).not.toContain("file '/etc/redis/users.acl'");
});
