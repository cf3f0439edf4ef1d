// The only reader of the stack's configuration. It checks the values by the same schema as `npm run check`.
import * as pulumi from "@pulumi/pulumi";
import { crossChecks } from "./infra/inventory/environment-checks.ts";
import { environmentSchema, SECRET_KEYS, type Environment } from "./infra/inventory/environment.ts";
import { Secrets } from "./infra/pki/secrets.ts";

export interface Configuration {
  environment: Environment;
  secrets: Secrets;
  hcloudToken: pulumi.Output<string>;
  /** Undefined if the mail server requires no login. */
  mailPassword: pulumi.Output<string> | undefined;
}

/** The parts of a stack's name. */
export interface StackName {
  environment: string;
  /** `platform`, or the number of a tenants file. */
  part: { kind: "platform" } | { kind: "spaces"; shard: string };
}

/** Reads a stack's name. Throws a RunError that says how stacks are named. */
export function parseStackName(stack: string): StackName {
  const match = /^([a-z][a-z0-9]*)-(?:platform|spaces-(\d{3}))$/.exec(stack);
  const environment = match?.[1];
  if (!environment)
    throw new pulumi.RunError(
      `stack "${stack}" is not one of this project; name it <environment>-platform or <environment>-spaces-NNN, such as prod-platform or prod-spaces-001.`,
    );
  const shard = match[2];
  return { environment, part: shard === undefined ? { kind: "platform" } : { kind: "spaces", shard } };
}

/** Reads and checks the configuration of an environment. Throws a RunError with every problem. */
export function readConfiguration(environmentName: string): Configuration {
  const config = new pulumi.Config();
  const file = `Pulumi.${environmentName}.yaml`;
  const problems: string[] = [];
  for (const [key, remedy] of Object.entries(SECRET_KEYS))
    if (!config.get(key))
      problems.push(
        `framaspace:${key} is missing; run ${remedy.replace("FILE", file).replace("STACK", pulumi.getStack())}`,
      );
  const values = Object.fromEntries(
    Object.keys(environmentSchema.shape).flatMap((key) => {
      const text = config.get(key);
      return text === undefined ? [] : [[key, parseValue(text)]];
    }),
  );
  if (Object.keys(values).length === 0)
    throw new pulumi.RunError(
      `stack ${pulumi.getStack()} was given no configuration; add --config-file ${file}`,
    );
  const parsed = environmentSchema.safeParse(values);
  if (parsed.success)
    for (const { path, what } of crossChecks(parsed.data))
      problems.push(`framaspace:${path.join(".")}: ${what}`);
  else
    for (const issue of parsed.error.issues)
      problems.push(`framaspace:${issue.path.join(".")}: ${issue.message}`);
  if (problems.length > 0 || !parsed.success)
    throw new pulumi.RunError(
      `${file} is not valid: ${problems.length} ${problems.length === 1 ? "problem" : "problems"}.\n${problems.map((problem) => `  ${problem}`).join("\n")}\n  \`npm run check\` gives the lines.`,
    );
  return {
    environment: parsed.data,
    secrets: new Secrets(config.require("masterSecret"), environmentName, parsed.data.generations),
    hcloudToken: config.requireSecret("hcloudToken"),
    mailPassword: config.getSecret("mailPassword"),
  };
}

/** The engine passes structured values as JSON, and strings unchanged. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
