// What a forge tells a job: its environment variables, and the event that started it. Forgejo has GitHub's names too.
import { readFileSync } from "node:fs";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";
import { Forge } from "./forge.ts";

export type Variables = Readonly<Record<string, string | undefined>>;

/** The event of this job. Throws a UserError outside of a job, or if the job was started by something else. */
export function readEvent<T>(variables: Variables, schema: z.ZodType<T>): T {
  const event: unknown = JSON.parse(readFileSync(need(variables, "GITHUB_EVENT_PATH"), "utf8"));
  const parsed = schema.safeParse(event);
  if (parsed.success) return parsed.data;
  throw new UserError(
    `This job was started by "${variables["GITHUB_EVENT_NAME"] ?? "nothing"}", whose event lacks ${parsed.error.issues.map(({ path }) => path.join(".")).join(", ")}; docs/ci.md says which workflow runs which command.`,
  );
}

/** The pull request that started this job; undefined if something else did. */
export function pullRequestOf(variables: Variables): number | undefined {
  if (variables["GITHUB_EVENT_PATH"] === undefined) return undefined;
  const schema = z.object({ pull_request: z.object({ number: z.int() }).optional() });
  return readEvent(variables, schema).pull_request?.number;
}

/** The forge of this job, with the job's own token. */
export function forgeOf(variables: Variables): Forge {
  const [api, repository, token] = ["GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN"].map((name) =>
    need(variables, name),
  );
  return new Forge(api ?? "", repository ?? "", token ?? "");
}

function need(variables: Variables, name: string): string {
  const value = variables[name];
  if (value !== undefined && value !== "") return value;
  throw new UserError(`${name} is not set: this command is for a job of a forge (docs/ci.md).`);
}
