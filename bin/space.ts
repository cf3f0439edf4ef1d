// `npm run space`: changes a space's entry and plans the change. Lists, shows, exports and restores through ops-1.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command } from "commander";
import * as ops from "../spaces/fleet/ask-ops.ts";
import * as change from "../spaces/fleet/change-space.ts";
import { EDITOR_SCHEMA_FILE, writeEditorSchema } from "../spaces/fleet/editor-schema.ts";
import { mergeTenantsFiles } from "../spaces/conflicts/merge-tenants-files.ts";
import { add, type Additions } from "../spaces/requests/add-requests.ts";
import { runMain } from "../validation/user-error.ts";

const program = new Command("npm run space --")
  .description("Edits the entry of a space in its tenants file; asks and moves spaces through ops-1.")
  .showHelpAfterError("(add --help for what can be written)")
  .configureHelp({ showGlobalOptions: true });
const inFolder = (command: Command) =>
  command.option("--root <folder>", "folder of the repository", (folder) => resolve(folder), process.cwd());
const verb = (name: string, description: string) =>
  inFolder(
    program
      .command(name)
      .description(description)
      .option("--env <environment>", "environment that the space belongs to", "prod"),
  );
const opsVerb = (name: string, description: string) =>
  verb(name, description).option("--lab <name>", "which lab, with --env lab", "lab");
const today = new Date().toISOString().slice(0, 10);

async function finish(edit: change.Edit, { root, env }: change.Place): Promise<void> {
  process.exitCode = await change.propose(edit, async () => {
    if (!existsSync(join(root, ".git"))) return undefined;
    return (await import("../plan/plan.ts")).planIfComparable(root, env);
  });
}
const edits =
  <Options extends change.Place>(edit: (id: string, options: Options) => change.Edit) =>
  (id: string, options: Options) =>
    finish(edit(id, options), options);

type OpsOptions = Omit<ops.OpsPlace, "sshToLab">;
const sshToLab = async (name: string) => (await import("../lab/commands.ts")).sshToOps(name);

verb("add", "insert a new space, or a file of requests, each at its place in a file with room")
  .option("--from <file>", "requests: a CSV or JSON export of a form, or the text of an issue")
  .option("--id <id>", "where it lives: <id>.<domain>; never changes")
  .option("--name <name>", "as the group writes it")
  .option(
    "--contact <mail>",
    "mail address of a role, invited as first administrator (default: the host's administrators)",
  )
  .option("--kind <kind>", `what sort of group it is (default: ${change.DEFAULTS.kind})`)
  .option("--plan <plan>", `storage and accounts (default: ${change.DEFAULTS.plan})`)
  .option("--office <suite>", `office suite to start with (default: ${change.DEFAULTS.office})`)
  .option("--wave <wave>", `when it is upgraded (default: ${change.DEFAULTS.wave})`)
  .action((options: Additions) => finish(add(options), options));
verb("suspend <id>", "take a space out of service; its data is kept and visitors are told")
  .requiredOption("--reason <reason>", "why, for administrators")
  .option("--since <date>", "first day", today)
  .action(edits(change.suspendSpace));
verb(
  "resume <id>",
  "put a suspended space, or an archived one whose data is still there, back in service",
).action(edits(change.resumeSpace));
verb("archive <id>", "export a suspended space, then drop its live data")
  .option("--reason <reason>", "why (default: the reason of its suspension)")
  .option("--since <date>", "first day", today)
  .action(edits(change.archiveSpace));
verb("remove <id>", "remove the entry of an archived space").action(edits(change.removeSpace));

opsVerb("list", "every space: state, release, accounts, storage, last activity and export")
  .option("--fresh", "ask all databases now, however many there are")
  .option("--json", "one line of JSON for each")
  .action((options: OpsOptions) => ops.listSpaces({ ...options, sshToLab }));
opsVerb("show <id>", "a space's entry, and what the machines have of it").action(
  (id: string, options: OpsOptions) => ops.showSpace(id, { ...options, sshToLab }),
);
opsVerb("export <id>", "write all that a space is into the archive, verified").action(
  (id: string, options: OpsOptions) => ops.exportSpace(id, { ...options, sshToLab }),
);
opsVerb("restore <id>", "put an export into a suspended or archived space that holds nothing")
  .argument("[export]", "<id>/<time>, or an id for its last export (default: the space's own last)")
  .action((id: string, from: string | undefined, options: OpsOptions) =>
    ops.restoreSpace(id, from, { ...options, sshToLab }),
  );

inFolder(program.command("merge"))
  .description("merge the tenants files that git could not, entry by entry; in a merge or a rebase")
  .action(({ root }: { root: string }) => mergeTenantsFiles(root));
inFolder(program.command("schema"))
  .description(`write ${EDITOR_SCHEMA_FILE} again, after a change to the catalog or to the fields of a space`)
  .action(({ root }: { root: string }) => {
    writeEditorSchema(root);
    console.log(`Wrote ${EDITOR_SCHEMA_FILE}.`);
  });

await runMain(() => program.parseAsync());
