// The words for the Pulumi CLI: those that were typed, and those that this project needs for each kind of stack.
import { environmentFile } from "../../infra/inventory/environment-file.ts";
import { parseStackName } from "../../infra/inventory/stack-name.ts";
import { UserError } from "../../validation/user-error.ts";

const USAGE = `npm run pulumi -- COMMAND --stack STACK [options of pulumi's own]

COMMAND is up, preview, refresh or destroy, as pulumi has them. up and preview of the platform look first at what is there.`;

/** Options that each command gets, unless they were typed. */
const ADDED = {
  // One space that fails must not cancel what is under way for the others: nobody would get its result.
  up: ["--policy-pack=policies", "--continue-on-error"],
  preview: ["--policy-pack=policies"],
  refresh: [],
  destroy: ["--continue-on-error"],
} as const;

/**
 * More options for the platform's stack. Without a refresh, `up` believes that a machine is still there after somebody
 * deleted it in the cloud. Stacks of spaces do not get these: while MinIO is unreachable, its provider would drop
 * buckets (gate.ts).
 */
const ADDED_FOR_PLATFORM: Readonly<Record<Command, readonly string[]>> = {
  up: ["--refresh"],
  preview: ["--refresh"],
  refresh: [],
  destroy: [],
};

export type Command = keyof typeof ADDED;

export interface CommandLine {
  command: Command;
  /** `prod-spaces-001`. */
  stack: string;
  /** Name of the stack's environment: `prod`. */
  environment: string;
  holds: "platform" | "spaces";
  /** The environment's configuration file: absolute, or from the root of the repository. */
  file: string;
  /** All words that the CLI is called with, the command first. */
  words: string[];
}

/**
 * Completes what was typed after `npm run pulumi --`. Throws a UserError for a command or a stack that this project
 * does not have, and for a refresh within another command of a stack of spaces.
 */
// Split by hand: all words go to the CLI as they were typed, in their order. Only the CLI knows which of its options
// take a value; commander would have to know it, too.
export function readCommandLine([command = "", ...options]: readonly string[]): CommandLine {
  const stack = valueOf(options, "--stack", "-s");
  if (!stack || !isCommand(command)) throw new UserError(USAGE);
  const { environment, part } = parseStackName(stack);
  const holds = part.kind;
  const given = valueOf(options, "--config-file");
  const file = given ?? environmentFile(environment);
  const added = [...ADDED[command], ...(holds === "platform" ? ADDED_FOR_PLATFORM[command] : [])];
  const words = [
    command,
    ...options,
    ...(given === undefined ? ["--config-file", file] : []),
    ...added.filter((one) => !options.some((option) => option.startsWith(one.split("=")[0] ?? one))),
  ];
  if (holds === "spaces" && words.some((word) => word === "-r" || word.startsWith("--refresh")))
    throw new UserError(
      `--refresh is a step of its own for spaces, so that it can be undone: npm run pulumi -- refresh --stack ${stack}`,
    );
  return { command, stack, environment, holds, file, words };
}

function isCommand(word: string): word is Command {
  return Object.hasOwn(ADDED, word);
}

/** The value of an option, written as `--name value` or `--name=value`. */
function valueOf(options: readonly string[], ...names: string[]): string | undefined {
  for (const [index, option] of options.entries())
    for (const name of names) {
      if (option === name) return options[index + 1];
      if (option.startsWith(`${name}=`)) return option.slice(name.length + 1);
    }
  return undefined;
}
