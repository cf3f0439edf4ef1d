// `npm run space`: changes an entry of a tenants file as a person would in an editor, and refuses what
// `npm run check` would refuse. It edits the file and nothing else: a pull request and `up` do the rest.
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command } from "commander";
import {
  changeState,
  entryText,
  insertEntry,
  refuseTransition,
  removeEntry,
  shardWithRoom,
  type StateChange,
} from "../spaces/edit.ts";
import { EDITOR_SCHEMA_FILE, editorSchema } from "../spaces/editor-schema.ts";
import { nearest } from "../findings.ts";
import { sentence } from "../problems.ts";
import {
  assertValid,
  InvalidFleet,
  loadFleet,
  readCatalog,
  tenantsFolder,
  type Fleet,
  type Shard,
  type Tenant,
} from "../spaces/tenants.ts";

/** What a new space gets when nothing else is said. */
const DEFAULTS = { kind: "association", plan: "standard", office: "collabora", wave: "main" };

/** Something that people can mend: printed without a stack. */
class Refusal extends Error {}

interface Where {
  root: string;
  env: string;
}

type AddOptions = Where & { id: string; name: string; contact?: string } & Partial<typeof DEFAULTS>;
type StateOptions = Where & { reason?: string; since: string };

function add({ root, env, id, name, contact, ...chosen }: AddOptions): void {
  const before = loadFleet(root, env);
  assertValid(before);
  const file = `${tenantsFolder(env)}/${shardWithRoom(before.shards)}.yaml`;
  const existing = before.shards.some((shard) => shard.file === file)
    ? readFileSync(join(root, file), "utf8")
    : undefined;
  const defaults = { ...DEFAULTS, contact: before.environment.administrators.mail };
  const given = { ...chosen, ...(contact !== undefined && { contact }) };
  const { text, line } = insertEntry(existing, { id, name, ...defaults, ...given });
  save(root, env, file, text);

  const assumed = Object.entries(defaults).filter(([key]) => !Object.hasOwn(given, key));
  say(`Added space "${id}" to ${file}, line ${line}:`, "", indent(entryText(text, id)), "");
  if (assumed.length > 0)
    say(`By default: ${assumed.map(([key, value]) => `--${key} ${value}`).join(" ")}`, "");
  sayNext(file, `Add the space ${id}`);
}

function change(id: string, { root, env }: Where, to: (tenant: Tenant) => StateChange, verb: string): void {
  const { shard, tenant } = find(loadFleet(root, env), id);
  const wanted = to(tenant);
  refuse(tenant, refuseTransition(tenant, wanted.state));
  const text = changeState(readFileSync(join(root, shard.file), "utf8"), id, wanted);
  save(root, env, shard.file, text);
  say(`Space "${id}" is now ${wanted.state} in ${shard.file}:`, "", indent(entryText(text, id)), "");
  sayNext(shard.file, `${verb} the space ${id}`);
}

function remove(id: string, { root, env }: Where): void {
  const { shard, tenant } = find(loadFleet(root, env), id);
  refuse(tenant, refuseTransition(tenant, "removed"));
  save(root, env, shard.file, removeEntry(readFileSync(join(root, shard.file), "utf8"), id));
  say(`Removed space "${id}" from ${shard.file}.`, "");
  sayNext(shard.file, `Remove the space ${id}`);
}

function find(fleet: Fleet, id: string): { shard: Shard; tenant: Tenant } {
  assertValid(fleet);
  for (const shard of fleet.shards) {
    const tenant = shard.tenants.find((candidate) => candidate.id === id);
    if (tenant) return { shard, tenant };
  }
  const meant = nearest(
    id,
    fleet.shards.flatMap(({ tenants }) => tenants.map((tenant) => tenant.id)),
  );
  throw new Refusal(
    `There is no space "${id}" in ${tenantsFolder(fleet.environmentName)}${meant === undefined ? "" : `; did you mean "${meant}"?`}`,
  );
}

