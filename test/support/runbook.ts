// The commands of docs/runbooks/, as the pages have them: what the lab's suites type, so that no page can rot.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestLab } from "./suite-lab.ts";

const PAGES = join(import.meta.dirname, "../../docs/runbooks");

/**
 * The commands of a page, or of what stands under one of its headings, that are typed on a machine: blocks that begin
 * with ```sh and its name. Throws where there is no such heading, or nothing to type there.
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
 * Types the commands of a page, or of one of its headings, and returns what they printed. Rejects at the first one that
 * fails. `change` is for what a reader puts in its place, such as an hour.
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
 * Types the commands of a page, or of one of its headings, that people type where they run Pulumi, and returns what they
 * printed. What differs: the stacks are the lab's, and nobody is there to say yes.
 */
export async function typeAtHome(lab: TestLab, page: string, heading?: string): Promise<string> {
  const said: string[] = [];
  const lines = blocksOf(/^```sh\n(.*?)^```$/gms, page, heading).flatMap((block) => block.trim().split("\n"));
  for (const line of lines) {
    const words = /^npm run pulumi -- (.+)$/.exec(line)?.[1]?.replaceAll("prod-", "lab-").split(/ +/);
    if (!words) throw new Error(`docs/runbooks/${page}.md: the lab cannot type "${line}"`);
    said.push(await lab.lab("pulumi", ...words, "--yes", "--non-interactive"));
  }
  return said.join("\n");
}
