// How a stack's name says what it holds.
import { UserError } from "../../validation/user-error.ts";

/** Which stack this is: its environment and what it holds. */
export interface StackName {
  environment: string;
  /** `platform`, or the number of a tenants file. */
  part: { kind: "platform" } | { kind: "spaces"; tenantsFile: string };
}

/** Reads a stack's name. Throws a UserError that says how stacks are named. */
export function parseStackName(stack: string): StackName {
  const match = /^([a-z][a-z0-9]*)-(?:platform|spaces-(\d{3}))$/.exec(stack);
  const environment = match?.[1];
  if (!environment)
    throw new UserError(
      `stack "${stack}" is not one of this project; name it <environment>-platform or <environment>-spaces-NNN, such as prod-platform or prod-spaces-001.`,
    );
  const tenantsFile = match[2];
  return {
    environment,
    part: tenantsFile === undefined ? { kind: "platform" } : { kind: "spaces", tenantsFile },
  };
}
