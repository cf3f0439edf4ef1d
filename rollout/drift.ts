// `npm run drift`: compares what every stack believes with what is there. It writes nothing and takes no lock, so it
// may run beside anything, every night.
import { assertAnswering, GATE_IS_OPEN, openGate } from "../spaces/gated-pulumi/gate.ts";
import type { Way } from "../spaces/gated-pulumi/gated-pulumi.ts";
import { servicesOf } from "../spaces/gated-pulumi/services.ts";
import { count } from "../validation/positions.ts";
import { UserError } from "../validation/user-error.ts";
import type { Backend } from "./backend.ts";
import { runEngine, type Outcome } from "./engine-run.ts";
import { inParallel } from "./in-parallel.ts";

export interface DriftOptions {
  backend: Backend;
  /** The stacks to look at. */
  stacks: readonly string[];
  way: Way;
  atOnce: number;
  logs: string;
  signal: AbortSignal;
}

/** What one stack believes that is not so, one line each; or why nobody knows. */
type Finding = { stack: string } & ({ differs: string[] } | { unknown: string });

const PARALLEL = 16;
const LAST_LINES = 8;
const WORDS: Readonly<Record<string, string>> = { update: "changed", delete: "gone" };

/**
 * Looks for drift. Prints it, and resolves to the exit status: 0 none, 1 a stack could not be looked at, 2 something
 * differs. Throws a UserError if databases or buckets do not answer: they would all count as gone.
 */
export async function drift(options: DriftOptions): Promise<0 | 1 | 2> {
  const { stacks, way, atOnce } = options;
  const services = servicesOf(way.environment);
  await assertAnswering(services, way.certificate);
  await way.assertTakesWrites();
  const findings = await inParallel(atOnce, stacks, (stack) => lookAtStack(stack, options));
  // A service that failed meanwhile makes what it holds look gone.
  await assertAnswering(services, way.certificate);
  const differing = findings.filter((finding) => "differs" in finding && finding.differs.length > 0);
  const unknown = findings.filter((finding) => "unknown" in finding);
  console.log(
    [
      ...findings.flatMap(describe),
      `${count(stacks.length, "stack")}: ${differing.length} differ, ${unknown.length} could not be looked at.`,
      ...advice(way.environmentName, differing),
    ].join("\n"),
  );
  if (differing.length > 0) return 2;
  return unknown.length > 0 ? 1 : 0;
}

async function lookAtStack(stack: string, { backend, way, logs, signal }: DriftOptions): Promise<Finding> {
  const closeGate = openGate(stack, way.certificate);
  try {
    const environmentVariables = { [GATE_IS_OPEN]: stack };
    const { project } = backend;
    const outcome = await runEngine("refresh", stack, {
      project,
      environmentVariables,
      logs,
      parallel: PARALLEL,
      signal,
    });
    return outcome.ok ? { stack, differs: differences(outcome) } : { stack, unknown: lastWords(outcome) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { stack, unknown: error.message };
  } finally {
    closeGate();
  }
}

function differences({ steps }: Outcome): string[] {
  return steps.map(({ op, type, urn, diffs }) => {
    const what = diffs && diffs.length > 0 ? `: ${diffs.join(", ")}` : "";
    return `${urn.split("::").at(-1)} (${type}) is ${WORDS[op] ?? op}${what}`;
  });
}

function lastWords({ failures, output }: Outcome): string {
  const said = failures.map(({ message }) => message);
  return (said.length > 0 ? said : output.trim().split("\n").slice(-LAST_LINES)).join("\n");
}

/** `up` compares with the state, so the state must first be told what is so. A rollout then sees that it was written. */
function advice(environmentName: string, differing: readonly Finding[]): string[] {
  if (differing.length === 0) return [];
  const refreshes = differing.map(({ stack }) => `  npm run pulumi -- refresh --stack ${stack}`);
  return [
    "To make it again as it is declared:",
    ...refreshes,
    `  npm run rollout -- --env ${environmentName}`,
  ];
}

function describe(finding: Finding): string[] {
  const indent = (text: string) => text.replaceAll(/^(?=.)/gm, "  ");
  if ("unknown" in finding) return [`${finding.stack} could not be looked at:`, indent(finding.unknown)];
  return finding.differs.length === 0 ? [] : [`${finding.stack}:`, ...finding.differs.map(indent)];
}
