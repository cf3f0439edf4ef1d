// Runs a program of ops-1 in the test's own process, with fakes first on PATH.
import { join } from "node:path";
import { vi } from "vitest";
import { sayError, type Result } from "../../infra/machine/programs/program.ts";

/**
 * Resolves to what a program prints and says itself. What the commands that it runs say goes to the test's output.
 * @param root The folder in the machine's place. Its `bin` has the fakes.
 */
export async function runHere(root: string, program: () => Promise<Result>) {
  const said: string[] = [];
  const errors = vi.spyOn(console, "error").mockImplementation((line: unknown) => {
    said.push(String(line));
  });
  vi.stubEnv("PATH", `${join(root, "bin")}:${process.env["PATH"]}`);
  const { output, status } = await program()
    .catch((error: unknown) => {
      sayError(error);
      return { output: "", status: 1 };
    })
    .finally(() => {
      errors.mockRestore();
      vi.unstubAllEnvs();
    });
  return { output, exitCode: status, stderr: said.join("\n").replaceAll(root, "") };
}
