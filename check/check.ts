// The parts of `npm run check`. All of them run, whatever the others find.
import { UserError } from "../validation/user-error.ts";
import { checkShell } from "./shell-scripts.ts";
import { checkTenants } from "./tenants.ts";
import { runTool, type Outcome } from "./tool.ts";

/** The parts by name. Each receives the folder of the repository. */
const PARTS: Readonly<Record<string, (root: string) => Outcome | Promise<Outcome>>> = {
  tenants: checkTenants,
  types: (root) => runTool(root, "tsc", ["--noEmit", "--project", "."]),
  lint: (root) => runTool(root, "oxlint", ["--type-aware", "--deny-warnings"]),
  format: (root) => runTool(root, "prettier", ["--check", "--log-level", "warn", "."]),
  shell: checkShell,
};

const SIGNS = { passed: "✔", failed: "✘", skipped: "-" };

/**
 * Runs the named parts, or all of them, and prints a line for each at its end. Resolves to whether none failed. Throws
 * a UserError for an unknown name.
 */
export async function check(root: string, named: readonly string[]): Promise<boolean> {
  const names = named.length > 0 ? named : Object.keys(PARTS);
  const unknown = names.find((name) => !Object.hasOwn(PARTS, name));
  if (unknown !== undefined)
    throw new UserError(
      `"${unknown}" is no part of check; write one of ${Object.keys(PARTS).join(", ")}, or nothing for all.`,
    );
  const waiting = [...names];
  const failed: string[] = [];
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const start = performance.now();
      const outcome = (await PARTS[name]?.(root)) ?? { state: "failed", text: "" };
      if (outcome.state === "failed") failed.push(name);
      console.log(renderOutcome(name, (performance.now() - start) / 1000, outcome));
    }
  };
  // Two at a time, because each tool keeps about one core busy.
  await Promise.all([worker(), worker()]);
  if (failed.length > 0 && names.length > 1) console.log(`check failed: ${failed.join(", ")}`);
  return failed.length === 0;
}

function renderOutcome(name: string, seconds: number, { state, text }: Outcome): string {
  const said = { passed: text, failed: `failed\n${text}`, skipped: `skipped: ${text}` }[state];
  const time = `${seconds.toFixed(1)} s`;
  return `${SIGNS[state]} ${name.padEnd(8)} ${time.padStart(6)}  ${said}`.trimEnd();
}
