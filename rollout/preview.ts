// `npm run rollout -- --preview`: the engine's own preview of the stacks that a rollout would apply, as Markdown for a
// pull request's reviewers. It writes nothing. Names come from the author of the change, so they are written as code.
import { block, code, grouped } from "../plan/markdown.ts";
import { holdsData } from "../plan/provider-knowledge.ts";
import type { Metadata } from "../spaces/gated-pulumi/event-log.ts";
import type { Backend } from "./backend.ts";
import type { Choice } from "./choose-stacks.ts";
import { runEngine, type Outcome } from "./engine-run.ts";
import { inParallel } from "./in-parallel.ts";

export interface Previewing {
  backend: Backend;
  chosen: readonly Choice[];
  atOnce: number;
  logs: string;
  signal: AbortSignal;
}

export interface Preview {
  /** 0: fine. 1: a stack cannot be previewed, or a policy refuses it. 2: something that holds data would be destroyed. */
  status: 0 | 1 | 2;
  markdown: string;
}

/** How many resources of one kind are named. */
const NAMED = 6;
const PARALLEL = 16;
const DESTROYS = /delete|replace/;

/** Previews stacks. One that is new is not in the backend yet, and all of it would be created. */
export async function preview({ backend, chosen, atOnce, logs, signal }: Previewing): Promise<Preview> {
  const [fresh, known] = [true, false].map((is) => chosen.filter(({ isNew }) => isNew === is));
  const outcomes = await inParallel(atOnce, known ?? [], async ({ stack }) => {
    const outcome = await runEngine("preview", stack, {
      project: backend.project,
      logs,
      parallel: PARALLEL,
      signal,
    });
    return { stack, outcome };
  });
  const lost = outcomes.flatMap(({ stack, outcome }) => losses(outcome).map((step) => ({ stack, step })));
  const failed = outcomes.filter(({ outcome }) => !outcome.ok);
  const lines = [
    ...(lost.length > 0
      ? [
          `⛔ **This would destroy ${grouped(lost.length)} ${lost.length === 1 ? "resource that holds" : "resources that hold"} data:**`,
          "",
          ...lost
            .slice(0, 20)
            .map(({ stack, step }) => `- ${stack}: ${code(nameOf(step))} (${step.op}, ${step.type})`),
          "",
        ]
      : []),
    ...(chosen.length === 0 ? ["The engine has nothing to do: every stack is as it was last applied."] : []),
    ...(fresh ?? []).map(
      ({ stack, rendered }) => `- ${stack} is new: ${grouped(rendered.resources)} to create`,
    ),
    ...outcomes.flatMap(({ stack, outcome }) => describeStack(stack, outcome)),
    "",
  ];
  return { status: lost.length > 0 ? 2 : failed.length > 0 ? 1 : 0, markdown: lines.join("\n") };
}

function losses({ steps }: Outcome): Metadata[] {
  return steps.filter((step) => {
    const { protect = false, inputs } = step.old ?? {};
    if (!DESTROYS.test(step.op)) return false;
    // A space's resources are protected until it is archived. After that they may go.
    return (
      protect || (step.type.startsWith("hcloud:") && holdsData(asResource(step.type, inputs ?? {}, protect)))
    );
  });
}

function asResource(type: string, inputs: Record<string, unknown>, protect: boolean) {
  const none = { name: "", urn: "", custom: true, dependencies: [], propertyDependencies: {}, options: {} };
  return { ...none, type, inputs, protect };
}

function describeStack(stack: string, { ok, steps, failures, output }: Outcome): string[] {
  // Providers and components are nothing that anybody would miss.
  const custom = steps.filter(({ type }) => !/^(pulumi:|framaspace:)/.test(type));
  const groups = Map.groupBy(custom, ({ op, type }) => `${op} ${type}`);
  const changes = [...groups].map(([kind, members]) => {
    const names = members.slice(0, NAMED).map((step) => code(nameOf(step)));
    const more = members.length > NAMED ? ` and ${grouped(members.length - NAMED)} more` : "";
    return `  - ${grouped(members.length)} × ${kind}: ${names.join(", ")}${more}`;
  });
  const said = failures.map(
    ({ urn, message }) => `${urn === undefined ? "" : `${nameOf({ urn })}: `}${message}`,
  );
  const problems = said.length > 0 ? said : output.trim().split("\n").slice(-8);
  return [
    `- ${stack}: ${ok ? `${grouped(custom.length)} to change` : "**cannot be previewed**"}`,
    ...changes,
    ...(ok ? [] : block("text", problems.flatMap((problem) => problem.split("\n")).slice(0, 40), "  ")),
  ];
}

const nameOf = ({ urn }: Pick<Metadata, "urn">): string => urn.split("::").at(-1) ?? urn;
