// `npm run plan`: prints what the work tree would change, as Markdown on standard output. Exit status: 0 fine, 1 not
// valid, 2 would destroy what holds data or concerns too many spaces.
import { enableCompileCache } from "node:module";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { COMPILED, Pool } from "../plan/worker-pool.ts";
import { UserError } from "../validation/user-error.ts";

const USAGE = `npm run plan [-- --base REF] [--environment NAME …] [--allow-many]

  --base REF           compare with this branch, tag or commit; without it, with where this branch left main
  --environment NAME   plan only this environment, and also the lab, which is left out otherwise
  --allow-many         that more than 30 % of an environment's spaces change, or go out of service, is meant
  --root DIR           plan the repository there, instead of the one in this folder`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      base: { type: "string" },
      environment: { type: "string", multiple: true },
      "allow-many": { type: "boolean", default: false },
      root: { type: "string", default: "." },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const root = resolve(values.root);
  // Its first thread takes longest to be ready, so it starts before this one loads anything else.
  const pool = new Pool(root);
  enableCompileCache(COMPILED);
  const { plan } = await import("../plan/plan.ts");
  const options = {
    root,
    ...(values.base !== undefined && { base: values.base }),
    allowMany: values["allow-many"],
    ...(values.environment && { environments: values.environment }),
  };
  const { status, markdown } = await plan(options, pool);
  process.stdout.write(markdown);
  process.exitCode = status;
}

try {
  await main();
} catch (error) {
  const usage =
    error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  if (!usage && !(error instanceof UserError)) throw error;
  console.error(usage ? `${error.message}\n\n${USAGE}` : error.message);
  process.exitCode = 1;
}
