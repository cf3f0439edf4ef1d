// Looks whether spaces serve as people use them. ops-1 does it (spaces/agent/programs/try-spaces.ts).
import { execa } from "execa";

/**
 * Has ops-1 use spaces as members do. Resolves to one line for each problem; empty if all serve.
 * @param ssh Words that run SSH to ops-1.
 */
export async function lookAt(ssh: readonly string[], ids: readonly string[]): Promise<string[]> {
  const [program = "", ...words] = ssh;
  const options = { stdin: "ignore", reject: false } as const;
  const { stdout, stderr, failed } = await execa(program, [...words, "try-space", ...ids], options);
  if (!failed) return [];
  const lines = `${stdout}\n${stderr}`.split("\n").filter((line) => line !== "");
  return lines.length > 0 ? lines : [`${ssh.join(" ")} try-space: it failed and said nothing`];
}
