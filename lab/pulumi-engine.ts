// The engine that uses the Pulumi CLI. It runs `npm run pulumi -- up` for each stack, as people type it, in the admin's
// namespace and with the lab's own state. It reads the progress from the CLI's event log.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { ENVIRONMENT, PASSPHRASE, ROOT } from "./configuration.ts";
import type { Engine, Outcome, Task } from "./engine.ts";
import { inside, killGroup, withinGroup, type Lab } from "./lab.ts";
import { ADMIN } from "./namespaces.ts";
import { stepOf } from "./progress.ts";
import { afterProviderSessions, pendingFlags, removeOrphans } from "./recovery.ts";
import { PROXY_PORT } from "./lab-tunnel.ts";
import {
  EVENT_LOG_VARIABLES,
  EventLog,
  withoutColours,
  type EngineEvent,
  type Metadata,
} from "../spaces/gated-pulumi/event-log.ts";
import { UserError } from "../validation/user-error.ts";

/** How many resources the CLI handles at once. The lab's machines share this machine's cores. */
const PARALLEL = 8;

/** Path of the Pulumi CLI; or what is missing, and how to get it. */
type Found = { cli: string } | { missing: string; remedy: string };

/**
 * Looks for the Pulumi CLI and its plug-ins. MinIO's plug-in is needed only with `storage`. It skips folders in
 * node_modules: npm's `pulumi` is a wrapper that would download the CLI.
 */
export async function findPulumi({ storage }: { storage: boolean }): Promise<Found> {
  const path = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  const home = process.env.PULUMI_HOME ?? join(homedir(), ".pulumi");
  const folders = [...path, join(home, "bin")];
  const find = (name: string) => folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  const cli = find("pulumi");
  if (cli === undefined)
    return {
      missing: "no pulumi CLI on PATH",
      remedy: "install it from https://www.pulumi.com/docs/iac/download-install/",
    };
  const plugins = await readdir(join(home, "plugins")).catch(() => []);
  const isThere = (kind: string, name: string) =>
    find(`pulumi-${kind}-${name}`) !== undefined ||
    plugins.some((folder) => folder.startsWith(`${kind}-${name}-v`));
  const absent = [
    ...["hcloud", "command", "postgresql", ...(storage ? ["minio"] : [])].filter(
      (name) => !isThere("resource", name),
    ),
    ...(isThere("language", "nodejs") ? [] : ["nodejs"]),
  ];
  if (absent.length > 0)
    return {
      missing: `pulumi has no plug-in for ${absent.join(", ")}`,
      remedy: "run `pulumi install` in this folder",
    };
  return { cli };
}

/** Our commands that work on all stacks of an environment. */
export const FLEET_COMMANDS = ["rollout", "drift", "state"] as const;

/** Folder of the lab's Pulumi state. */
const stateOf = (lab: Lab) => join(lab.directory, "state");

function environmentOf(lab: Lab, cli: string): Record<string, string> {
  return {
    // This Node first: the program needs Node 22, and the system's may be older.
    PATH: [dirname(process.execPath), dirname(cli), process.env.PATH].join(delimiter),
    PULUMI_BACKEND_URL: `file://${stateOf(lab)}`,
    PULUMI_CONFIG_PASSPHRASE: PASSPHRASE,
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    ...EVENT_LOG_VARIABLES,
    // PostgreSQL and MinIO have private addresses, behind ops-1. The endpoint is on the admin's own loopback.
    ALL_PROXY: `socks5://127.0.0.1:${PROXY_PORT}`,
    HTTPS_PROXY: `socks5://127.0.0.1:${PROXY_PORT}`,
    NO_PROXY: "127.0.0.1,localhost",
  };
}

/** Command line of the CLI in the lab: `npm run pulumi` for the commands that it knows, otherwise the CLI itself. */
async function words(lab: Lab, cli: string, rest: readonly string[]): Promise<string[]> {
  const engine = isEveryday(rest) ? ourProgram("pulumi") : [cli];
  return [...(await whereItRuns(lab)), ...engine, ...rest];
}

