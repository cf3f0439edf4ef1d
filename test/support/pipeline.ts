// Runs a job of a forge's pipeline without the forge: takes its steps from the YAML as they are, and gives each to bash
// in a checkout, with the variables that the forge would give. What it does not know, it refuses.
import { cpSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { parse } from "yaml";
import * as z from "zod";

/** Steps that take minutes. They are left out; what they would prepare, the checkout has already. */
const SLOW = ["setup", "check", "tests"];

const workflowSchema = z.object({
  on: z.unknown(),
  permissions: z.unknown().optional(),
  concurrency: z.record(z.string(), z.unknown()),
  jobs: z.record(
    z.string(),
    z.object({
      if: z.string().optional(),
      "runs-on": z.unknown(),
      environment: z.string().optional(),
      permissions: z.record(z.string(), z.string()).optional(),
      steps: z.array(
        z.object({
          name: z.string().optional(),
          uses: z.string().optional(),
          with: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
          run: z.string().optional(),
          if: z.string().optional(),
          env: z.record(z.string(), z.string()).optional(),
          "continue-on-error": z.boolean().optional(),
        }),
      ),
    }),
  ),
});
export type Workflow = z.infer<typeof workflowSchema>;

/** A workflow of GitHub or Forgejo. */
export function readWorkflow(file: string): Workflow {
  return workflowSchema.parse(parse(readFileSync(file, "utf8")));
}

export interface Job {
  /** The checkout that the job's first step gives, with its packages. */
  root: string;
  /** The workflow's file, in the version that the forge takes. */
  workflow: string;
  job: string;
  variables: Record<string, string>;
  /** Values of expressions, such as `github.token`. */
  expressions?: Record<string, string>;
  /** Where artefacts lie between jobs. */
  store: string;
}

export interface Ran {
  /** Whether the forge shows the job as passed. */
  passed: boolean;
  /** The log. */
  log: string;
}

/** Runs a job of GitHub or Forgejo. */
export async function runJob({ root, workflow, job, variables, expressions = {}, store }: Job): Promise<Ran> {
  const steps = readWorkflow(workflow).jobs[job]?.steps;
  if (!steps) throw new Error(`${workflow} has no job ${job}`);
  const fill = (text: string) =>
    text.replaceAll(/\$\{\{ (\S+) \}\}/g, (_, name: string) => {
      const value = expressions[name];
      if (value === undefined) throw new Error(`${workflow} needs ${name}`);
      return value;
    });
  let passed = true;
  let log = "";
  for (const step of steps) {
    if (!passed && step.if?.includes("!cancelled()") !== true) continue;
    if (step.uses !== undefined) {
      transfer(step.uses, fill(String(step.with?.["path"] ?? "")), root, store);
      continue;
    }
    if (SLOW.includes(step.name ?? "")) continue;
    const env = Object.fromEntries(Object.entries(step.env ?? {}).map(([name, text]) => [name, fill(text)]));
    const ran = await runScript(root, step.run ?? "", { ...variables, ...env });
    log += ran.log;
    passed &&= ran.passed;
  }
  return { passed, log };
}

/** What the actions for artefacts do with files, which is all that a later job sees of an earlier one. */
function transfer(action: string, path: string, root: string, store: string): void {
  if (action.includes("/upload-artifact@")) {
    if (existsSync(join(root, path)))
      cpSync(join(root, path), store, { recursive: true, verbatimSymlinks: true });
  } else if (action.includes("/download-artifact@")) {
    if (existsSync(store)) cpSync(store, path, { recursive: true, verbatimSymlinks: true });
  }
}

const gitlabSchema = z.record(
  z.string(),
  z.looseObject({
    script: z.array(z.string()).optional(),
    tags: z.array(z.string()).optional(),
    artifacts: z
      .looseObject({ paths: z.array(z.string()), reports: z.record(z.string(), z.string()).optional() })
      .optional(),
  }),
);

/** The jobs of .gitlab-ci.yml. */
export function readGitlab(file: string) {
  const { stages: _stages, ...jobs } = z
    .record(z.string(), z.unknown())
    .parse(parse(readFileSync(file, "utf8")));
  return gitlabSchema.parse(jobs);
}

/** Runs a job of GitLab, without what comes before its script. */
export async function runGitlabJob(
  root: string,
  job: string,
  variables: Record<string, string>,
): Promise<Ran> {
  const script = readGitlab(join(root, ".gitlab-ci.yml"))[job]?.script ?? [];
  return runScript(root, script.join("\n"), variables);
}

async function runScript(root: string, script: string, variables: Record<string, string>): Promise<Ran> {
  const { all, exitCode } = await execa("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", script], {
    cwd: root,
    // Nothing of the machine's own variables but where programs and the home are.
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], CI: "true", ...variables },
    extendEnv: false,
    all: true,
    stdin: "ignore",
    reject: false,
  });
  return { passed: exitCode === 0, log: `${all}\n` };
}
