// Asks ops-1 what the machines hold of spaces, and makes it export and restore their data. It calls the programs of
// ops-1 by SSH.
import { execa } from "execa";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { opsHost } from "../../infra/inventory/addresses.ts";
import { count } from "../../validation/positions.ts";
import { UserError } from "../../validation/user-error.ts";
import { GIGABYTE } from "./catalog.ts";
import { findSpace, indent, type Place } from "./change-space.ts";
import { entryText } from "./edit.ts";
import { loadFleet } from "./load-fleet.ts";

/** An environment whose machines are asked. */
export interface OpsPlace extends Place {
  /** Name of the lab, for the environment `lab`. */
  lab: string;
  /**
   * The words that run SSH to ops-1 of a lab. A lab's machines are on this computer, not at the addresses of the
   * inventory.
   */
  sshToLab: (name: string) => Promise<string[]>;
}

/** One line of list-spaces' output. */
const spaceOnMachines = z.object({
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
type SpaceOnMachines = z.infer<typeof spaceOnMachines>;

interface ListOptions {
  /** Prints one line of JSON for each space, instead of a table. @default false */
  json?: boolean;
  /** Asks all databases now, however many there are. @default false */
  fresh?: boolean;
}

/** Prints what the machines hold of every space. Throws a UserError, like everything that asks ops-1. */
export async function listSpaces({
  json = false,
  fresh = false,
  ...place
}: OpsPlace & ListOptions): Promise<void> {
  const output = await onOps(place, "list-spaces", fresh ? ["--fresh"] : []);
  console.log(json ? output : renderTable(parseSpaces(output)));
}

/** Prints a space's entry, and what the machines hold of the space. */
export async function showSpace(id: string, place: OpsPlace): Promise<void> {
  const { tenantsFile, entry } = findSpace(loadFleet(place.root, place.env), id);
  const text = entryText(readFileSync(join(place.root, tenantsFile.file), "utf8"), id);
  console.log([`${tenantsFile.file}, line ${tenantsFile.at(entry).line}:`, "", indent(text), ""].join("\n"));
  const [space] = parseSpaces(await onOps(place, "list-spaces", [id]));
  if (space) console.log(`On the machines:\n\n${indent(JSON.stringify(space, undefined, 2))}`);
}

/** Exports a whole space into the archive. Prints the output of export-space. */
export async function exportSpace(id: string, place: OpsPlace): Promise<void> {
  findSpace(loadFleet(place.root, place.env), id);
  console.log(await onOps(place, "export-space", [id]));
}

/**
 * Puts an export into a space that is out of service. Prints the output of restore-space.
 * @param from `<id>/<time>`, or an id for its last export. Undefined means the space's own last export.
 */
export async function restoreSpace(id: string, from: string | undefined, place: OpsPlace): Promise<void> {
  if (from !== undefined && !isExportName(from))
    throw new UserError(
      `"${from}" is no export; write a space's id, or <id>/<time> as \`export\` printed it.`,
    );
  const { entry } = findSpace(loadFleet(place.root, place.env), id);
  if (entry.state === "active")
    throw new UserError(
      `Space "${id}" is in service, and restoring onto it would overwrite what it holds. Into a new space: npm run space -- add --id …, then suspend, up, and restore <new id> ${from ?? id}.`,
    );
  console.log(await onOps(place, "restore-space", [id, ...(from === undefined ? [] : [from])]));
}

/** Whether a text may go into a command line on ops-1 as the name of an export. */
export function isExportName(text: string): boolean {
  return /^[a-z][a-z0-9-]{2,31}(\/\d{8}T\d{6}Z)?$/.test(text);
}

/** Words that run SSH to ops-1. Throws a UserError if the environment is not valid. */
export async function sshToOps({ root, env, lab, sshToLab }: OpsPlace): Promise<string[]> {
  if (env === "lab") return sshToLab(lab);
  const { environment } = loadFleet(root, env);
  if (!environment) throw new UserError(`Pulumi.${env}.yaml has problems; run \`npm run check -- tenants\`.`);
  return ["ssh", "-o", "ConnectTimeout=10", `root@${opsHost(environment)}`];
}

/** Runs a program on ops-1. Resolves to its standard output. Throws a UserError if the program fails. */
async function onOps(place: OpsPlace, program: string, words: readonly string[]): Promise<string> {
  const [ssh = "", ...rest] = await sshToOps(place);
  const { stdout, failed, exitCode } = await execa(ssh, [...rest, program, ...words], {
    stderr: "inherit",
    stdin: "ignore",
    // The lines of ten thousand spaces are 5 MB.
    maxBuffer: 100_000_000,
    reject: false,
  });
  if (failed)
    throw new UserError(
      exitCode === 255 || exitCode === undefined
        ? `ops-1 cannot be reached (${[ssh, ...rest].join(" ")}).`
        : `${program} failed on ops-1; what it says stands above.`,
    );
  return stdout;
}

function parseSpaces(output: string): SpaceOnMachines[] {
  return output
    .split("\n")
    .filter((text) => text !== "")
    .map((text) => spaceOnMachines.parse(JSON.parse(text)));
}

function renderTable(spaces: readonly SpaceOnMachines[]): string {
  const heading = ["id", "state", "release", "accounts", "storage", "last activity", "last export"];
  const rows = spaces.map((space) => [
    space.id,
    renderState(space),
    space.release,
    `${space.accounts ?? "?"} of ${space.limits?.accounts ?? "?"}`,
    `${gigabytes(space.bytes)} of ${gigabytes(space.limits?.storageBytes, 0)} GB`,
    space.lastActivity?.slice(0, 10) ?? "never",
    space.lastExport?.at.slice(0, 10) ?? "none",
  ]);
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const lines = [heading, ...rows].map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const unfinished = spaces.flatMap(({ id, unfinished: why }) => (why === null ? [] : [`  ${id}: ${why}`]));
  return [
    ...lines,
    "",
    `${count(rows.length, "space")}.`,
    ...(unfinished.length > 0 ? ["", "Unfinished, and tried again by itself:", ...unfinished] : []),
  ].join("\n");
}

function renderState({ state, archived, flags, unfinished }: SpaceOnMachines): string {
  return [
    state,
    ...(archived?.["dropped"] === undefined ? [] : ["dropped"]),
    ...(flags.includes("maintenance") ? ["in maintenance"] : []),
    ...(unfinished === null ? [] : ["unfinished"]),
  ].join(", ");
}

function gigabytes(bytes: number | null | undefined, digits = 2): string {
  return typeof bytes === "number" ? (bytes / GIGABYTE).toFixed(digits) : "?";
}
