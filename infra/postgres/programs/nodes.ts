// The PostgreSQL nodes as ops-1 sees them. postgres-node does the work there, by a key that runs nothing else.
import { AlreadySaid } from "../../machine/programs/program-error.ts";
import { endOf, run, start, type Descriptors } from "../../machine/programs/run-command.ts";
import { parseJson } from "../../machine/programs/texts.ts";

/** Its name: `postgres-1`. */
export type Node = string;

/** What postgres-node says of its node, and whether it said anything. */
export interface NodeStatus {
  node: Node;
  reachable: boolean;
  /** Why it is not reachable, as ssh says it. */
  why?: string;
  /** As what it starts: its files say so. */
  data: "none" | "primary" | "standby" | "unknown";
  running: boolean;
  /** Whether it stays down until it is a standby. */
  fenced?: boolean;
  systemId?: string;
  timeline?: number;
  /** While it runs: whether it is a standby. */
  recovery?: boolean;
  /** While it runs: who follows it. */
  standby?: { sync: string } | null;
  /** While it runs: whether commits are to wait for the standby. */
  synchronous?: boolean;
}

export type Words = readonly [verb: string, ...rest: string[]];

export interface Nodes {
  /** Never rejects: a node that does not answer is not reachable. */
  status(node: Node): Promise<NodeStatus>;
  /** Runs a verb there. Resolves to whether it succeeded. What it says goes to people. */
  can(node: Node, words: Words): Promise<boolean>;
  /** Runs a verb there. If it fails, rejects with AlreadySaid, which has its status: 255 if the machine does not answer. */
  must(node: Node, words: Words, input?: string): Promise<void>;
  /** The same, and resolves to what it prints. */
  read(node: Node, words: Words): Promise<string>;
}

/**
 * The nodes, by ssh.
 * @param configuration Of ssh, its path.
 * @param locks What each command holds, so that a killed program's last command has ended before the next one begins.
 */
export function nodesBySsh(configuration: string, locks: Descriptors = {}): Nodes {
  // ssh itself closes every descriptor that it gets, as it may leave a process that keeps the connection open. The shell
  // that waits for it keeps the lock.
  const command = (node: Node, words: Words) =>
    ["sh", ["-c", '"$@" 9>&-; exit $?', "sh", "ssh", "-F", configuration, node, ...words]] as const;
  const ask = async (node: Node, words: Words, input?: string): Promise<number> => {
    const child = start(...command(node, words), {
      output: 1,
      locks,
      ...(input !== undefined && { input }),
    });
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
    return endOf(child);
  };
  return {
    status: async (node) => {
      const { status, output } = await run(...command(node, ["status"]), { errors: "with-output", locks });
      const lines = output.trim().split("\n");
      const said = status === 0 ? parseStatus(lines.find((line) => line.startsWith("{")) ?? "") : undefined;
      return said
        ? { ...said, reachable: true }
        : { node, reachable: false, why: lines.at(-1) ?? "", running: false, data: "unknown" };
    },
    can: async (node, words) => (await ask(node, words)) === 0,
    must: async (node, words, input) => {
      const status = await ask(node, words, input);
      if (status !== 0) throw failed(node, words, status);
    },
    read: async (node, words) => {
      const { status, output } = await run(...command(node, words), { locks });
      if (status !== 0) throw failed(node, words, status);
      return output.trim();
    },
  };
}

const failed = (node: Node, [verb]: Words, status: number) =>
  new AlreadySaid(`postgres-node ${verb} on ${node} ended with status ${status}`, status);

function parseStatus(text: string): NodeStatus | undefined {
  const said = parseJson<unknown>(text);
  return typeof said === "object" && said !== null && "node" in said ? (said as NodeStatus) : undefined;
}
