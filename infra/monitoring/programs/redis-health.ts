// What is wrong with Redis.
import { readFileSync } from "node:fs";
import { ask, FULL, type LookedAt } from "./looked-at.ts";

export async function redisProblems({ root, settings }: LookedAt): Promise<string[]> {
  const password = readFileSync(`${root}/etc/framaspace/redis/admin`, "utf8").trim();
  const words = ["-h", settings.redis, "--user", "admin", "--no-auth-warning", "INFO"];
  const { output } = await ask(20, "redis-cli", words, {
    env: { REDISCLI_AUTH: password },
    errors: "with-output",
  });
  const info = new Map(
    output.split(/\r?\n/).map((line) => {
      const [name = "", value = ""] = line.split(":");
      return [name, value] as const;
    }),
  );
  const number = (name: string) => Number(info.get(name) ?? 0);
  if (!info.has("used_memory")) return ["redis unreachable: it does not answer"];
  const used = number("used_memory") * 100;
  const problems: string[] = [];
  if (number("maxmemory") > 0 && used >= number("maxmemory") * FULL)
    problems.push(
      `redis memory: ${Math.floor(used / number("maxmemory"))} % full; when it is full, nobody can log in or write. Give redis-1 a larger type (framaspace:machines)`,
    );
  if (number("evicted_keys") > 0)
    problems.push(
      "redis evicted: it deleted keys, perhaps locks and sessions; maxmemory-policy must be noeviction",
    );
  if (number("aof_enabled") !== 1)
    problems.push("redis not kept: appendonly is off, so a restart loses all sessions");
  if (info.get("aof_last_write_status") !== "ok")
    problems.push("redis not kept: it cannot write to its disk");
  if (info.get("aof_last_bgrewrite_status") !== "ok")
    problems.push(
      "redis rewrite: its append-only file could not be rewritten and grows; check memory and disk",
    );
  return problems;
}
