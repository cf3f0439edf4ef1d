// Lints every shell script.
import { globSync } from "node:fs";
import { count } from "../validation/positions.ts";
import { runTool, type Outcome } from "./tool.ts";

/** The scripts run as root on machines. So CI lints all of them: there, a missing shellcheck is a failure. */
export async function checkShell(root: string): Promise<Outcome> {
  const scripts = globSync(["**/*.sh", "**/usr/local/sbin/*", ".ci/run"], {
    cwd: root,
    exclude: ["node_modules", ".lab", "**/*.ts"],
  });
  const outcome = await runTool(root, "shellcheck", ["--external-sources", ...scripts]);
  if (outcome.state === "failed" && outcome.text.includes("ENOENT"))
    return {
      state: process.env["CI"] === "true" ? "failed" : "skipped",
      text: "shellcheck is not installed; run `apt-get install shellcheck`",
    };
  return outcome.state === "passed" ? { ...outcome, text: count(scripts.length, "script") } : outcome;
}
