// `npm run space`: changes an entry of a tenants file as a person would in an editor, refuses what `npm run check` would
// refuse, and plans the change: a pull request and `up` do the rest. The verbs that ask or move data run programs on ops-1.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { execa } from "execa";
import {
  changeState,
  entryText,
  insertEntry,
  refuseTransition,
  removeEntry,
  shardWithRoom,
  type StateChange,
} from "../spaces/fleet/edit.ts";
import { EDITOR_SCHEMA_FILE, editorSchema } from "../spaces/fleet/editor-schema.ts";
import { nearest } from "../validation/wording.ts";
import { opsHost } from "../infra/inventory/addresses.ts";
import type { Plan } from "../plan/plan.ts";
import { count, sentence } from "../validation/positions.ts";
import { GIGABYTE } from "../spaces/fleet/catalog.ts";
import {
  assertValid,
  InvalidFleet,
  loadFleet,
  readCatalog,
  tenantsFolder,
  type Fleet,
  type Shard,
  type Tenant,
} from "../spaces/fleet/fleet.ts";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";

/** What a new space gets when nothing else is said. */
const DEFAULTS = { kind: "association", plan: "standard", office: "collabora", wave: "main" };

interface Where {
  root: string;
  env: string;
}

type AddOptions = Where & { id: string; name: string; contact?: string } & Partial<typeof DEFAULTS>;
type StateOptions = Where & { reason?: string; since: string };

async function add({ root, env, id, name, contact, ...chosen }: AddOptions): Promise<void> {
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
  await sayNext({ root, env }, file, `Add the space ${id}`);
}

async function change(
  id: string,
  { root, env }: Where,
  to: (tenant: Tenant) => StateChange,
  verb: string,
): Promise<void> {
  const { shard, tenant } = find(loadFleet(root, env), id);
  const wanted = to(tenant);
  refuse(tenant, refuseTransition(tenant, wanted.state));
  const text = changeState(readFileSync(join(root, shard.file), "utf8"), id, wanted);
  save(root, env, shard.file, text);
  say(`Space "${id}" is now ${wanted.state} in ${shard.file}:`, "", indent(entryText(text, id)), "");
  await sayNext({ root, env }, shard.file, `${verb} the space ${id}`);
}

async function remove(id: string, { root, env }: Where): Promise<void> {
  const { shard, tenant } = find(loadFleet(root, env), id);
  refuse(tenant, refuseTransition(tenant, "removed"));
  save(root, env, shard.file, removeEntry(readFileSync(join(root, shard.file), "utf8"), id));
  say(`Removed space "${id}" from ${shard.file}.`, "");
  await sayNext({ root, env }, shard.file, `Remove the space ${id}`);
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
  throw new UserError(
    `There is no space "${id}" in ${tenantsFolder(fleet.environmentName)}${meant === undefined ? "" : `; did you mean "${meant}"?`}`,
  );
}

function refuse(tenant: Tenant, reason: string | undefined): void {
  if (reason !== undefined) throw new UserError(`Space "${tenant.id}": ${reason}`);
}

/** Writes a tenants file if the fleet with it passes every check. */
function save(root: string, env: string, file: string, text: string): void {
  assertValid(loadFleet(root, env, new Map([[file, text]])));
  writeFileSync(join(root, file), text);
}

async function sayNext({ root, env }: Where, file: string, message: string): Promise<void> {
  const planned = await planOf(root, env);
  if (planned) {
    say(planned.markdown);
    process.exitCode = planned.status;
  }
  say(
    planned ? "Next, open a pull request:" : "Next, see what it will do, then open a pull request:",
    ...(planned ? [] : [`  npm run plan`]),
    `  git switch -c ${message.toLowerCase().replaceAll(" ", "-")}`,
    `  git add ${file}`,
    `  git commit -m "${message}"`,
  );
}

/** Undefined where there is no repository, or no main, to compare with. */
async function planOf(root: string, env: string): Promise<Plan | undefined> {
  if (!existsSync(join(root, ".git"))) return undefined;
  const { plan } = await import("../plan/plan.ts");
  return plan({ root, environments: [env] }).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    return undefined;
  });
}

function say(...lines: string[]): void {
  console.log(lines.join("\n"));
}

