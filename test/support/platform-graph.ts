// The graphs of the example stacks and their scripts, for tests that only read them.
import { isSecret, reveal, type Graph, type Resource } from "../../evaluate/graph.ts";
import { record } from "../../evaluate/recorder.ts";

const graphs = new Map<string, Promise<Graph>>();

/** A stack, evaluated once for all tests of this process. */
export function graphOf(stack: string): Promise<Graph> {
  const graph = graphs.get(stack) ?? record({ stack });
  graphs.set(stack, graph);
  return graph;
}

export const prodPlatform = (): Promise<Graph> => graphOf("prod-platform");

/** One command by its name, and the script that it sends to its machine. */
export function commandOf(graph: Graph, name: string): { resource: Resource; script: string } {
  const resource = graph.resources.find(
    (candidate) => candidate.type === "command:remote:Command" && candidate.name === name,
  );
  if (!resource) throw new Error(`the graph has no command ${name}`);
  const script = reveal(resource.inputs.stdin);
  if (!isSecret(resource.inputs.stdin) || typeof script !== "string")
    throw new Error(`${name} has no secret standard input`);
  return { resource, script };
}

/** Names of the commands that a resource waits for. */
export function commandsBefore(resource: Resource): string[] {
  return resource.dependencies
    .filter((urn) => urn.includes("command:remote:Command::"))
    .map((urn) => urn.split("::").at(-1) ?? "")
    .sort();
}
