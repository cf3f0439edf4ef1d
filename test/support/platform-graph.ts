// The graph of the production example and its scripts, for tests of one part of the platform.
import { isSecret, reveal, type Graph, type Resource } from "../../evaluate/graph.ts";
import { record } from "../../evaluate/recorder.ts";

let graph: Promise<Graph> | undefined;

/** The platform of prod, evaluated once. */
export function prodPlatform(): Promise<Graph> {
  return (graph ??= record({ stack: "prod-platform" }));
}

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