/** A program of ops-1, over SSH as README has it; in the lab, over the lab's. Its standard output. */
async function onOps(
  { root, env, lab }: Distant,
  program: string,
  words: readonly string[],
): Promise<string> {
  const { environment } = loadFleet(root, env);
  if (!environment) throw new UserError(`Pulumi.${env}.yaml has problems; run \`npm run check -- tenants\``);
  const [ssh = "", ...rest] =
    env === "lab" ? await labSsh(lab) : ["ssh", "-o", "ConnectTimeout=10", `root@${opsHost(environment)}`];
  const { stdout, failed, exitCode } = await execa(ssh, [...rest, program, ...words], {
    stderr: "inherit",
    stdin: "ignore",
    // Ten thousand spaces are 5 MB.
    maxBuffer: 100_000_000,
    reject: false,
  });
  if (failed)
    throw new UserError(
      exitCode === 255 || exitCode === undefined
        ? `ops-1 cannot be reached (${[ssh, ...rest].join(" ")})`
        : `${program} failed on ops-1; what it says stands above`,
    );
  return stdout;
}

async function labSsh(name: string): Promise<string[]> {
  const [{ openLab }, { exists }, { sshTo }] = await Promise.all([
    import("../lab/lab.ts"),
    import("../lab/lifecycle.ts"),
    import("../lab/ssh.ts"),
  ]);
  const found = openLab(name);
  if (process.getuid?.() !== 0) throw new UserError("a lab is root's: run this as root");
  if (!(await exists(found))) throw new UserError(`there is no lab "${name}"; bring it up with: npm run lab`);
  return sshTo(found, "ops-1");
}

interface Distant extends Where {
  lab: string;
}

const known = z.object({
  id: z.string(),
  state: z.string(),
  flags: z.string(),
  release: z.string(),
  accounts: z.number().nullable(),
  bytes: z.number().nullable(),
  limits: z.object({ accounts: z.number(), storageBytes: z.number() }).nullable(),
  lastActivity: z.string().nullable(),
  lastExport: z.object({ export: z.string(), at: z.string() }).nullable(),
  archived: z.record(z.string(), z.string()).nullable(),
  unfinished: z.string().nullable(),
});

function parseSpaces(output: string): z.infer<typeof known>[] {
  return output
    .split("\n")
    .filter((text) => text !== "")
    .map((text) => known.parse(JSON.parse(text)));
}

async function list(where: Distant & { json?: true; fresh?: true }): Promise<void> {
  const output = await onOps(where, "list-spaces", where.fresh ? ["--fresh"] : []);
  if (where.json) return say(output);
  const heading = ["id", "state", "release", "accounts", "storage", "last activity", "last export"];
  const spaces = parseSpaces(output);
  const rows = spaces.map((space) => [
    space.id,
    `${space.state}${space.archived?.["dropped"] === undefined ? "" : ", dropped"}${space.flags.includes("maintenance") ? ", in maintenance" : ""}${space.unfinished === null ? "" : ", unfinished"}`,
    space.release,
    `${space.accounts ?? "?"} of ${space.limits?.accounts ?? "?"}`,
    `${gigabytes(space.bytes)} of ${gigabytes(space.limits?.storageBytes, 0)} GB`,
    space.lastActivity?.slice(0, 10) ?? "never",
    space.lastExport?.at.slice(0, 10) ?? "none",
  ]);
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  say([heading, ...rows].map(line).join("\n"), "", `${count(rows.length, "space")}.`);
  const unfinished = spaces.filter((space) => space.unfinished !== null);
  if (unfinished.length > 0)
    say(
      "",
      "Unfinished, and tried again by itself:",
      ...unfinished.map(({ id, unfinished: why }) => `  ${id}: ${why}`),
    );
}

function gigabytes(bytes: number | null | undefined, digits = 2): string {
  return typeof bytes === "number" ? (bytes / GIGABYTE).toFixed(digits) : "?";
}

