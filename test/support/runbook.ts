// The commands of docs/runbooks/, read from the pages. The lab's suites run them, so that no page becomes wrong
// unnoticed.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestLab } from "./suite-lab.ts";

const PAGES = join(import.meta.dirname, "../../docs/runbooks");

/**
 * The commands that a page, or one of its headings, has people type on a machine: blocks that begin with ```sh and the
 * name of the machine. Throws if there is no such heading, or no command under it.
 */
export function commandsOf(page: string, heading?: string): string[] {
  return blocksOf(/^```sh \S+\n(.*?)^```$/gms, page, heading);
}

/** The contents of those blocks of a page, or of one of its headings. */
function blocksOf(kind: RegExp, page: string, heading?: string): string[] {
  const text = readFileSync(join(PAGES, `${page}.md`), "utf8");
  const part =
    heading === undefined ? text : text.split(/^## /m).find((section) => section.startsWith(`${heading}\n`));
  const commands = [...(part ?? "").matchAll(kind)].map((block) => block[1] ?? "");
  if (commands.length === 0)
    throw new Error(
      `docs/runbooks/${page}.md has no command${heading === undefined ? "" : ` under "## ${heading}"`}`,
    );
  return commands;
}

/**
 * Runs the commands of a page, or of one of its headings, and returns what they printed. Rejects at the first command
 * that fails. `change` replaces what a reader replaces, such as an hour.
 */
export async function type(
  lab: TestLab,
  page: string,
  heading?: string,
  { machine = "ops-1", change = (command: string) => command } = {},
): Promise<string> {
  const said: string[] = [];
  for (const command of commandsOf(page, heading))
    said.push(await lab.on(machine, `set -e\n${change(command)}`));
  return said.join("\n");
}

/**
 * Runs the commands of a page, or of one of its headings, that people type where they run Pulumi, and returns what they
 * printed. Two things differ: the stacks are those of the lab, and no person confirms.
 */
export async function typeAtHome(lab: TestLab, page: string, heading?: string): Promise<string> {
  const said: string[] = [];
  const lines = blocksOf(/^```sh\n(.*?)^```$/gms, page, heading).flatMap((block) => block.trim().split("\n"));
  for (const line of lines) {
    const [, command, rest = ""] = /^npm run (pulumi|rollout|drift|state)(?: -- (.+))?$/.exec(line) ?? [];
    if (!command) throw new Error(`docs/runbooks/${page}.md: the lab cannot run "${line}"`);
    const words = rest
      .replaceAll("prod-", "lab-")
      .split(/ +/)
      .filter((word) => word !== "");
    const unattended = command === "pulumi" ? ["--yes", "--non-interactive"] : [];
    said.push(await lab.lab(command, ...words, ...unattended));
  }
  return said.join("\n");
}