const ourProgram = (name: string) => [process.execPath, join(ROOT, `bin/${name}.ts`)];

/** The engine's processes are a group of their own, in the administrator's namespace. */
const whereItRuns = async (lab: Lab) => [...(await withinGroup(lab, "engine")), ...inside(lab, ADMIN)];

/** Flags that the lab's own calls add: nobody is there to answer questions. */
const unattended = (lab: Lab) => ["--non-interactive", "--config-file", configurationFile(lab)];

/** The engine that runs the Pulumi CLI. */
export function pulumi(cli: string): Engine {
  return {
    name: "pulumi",
    async up(stack, task) {
      const { lab } = task;
      // A killed `up` may have left processes, and its lock.
      await killGroup(lab, "engine");
      await rm(join(stateOf(lab), ".pulumi/locks"), { recursive: true, force: true });
      await mkdir(stateOf(lab), { recursive: true });
      await createStack(lab, cli, stack);
      await recover(task, cli, stack);
      const log = join(lab.directory, `${stack}.events`);
      await rm(log, { force: true });
      const flags = [
        "--yes",
        "--skip-preview",
        "--stack",
        stack,
        "--parallel",
        String(PARALLEL),
        "--event-log",
        log,
      ];
      const [program, ...rest] = await words(lab, cli, ["up", ...flags, ...unattended(lab)]);
      const up = execa(`${program}`, rest, {
        cwd: ROOT,
        env: environmentOf(lab, cli),
        all: true,
        reject: false,
      });
      const events = new Events(task);
      const eventLog = new EventLog(log);
      const following = setInterval(() => void events.read(eventLog), 200);
      const { failed, all } = await up;
      clearInterval(following);
      await events.read(eventLog);
      if (!failed) return events.outcome;
      const said = [...events.failures].map(([title, message]) => `${title}\n${message}`).join("\n\n");
      throw new UserError(said || `pulumi up of ${stack} failed. The end of its output:\n${end(all)}`);
    },
  };
}

/** Fixes the state after a killed `up`: resources may exist that the state does not know. */
async function recover({ lab, progress }: Task, cli: string, stack: string): Promise<void> {
  const file = await stateFile(lab, stack);
  const flags = await pendingFlags(file);
  if (flags.length > 0) {
    progress.say(`${stack}: an earlier up was killed; taking over what it was creating`);
    if (!stack.endsWith("-platform")) await afterProviderSessions(lab);
    const refresh = ["refresh", "--yes", "--skip-preview", "--stack", stack, ...flags];
    const [program, ...rest] = await words(lab, cli, [...refresh, ...unattended(lab)]);
    const options = { cwd: ROOT, env: environmentOf(lab, cli), reject: false } as const;
    const { failed, stdout, stderr } = await execa(`${program}`, rest, options);
    if (failed) throw new UserError(`pulumi refresh of ${stack} failed:\n${end(`${stdout}\n${stderr}`)}`);
  }
  if (!stack.endsWith("-platform")) return;
  const removed = await removeOrphans(lab, file);
  if (removed.length > 0)
    progress.say(`${stack}: removed ${removed.join(", ")}, which its state does not know`);
}

/** The file in which Pulumi keeps a stack's state. */
async function stateFile(lab: Lab, stack: string): Promise<string> {
  return join(stateOf(lab), `.pulumi/stacks/${await projectName()}/${stack}.json`);
}

async function projectName(): Promise<string> {
  return z.object({ name: z.string() }).parse(parse(await readFile(join(ROOT, "Pulumi.yaml"), "utf8"))).name;
}

/** Creates a missing stack. Not in the project's folder: `stack init` would leave a configuration file there. */
async function createStack(lab: Lab, cli: string, stack: string): Promise<void> {
  if (existsSync(await stateFile(lab, stack))) return;
  const name = await projectName();
  const elsewhere = join(lab.directory, "project");
  await mkdir(elsewhere, { recursive: true });
  await writeFile(join(elsewhere, "Pulumi.yaml"), JSON.stringify({ name, runtime: "nodejs" }));
  const rest = ["--cwd", elsewhere, "--non-interactive", "stack", "init", "--no-select", stack];
  const { failed, all } = await execa(cli, rest, { env: environmentOf(lab, cli), all: true, reject: false });
  if (failed) throw new UserError(`pulumi stack init ${stack} failed:\n${end(all)}`);
}

