// The only reader of the stack's configuration. It checks the values by the same schema as `npm run check`.
import * as pulumi from "@pulumi/pulumi";
import { crossChecks } from "./infra/inventory/environment-checks.ts";
import { environmentSchema, SECRET_KEYS, type Environment } from "./infra/inventory/environment.ts";
import { environmentValues } from "./infra/inventory/environment-values.ts";
import { Secrets } from "./infra/pki/secrets.ts";
import { UserError } from "./validation/user-error.ts";

export interface Configuration {
  environment: Environment;
  secrets: Secrets;
  hcloudToken: pulumi.Output<string>;
  /** Undefined if the mail server requires no login. */
  mailPassword: pulumi.Output<string> | undefined;
}

/** Reads and checks the configuration of an environment. Throws a UserError with every problem. */
export function readConfiguration(environmentName: string): Configuration {
  const config = new pulumi.Config();
  const file = `Pulumi.${environmentName}.yaml`;
  const problems: string[] = [];
  for (const [key, remedy] of Object.entries(SECRET_KEYS))
    if (!config.get(key))
      problems.push(
        `framaspace:${key} is missing; run ${remedy.replace("FILE", file).replace("STACK", pulumi.getStack())}`,
      );
  const values = environmentValues((key) => config.get(key));
  if (Object.keys(values).length === 0)
    throw new UserError(`stack ${pulumi.getStack()} was given no configuration; add --config-file ${file}`);
  const parsed = environmentSchema.safeParse(values);
  if (parsed.success)
    for (const { path, what } of crossChecks(parsed.data))
      problems.push(`framaspace:${path.join(".")}: ${what}`);
  else
    for (const issue of parsed.error.issues)
      problems.push(`framaspace:${issue.path.join(".")}: ${issue.message}`);
  if (problems.length > 0 || !parsed.success)
    throw new UserError(
      `${file} is not valid: ${problems.length} ${problems.length === 1 ? "problem" : "problems"}.\n${problems.map((problem) => `  ${problem}`).join("\n")}\n  \`npm run check\` gives the lines.`,
    );
  return {
    environment: parsed.data,
    secrets: new Secrets(config.require("masterSecret"), environmentName, parsed.data.generations),
    hcloudToken: config.requireSecret("hcloudToken"),
    mailPassword: config.getSecret("mailPassword"),
  };
}
