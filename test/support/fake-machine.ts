// A machine in a folder, for programs that are killed: it is kept as it is, and made so again before each kill.
import { execa } from "execa";
import { cpSync, existsSync, globSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

interface RunTo {
  /** The step's number, from 1. 0: it is not killed. */
  killAt: number;
  /** Where the steps are written. @default `steps` */
  stepsFile?: string;
  env?: Readonly<Record<string, string>>;
  input?: string;
}

export class FakeMachine {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  at(path: string): string {
    return join(this.root, path);
  }

  keepAs(name: string): void {
    cpSync(this.root, `${this.root}-${name}`, { recursive: true, verbatimSymlinks: true });
  }

  /** Makes the machine as it was when it was kept. */
  reset(name: string): void {
    rmSync(this.root, { recursive: true });
    cpSync(`${this.root}-${name}`, this.root, { recursive: true, verbatimSymlinks: true });
  }

  text(path: string): string | undefined {
    return existsSync(this.at(path)) ? readFileSync(this.at(path), "utf8") : undefined;
  }

  /** Name → content of the files in a folder. */
  contents(path: string): Record<string, string> {
    const files = globSync("**/*", { cwd: this.at(path), withFileTypes: true }).filter((file) =>
      file.isFile(),
    );
    const names = files.map((file) => join(file.parentPath, file.name)).sort();
    return Object.fromEntries(
      names.map((name) => [name.replace(`${this.at(path)}/`, ""), readFileSync(name, "utf8")]),
    );
  }

  /**
   * Runs a command; has it killed before a step, if that is given (kill-at.ts). Resolves to the steps until then.
   */
  protected async runTo(
    command: string,
    words: readonly string[],
    { killAt, stepsFile = "steps", env, input }: RunTo,
  ) {
    const { exitCode, stdout, stderr, signal } = await execa(command, words, {
      reject: false,
      ...(input !== undefined && { input }),
      env: {
        PATH: `${this.at("bin")}:${process.env.PATH}`,
        STEPS: this.at("steps"),
        KILL_AT: String(killAt),
        ...env,
      },
    });
    const steps = this.text(stepsFile)?.trim().split("\n") ?? [];
    for (const left of globSync("steps*", { cwd: this.root })) rmSync(this.at(left));
    return { exitCode, stdout, stderr: stderr.replaceAll(this.root, ""), signal, steps };
  }
}
