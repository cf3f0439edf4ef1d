// command:remote:Command through the system's SSH. The scripts are idempotent. So each one runs at every `up`, and
// reports itself what it changed.
import * as z from "zod";
import { knownMachines } from "../configuration.ts";
import { runOn } from "../ssh.ts";
import { handler } from "./handler.ts";
import { UserError } from "../../validation/user-error.ts";

const inputs = z.object({
  connection: z.object({ host: z.string() }),
  create: z.string(),
  stdin: z.string().default(""),
});

/** How many lines of a failed script's output are shown. */
const SHOWN_LINES = 20;

export const runCommand = handler(
  inputs,
  async ({ connection, create, stdin }, { lab, configuration, name }) => {
    const { opsAddress } = configuration.environment;
    const machine = knownMachines(configuration).find(
      (one) =>
        one.privateAddress === connection.host || (one.name === "ops-1" && connection.host === opsAddress),
    );
    if (!machine) throw new UserError(`no machine has the address ${connection.host}`);
    const { failed, exitCode, stdout, stderr } = await runOn(lab, machine.name, create, stdin);
    if (failed) {
      const end = `${stdout}\n${stderr}`.trim().split("\n").slice(-SHOWN_LINES);
      const next = `Look around with: npm run lab -- ssh ${machine.name}\nThen run again:   npm run lab`;
      throw new UserError(
        `It ended with status ${exitCode}. The end of its output:\n${end.map((line) => `  ${line}`).join("\n")}\n${next}`,
      );
    }
    const changes = changesIn(stdout);
    const detail = changes === undefined ? "" : changes === 0 ? "nothing changed" : `${changes} changed`;
    return { id: name, outputs: { stdout, stderr }, changed: changes !== 0, detail };
  },
);

/** The number of changes that one of our scripts reports: `changed: N`, or the length of converge-space's list. */
function changesIn(stdout: string): number | undefined {
  const counted = /^changed: (\d+)$/m.exec(stdout)?.[1];
  if (counted !== undefined) return Number(counted);
  try {
    return z.object({ changed: z.array(z.unknown()) }).parse(JSON.parse(stdout)).changed.length;
  } catch {
    return undefined;
  }
}
