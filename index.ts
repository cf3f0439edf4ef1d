// The program: the stack's name says what it holds. A function, so that importing this module creates nothing and
// `local/record.ts` can evaluate it again and again.
import * as pulumi from "@pulumi/pulumi";
import { parseStackName, readConfiguration } from "./config.ts";
import { Platform } from "./infra/platform.ts";

/** Declares the stack's resources; returns its outputs. */
export default async function program(): Promise<Record<string, unknown>> {
  const { environment: name, part } = parseStackName(pulumi.getStack());
  const configuration = readConfiguration(name);
  if (part.kind === "platform") {
    const platform = new Platform("platform", configuration);
    return { opsAddress: platform.opsAddress };
  }
  return {};
}
