// Reads Pulumi.<environment>.yaml without the engine, so that `npm run check` can say where a value is wrong.
// Secrets stay encrypted here: only their presence is checked.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { readYaml, type Reading } from "../../validation/positions.ts";
import { pathName, type Path } from "../../validation/wording.ts";
import { crossChecks } from "./environment-checks.ts";
import { environmentSchema, OPTIONAL_SECRET_KEYS, SECRET_KEYS, type Environment } from "./environment.ts";

const PREFIX = "framaspace:";

/** Path of an environment's configuration file, from the root of the repository. */
export const environmentFile = (environmentName: string): string => `Pulumi.${environmentName}.yaml`;

/** The environments that have a configuration file. */
export function environmentNames(root: string): string[] {
  return readdirSync(root)
    .flatMap((name) => /^Pulumi\.([a-z][a-z0-9]*)\.yaml$/.exec(name)?.[1] ?? [])
    .sort();
}

/** Reads and checks an environment's configuration file. Paths given to `at` begin with a key without its prefix. */
export function readEnvironment(root: string, environmentName: string): Reading<Environment> {
  const file = environmentFile(environmentName);
  if (!existsSync(join(root, file))) {
    const start = { line: 1, column: 1 };
    const known = environmentNames(root).join(", ") || "none";
    const what = `the file is missing: the environments here are ${known}; docs/deploy.md makes a new one`;
    return { problems: [{ file, ...start, what }], at: () => start };
  }

  const reading = readYaml(file, readFileSync(join(root, file)), fileSchema(environmentName));
  const at = ([key, ...rest]: Path) => reading.at(["config", `${PREFIX}${String(key)}`, ...rest]);
  if (!reading.value) {
    const shorten = (what: string) => what.replace(/^config\./, "");
    return { problems: reading.problems.map((problem) => ({ ...problem, what: shorten(problem.what) })), at };
  }

  const values = Object.entries(reading.value.config).map(([key, value]) => [
    key.slice(PREFIX.length),
    value,
  ]);
  const secrets: readonly string[] = [...Object.keys(SECRET_KEYS), ...OPTIONAL_SECRET_KEYS];
  const environment = environmentSchema.parse(
    Object.fromEntries(values.filter(([key]) => !secrets.includes(String(key)))),
  );
  const problems = crossChecks(environment).map(({ path, what }) => ({
    file,
    ...at(path),
    who: pathName(path),
    what,
  }));
  return { ...(problems.length === 0 && { value: environment }), problems, at };
}

/** The schema of the whole file, with prefixed keys, so that every problem points at its line. */
function fileSchema(environmentName: string) {
  const plain = Object.entries(environmentSchema.shape).map(([key, schema]) => [PREFIX + key, schema]);
  const secret = (key: string, remedy: string) => {
    const command = remedy
      .replace(" --config-file FILE", ` --config-file ${environmentFile(environmentName)}`)
      .replace("STACK", `${environmentName}-platform`);
    // The message never repeats the value: a secret in plain text would spread to every copy of the report.
    return [
      PREFIX + key,
      z.unknown().refine(isEncrypted, { error: `run \`${command}\``, params: { found: "in the clear" } }),
    ] as const;
  };
  const required = Object.entries(SECRET_KEYS).map(([key, remedy]) => secret(key, remedy));
  const optional = OPTIONAL_SECRET_KEYS.map((key) => {
    const [name, schema] = secret(
      key,
      `npx pulumi config set --secret ${PREFIX}${key} --config-file FILE --stack STACK`,
    );
    return [name, schema.optional()];
  });
  return z.strictObject({
    config: z.strictObject(
      Object.fromEntries([...plain, ...required, ...optional]) as Record<string, z.ZodType>,
    ),
    encryptionsalt: z.string().describe("`pulumi` writes it with the first secret"),
  });
}

function isEncrypted(value: unknown): boolean {
  return z.strictObject({ secure: z.string().regex(/^v\d+:/) }).safeParse(value).success;
}