function refuse(tenant: Tenant, reason: string | undefined): void {
  if (reason !== undefined) throw new Refusal(`Space "${tenant.id}": ${reason}`);
}

/** Writes a tenants file if the fleet with it passes every check. */
function save(root: string, env: string, file: string, text: string): void {
  assertValid(loadFleet(root, env, new Map([[file, text]])));
  writeFileSync(join(root, file), text);
}

function sayNext(file: string, message: string): void {
  say(
    "Next, see what it will do, then open a pull request:",
    `  npm run plan`,
    `  git switch -c ${message.toLowerCase().replaceAll(" ", "-")}`,
    `  git add ${file}`,
    `  git commit -m "${message}"`,
  );
}

function say(...lines: string[]): void {
  console.log(lines.join("\n"));
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}

function writeSchema(root: string): void {
  const { value, problems } = readCatalog(root);
  if (!value)
    throw new Refusal(`The catalog has ${problems.length} problems; run \`npm run check -- tenants\``);
  writeFileSync(join(root, EDITOR_SCHEMA_FILE), `${JSON.stringify(editorSchema(value), undefined, 2)}\n`);
  say(`Wrote ${EDITOR_SCHEMA_FILE}.`);
}

const program = new Command("npm run space --")
  .description("Edits the entry of a space in its tenants file.")
  .showHelpAfterError("(add --help for what can be written)")
  .configureHelp({ showGlobalOptions: true });

function verb(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option("--env <environment>", "environment that the space belongs to", "prod")
    .option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd());
}

const today = new Date().toISOString().slice(0, 10);

verb("add", "insert a new space at its place in the newest file with room")
  .requiredOption("--id <id>", "where it lives: <id>.<domain>; never changes")
  .requiredOption("--name <name>", "as the group writes it")
  .option(
    "--contact <mail>",
    "mail address of a role, invited as first administrator (default: the host's administrators)",
  )
  .option("--kind <kind>", `what sort of group it is (default: ${DEFAULTS.kind})`)
  .option("--plan <plan>", `storage and accounts (default: ${DEFAULTS.plan})`)
  .option("--office <suite>", `office suite to start with (default: ${DEFAULTS.office})`)
  .option("--wave <wave>", `when it is upgraded (default: ${DEFAULTS.wave})`)
  .action(add);

verb("suspend <id>", "take a space out of service; its data is kept and visitors are told")
  .requiredOption("--reason <reason>", "why, for administrators")
  .option("--since <date>", "first day", today)
  .action((id: string, options: StateOptions & { reason: string }) =>
    change(
      id,
      options,
      () => ({ state: "suspended", reason: options.reason, since: options.since }),
      "Suspend",
    ),
  );

verb("resume <id>", "put a suspended space back in service").action((id: string, options: Where) =>
  change(id, options, () => ({ state: "active" }), "Resume"),
);

verb("archive <id>", "export a suspended space, then drop its live data")
  .option("--reason <reason>", "why (default: the reason of its suspension)")
  .option("--since <date>", "first day", today)
  .action((id: string, { reason, since, ...where }: StateOptions) =>
    change(
      id,
      where,
      (tenant) => ({ state: "archived", reason: reason ?? tenant.reason ?? "", since }),
      "Archive",
    ),
  );

verb("remove <id>", "remove the entry of an archived space").action(remove);

program
  .command("schema")
  .description(`write ${EDITOR_SCHEMA_FILE} anew, after a change to the catalog or to the fields of a space`)
  .option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd())
  .action(({ root }: { root: string }) => writeSchema(root));

try {
  program.parse();
} catch (error) {
  if (error instanceof InvalidFleet) console.error(`${error.message}\nNothing was changed.`);
  else if (error instanceof Refusal) console.error(sentence(error.message));
  else throw error;
  process.exitCode = 1;
}
