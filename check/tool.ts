// Runs a tool as a part of the check.
import { join } from "node:path";

/** What a part found. */
export interface Outcome {
  state: "passed" | "failed" | "skipped";
  /** One line beside a part that passed or was skipped; everything there is to say about a part that failed. */
  text: string;
}

/** Runs a tool of this package or of the system. If it fails, its output is the text. */
export async function runTool(root: string, command: string, args: string[]): Promise<Outcome> {
  // Loaded only when needed: `npm run check -- tenants` runs no tool.
  const { execa } = await import("execa");
  const { failed, all, exitCode, originalMessage, shortMessage } = await execa(command, args, {
    cwd: root,
    env: { PATH: `${join(import.meta.dirname, "../node_modules/.bin")}:${process.env["PATH"]}` },
    stdin: "ignore",
    all: true,
    maxBuffer: 2 ** 28,
    reject: false,
  });
  if (!failed) return { state: "passed", text: "" };
  // Without an exit status, the tool did not start or was killed. It may have printed nothing.
  const why = exitCode === undefined ? originalMessage || shortMessage : undefined;
  return { state: "failed", text: all.trimEnd() || (why ?? "") };
}