/** Runs the CLI on the user's terminal, with the lab's state, passphrase and network. Resolves to its exit status. */
export async function handToPulumi(lab: Lab, cli: string, rest: readonly string[]): Promise<number> {
  return handTo(lab, cli, await words(lab, cli, rest));
}

/** Runs one of our commands that work on all stacks, likewise. */
export async function handToFleetCommand(
  lab: Lab,
  cli: string,
  command: (typeof FLEET_COMMANDS)[number],
  options: readonly string[],
): Promise<number> {
  return handTo(lab, cli, [...(await whereItRuns(lab)), ...ourProgram(command), ...options]);
}

async function handTo(lab: Lab, cli: string, [program = "", ...rest]: readonly string[]): Promise<number> {
  const options = { cwd: ROOT, env: environmentOf(lab, cli), stdio: "inherit", reject: false } as const;
  return (await execa(program, rest, options)).exitCode ?? 1;
}

/** Whether docs/ have people type this command as `npm run pulumi -- …`. */
export function isEveryday([command = ""]: readonly string[]): boolean {
  return ["up", "preview", "refresh", "destroy"].includes(command);
}

export const configurationFile = (lab: Lab) => join(lab.directory, `Pulumi.${ENVIRONMENT}.yaml`);

const end = (text: string) =>
  text
    .trim()
    .split("\n")
    .slice(-25)
    .map((line) => `  ${line}`)
    .join("\n");

/** Types whose steps take time, so that people want to see them. */
const SHOWN = new Set(["hcloud:index/server:Server", "command:remote:Command"]);

/** Shows people what Pulumi's event log reports. */
class Events {
  readonly outcome: Outcome = { resources: 0, changed: 0 };
  /** Messages by step, because Pulumi reports each failure twice. */
  readonly failures = new Map<string, string>();
  readonly #task: Task;

  constructor(task: Task) {
    this.#task = task;
  }

  async read(log: EventLog): Promise<void> {
    for (const event of await log.next()) this.#tell(event);
  }

  #tell({
    resourcePreEvent,
    resOutputsEvent,
    resOpFailedEvent,
    diagnosticEvent,
    summaryEvent,
  }: EngineEvent): void {
    const { progress } = this.#task;
    if (resourcePreEvent && isShown(resourcePreEvent.metadata))
      progress.begin(this.#step(resourcePreEvent.metadata));
    if (resOutputsEvent && isShown(resOutputsEvent.metadata))
      progress.done(this.#step(resOutputsEvent.metadata));
    if (resOpFailedEvent && isShown(resOpFailedEvent.metadata))
      progress.failed(this.#step(resOpFailedEvent.metadata));
    if (diagnosticEvent?.severity === "error") {
      const { machine, step } = diagnosticEvent.urn
        ? this.#step({ urn: diagnosticEvent.urn })
        : { machine: "pulumi", step: "up" };
      const title = `${machine}: ${step} failed.`;
      if (!this.failures.has(title)) this.failures.set(title, end(withoutColours(diagnosticEvent.message)));
    }
    if (summaryEvent) {
      const { same = 0, ...others } = summaryEvent.resourceChanges;
      this.outcome.changed = Object.values(others).reduce((sum, number) => sum + number, 0);
      this.outcome.resources = same + this.outcome.changed;
    }
  }

  #step({ urn }: { urn: string }) {
    const [, , types = "", name = ""] = urn.split("::");
    return stepOf(types.split("$").at(-1) ?? "", name, this.#task.machines);
  }
}

function isShown({ op, type }: Metadata): boolean {
  return !["same", "refresh", "read"].includes(op) && SHOWN.has(type);
}
