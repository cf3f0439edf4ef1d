// postgresql:* and minio:* through psql and mc on ops-1. Secrets are passed on standard input.
import * as z from "zod";
import { runOn } from "../ssh.ts";
import { handler, type Context } from "./handler.ts";
import { UserError } from "../../validation/user-error.ts";

const OPS = "ops-1";
/** Name, in mc on ops-1, of the site that spaces use. */
const SITE = "serving";

async function onOps(command: string, input: string, { lab }: Context): Promise<string> {
  const { failed, stdout, stderr } = await runOn(lab, OPS, command, input);
  if (failed)
    throw new UserError(`${OPS}: ${command.split(" ").slice(0, 4).join(" ")} … says:\n  ${stderr || stdout}`);
  return stdout;
}

const psql = (sql: string, context: Context) =>
  onOps("psql service=framaspace -XAtq -v ON_ERROR_STOP=1 -f -", sql, context);

const literal = (value: string) => `'${value.replaceAll("'", "''")}'`;
const identifier = (value: string) => `"${value.replaceAll('"', '""')}"`;

export const createRole = handler(
  z.object({
    name: z.string(),
    login: z.boolean().default(false),
    password: z.string(),
    connectionLimit: z.number().default(-1),
  }),
  async ({ name, login, password, connectionLimit }, context) => {
    const options = `${login ? "LOGIN" : "NOLOGIN"} CONNECTION LIMIT ${connectionLimit} PASSWORD ${literal(password)}`;
    const made = await psql(
      `SELECT count(*) FROM pg_roles WHERE rolname = ${literal(name)};
SELECT format('CREATE ROLE %I', ${literal(name)}) WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(name)}) \\gexec
ALTER ROLE ${identifier(name)} ${options};
`,
      context,
    );
    return { id: name, changed: made.trim() === "0" };
  },
);

export const createDatabase = handler(
  z.object({ name: z.string(), owner: z.string() }),
  async ({ name, owner }, context) => {
    const made = await psql(
      `SELECT count(*) FROM pg_database WHERE datname = ${literal(name)};
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0', ${literal(name)}, ${literal(owner)})
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = ${literal(name)}) \\gexec
`,
      context,
    );
    return { id: name, changed: made.trim() === "0" };
  },
);

export const createBucket = handler(
  z.object({ bucket: z.string(), quota: z.number().optional() }),
  async ({ bucket, quota }, context) => {
    const limit =
      quota === undefined ? "" : ` && mc --quiet quota set ${SITE}/${bucket} --size ${quota} >/dev/null`;
    const found = `mc stat ${SITE}/${bucket} >/dev/null 2>&1 && echo found`;
    const said = await onOps(`${found} || mc --quiet mb ${SITE}/${bucket} >/dev/null${limit}`, "", context);
    return { id: bucket, changed: !said.includes("found") };
  },
);

export const createUser = handler(
  z.object({ name: z.string(), secret: z.string() }),
  async ({ name, secret }, context) => {
    const found = await onOps(
      `mc admin user info ${SITE} ${name} >/dev/null 2>&1 && echo found || true`,
      "",
      context,
    );
    // Also for an existing user: its secret may have been rotated. mc reads both from standard input.
    await onOps(`mc admin user add ${SITE} >/dev/null`, `${name}\n${secret}\n`, context);
    return { id: name, changed: !found.includes("found") };
  },
);

export const attachPolicy = handler(
  z.object({ userName: z.string(), policyName: z.string() }),
  async ({ userName, policyName }, context) => {
    const said = await onOps(
      `mc --json admin policy attach ${SITE} ${policyName} --user ${userName} 2>&1 || true`,
      "",
      context,
    );
    const known = said.includes("already in effect");
    if (!known && said.includes('"error"'))
      throw new UserError(`${OPS}: mc admin policy attach says:\n  ${said}`);
    return { id: `${userName}-${policyName}`, changed: !known };
  },
);
