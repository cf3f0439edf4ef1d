// The sites as ops-1 sees them, by mc, and what reconcile-storage knows while it runs.
import type { Surroundings } from "../../machine/programs/program.ts";
import { ProgramError } from "../../machine/programs/program-error.ts";
import { run, runLines, type CommandOptions, type Descriptors } from "../../machine/programs/run-command.ts";
import type { SiteRole } from "../../inventory/environment.ts";
import type { StorageSettings } from "./storage-settings.ts";
import { parseJson } from "../../machine/programs/texts.ts";

/** `watch` is the timer's, `all` checks the settings of all buckets again. */
export type Work = "reconcile" | "watch" | "all" | "compare";

export interface Sites extends Surroundings {
  readonly settings: StorageSettings;
  readonly work: Work;
  /** Folder of what is declared: policies, users, lifecycle rules. */
  readonly declared: string;
  /** Folder of what is noted from one run to the next. */
  readonly state: string;
}

/** A site's alias of mc. */
export type Alias = SiteRole | "serving";

/** The error that ends the program: what is wrong, and what to do next. */
export const refusal = (what: string) => new ProgramError("ops-1: storage", what);

/** systemd starts the program without a home. */
const MC_ENVIRONMENT = { MC_CONFIG_DIR: "/root/.mc" };

let locks: Descriptors = {};

/** From now on mc holds this lock, too: if this program is killed, it is locked until mc has ended. */
export function holdLock(descriptor: number): void {
  locks = { 9: descriptor };
}

type McOptions = Pick<CommandOptions, "input" | "errors">;

const runMc = (words: readonly string[], options: McOptions) =>
  run("mc", words, { ...options, locks, env: MC_ENVIRONMENT });

/** Runs mc to its end, whatever its status. Its errors are JSON, too. */
export const mc = (words: readonly string[], options: McOptions = {}) => runMc(["--json", ...words], options);

/** Runs mc for what is a file's text. */
export const mcPlain = (words: readonly string[], options: McOptions = {}) => runMc(words, options);

/** The same for answers of any length: passes on each line, and resolves to the status. */
export const mcLines = (words: readonly string[], take: (line: string) => void) =>
  runLines("mc", ["--json", ...words], { locks, env: MC_ENVIRONMENT }, take);

/** What mc answers. Throws ProgramError with MinIO's message if it fails. */
export async function reply(
  words: readonly string[],
  options: Pick<CommandOptions, "input"> = {},
): Promise<Answer[]> {
  const { status, output } = await mc(words, options);
  if (status !== 0) throw refusal(`mc ${words.join(" ")}: ${messageIn(output)}`);
  try {
    return valuesIn(output);
  } catch {
    throw refusal(`mc ${words.join(" ")} answers what is no JSON: ${output.trim()}`);
  }
}

/** The one value that mc answers. */
export async function replyOne<Kind extends Answer>(
  words: readonly string[],
  options: Pick<CommandOptions, "input"> = {},
): Promise<Kind> {
  const [answer = {}] = await reply(words, options);
  return answer as Kind;
}

/**
 * Longer than MinIO needs to hear that a site is back, which it probes every five seconds (cmd/bucket-targets.go,
 * heartBeat), or of a new user on all nodes.
 */
const PATIENCE_MS = 60_000;

/** The same, and asks again while MinIO's message says that it does not know something yet. */
export async function replyLater(
  { sleep }: Sites,
  notYet: string,
  words: readonly string[],
): Promise<Answer[]> {
  for (const end = performance.now() + PATIENCE_MS; ; await sleep(2))
    try {
      return await reply(words);
    } catch (error) {
      const isEarly = error instanceof ProgramError && error.message.includes(notYet);
      if (!isEarly || performance.now() >= end) throw error;
    }
}

export type Answer = Readonly<Record<string, unknown>>;

/** The values in mc's output. An answer is one line, but an error is many. Throws SyntaxError if it is no JSON. */
export function valuesIn(text: string): Answer[] {
  const values: Answer[] = [];
  let begun = "";
  for (const line of text.split("\n")) {
    begun += line;
    const value = parse(begun);
    if (value === undefined) continue;
    values.push(value);
    begun = "";
  }
  if (begun.trim() !== "") throw new SyntaxError("mc's answer is no JSON");
  return values;
}

function parse(text: string): Answer | undefined {
  const value = parseJson<unknown>(text);
  return typeof value === "object" && value !== null ? (value as Answer) : undefined;
}

/** MinIO's own words in an answer of mc. */
function messageIn(text: string): string {
  try {
    return valuesIn(text)
      .map(({ error }) => {
        if (typeof error === "string") return error;
        const { cause, message } = (error ?? {}) as Failure;
        return cause?.error?.Message ?? cause?.message ?? message ?? "";
      })
      .join("; ");
  } catch {
    return text.trim();
  }
}

interface Failure {
  message?: string;
  cause?: { message?: string; error?: { Message?: string } };
}

/** What `mc admin info` says of a site. */
export interface SiteInfo {
  info: {
    deploymentID: string;
    backend: { standardSCParity: number; totalSets: number[]; totalDrivesPerSet: number[] };
    servers: ServerInfo[];
  };
}

export interface ServerInfo {
  endpoint: string;
  state: string;
  /** Seconds. */
  uptime: number;
  drives?: DriveInfo[] | null;
}

export interface DriveInfo {
  endpoint: string;
  state: string;
  healing?: boolean;
  totalspace?: number;
  usedspace?: number;
}

export const infoOf = (site: Alias) => replyOne<SiteInfo & Answer>(["admin", "info", site]);

const drivesAre = (servers: readonly ServerInfo[], isSo: (drive: DriveInfo) => boolean) =>
  servers.every(({ state, drives }) => state === "online" && (drives ?? []).every(isSo));

/**
 * Whether every node is online with all of its drives. Settings that are written while a node is offline do not exist
 * for a node that starts later and reads them before it has found all others (docs/decisions/0015-minio-versions.md).
 */
export const isWhole = ({ info }: SiteInfo) => drivesAre(info.servers, ({ state }) => state === "ok");

/** The same, and no drive is being filled. */
export const isFilled = ({ info }: SiteInfo) =>
  drivesAre(info.servers, ({ state, healing }) => state === "ok" && healing !== true);

/** The names of the buckets at a site, in MinIO's order. */
export async function bucketsOf(site: Alias): Promise<string[]> {
  return (await reply(["ls", site])).flatMap(({ key }) =>
    typeof key === "string" ? [key.replace(/\/$/, "")] : [],
  );
}
