// A part of the check that a tool does.
import { join } from "node:path";

/** What a part found. */
export interface Outcome {
  state: "passed" | "failed" | "skipped";
  /** One line beside a part that passed or was skipped; all there is to say of one that failed. */
  text: string;
}

/** Runs a tool of this package, or of the system. What it prints is the text where it fails. */
export async function runTool(root: string, command: string, args: string[]): Promise<Outcome> {
  // Not before it is needed: `npm run check -- tenants` runs no tool.
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
  // Without an exit status it did not start, or was killed: it may have said nothing.
  const why = exitCode === undefined ? originalMessage || shortMessage : undefined;
  return { state: "failed", text: all.trimEnd() || (why ?? "") };
}