async function show(id: string, where: Distant): Promise<void> {
  const { shard } = find(loadFleet(where.root, where.env), id);
  const { line } = shard.at(find(loadFleet(where.root, where.env), id).tenant);
  say(
    `${shard.file}, line ${line}:`,
    "",
    indent(entryText(readFileSync(join(where.root, shard.file), "utf8"), id)),
    "",
  );
  const [space] = parseSpaces(await onOps(where, "list-spaces", [id]));
  if (space) say("On the machines:", "", indent(JSON.stringify(space, undefined, 2)));
}

async function exportSpace(id: string, where: Distant): Promise<void> {
  find(loadFleet(where.root, where.env), id);
  say(await onOps(where, "export-space", [id]));
}

async function restoreSpace(id: string, from: string | undefined, where: Distant): Promise<void> {
  const { tenant } = find(loadFleet(where.root, where.env), id);
  if (tenant.state === "active")
    throw new UserError(
      `Space "${id}" is in service, and restoring onto it would overwrite what it holds. Into a new space: npm run space -- add --id …, then suspend, up, and restore <new id> ${from ?? id}`,
    );
  say(await onOps(where, "restore-space", [id, ...(from === undefined ? [] : [from])]));
}

/** What goes into a command line on ops-1. */
function exportName(text: string): string {
  if (!/^[a-z][a-z0-9-]{2,31}(\/\d{8}T\d{6}Z)?$/.test(text))
    throw new InvalidArgumentError("write a space's id, or <id>/<time> as `export` printed it.");
  return text;
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}

function writeSchema(root: string): void {
  const { value, problems } = readCatalog(root);
  if (!value)
    throw new UserError(`The catalog has ${problems.length} problems; run \`npm run check -- tenants\``);
  writeFileSync(join(root, EDITOR_SCHEMA_FILE), `${JSON.stringify(editorSchema(value), undefined, 2)}\n`);
  say(`Wrote ${EDITOR_SCHEMA_FILE}.`);
}

const program = new Command("npm run space --")
  .description("Edits the entry of a space in its tenants file; asks and moves spaces through ops-1.")
  .showHelpAfterError("(add --help for what can be written)")
  .configureHelp({ showGlobalOptions: true });

function verb(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option("--env <environment>", "environment that the space belongs to", "prod")
    .option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd());
}

function distantVerb(name: string, description: string): Command {
  return verb(name, description).option("--lab <name>", "which lab, with --env lab", "lab");
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
  .action(async (id: string, options: StateOptions & { reason: string }) =>
    change(
      id,
      options,
      () => ({ state: "suspended", reason: options.reason, since: options.since }),
      "Suspend",
    ),
  );

verb(
  "resume <id>",
  "put a suspended space, or an archived one whose data is still there, back in service",
).action(async (id: string, options: Where) => change(id, options, () => ({ state: "active" }), "Resume"));

verb("archive <id>", "export a suspended space, then drop its live data")
  .option("--reason <reason>", "why (default: the reason of its suspension)")
  .option("--since <date>", "first day", today)
  .action(async (id: string, { reason, since, ...where }: StateOptions) =>
    change(
      id,
      where,
      (tenant) => ({ state: "archived", reason: reason ?? tenant.reason ?? "", since }),
      "Archive",
    ),
  );

verb("remove <id>", "remove the entry of an archived space").action(remove);

distantVerb("list", "every space: state, release, accounts, storage, last activity and export")
  .option("--fresh", "ask all databases now, however many there are")
  .option("--json", "one line of JSON for each")
  .action(list);

distantVerb("show", "a space's entry, and what the machines have of it").argument("<id>").action(show);

distantVerb("export", "write all that a space is into the archive, verified")
  .argument("<id>")
  .action(exportSpace);

distantVerb("restore", "put an export into a suspended or archived space that holds nothing")
  .argument("<id>")
  .argument(
    "[export]",
    "<id>/<time>, or an id for its last export (default: the space's own last)",
    exportName,
  )
  .action(restoreSpace);

program
  .command("schema")
  .description(`write ${EDITOR_SCHEMA_FILE} again, after a change to the catalog or to the fields of a space`)
  .option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd())
  .action(({ root }: { root: string }) => writeSchema(root));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof InvalidFleet) console.error(`${error.message}\nNothing was changed.`);
  else if (error instanceof UserError) console.error(sentence(error.message));
  else throw error;
  process.exitCode = 1;
}
