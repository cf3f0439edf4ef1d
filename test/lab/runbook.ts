// The commands of docs/runbooks/, as the pages have them: what the lab's suites type, so that no page can rot.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const PAGES = join(import.meta.dirname, "../../docs/runbooks");

/**
 * The commands under a heading of a page that are typed on a machine: blocks that begin with ```sh and its name. Throws
 * where the page has no such heading, or nothing to type there.
 */
export function commandsOf(page: string, heading: string): string[] {
  const text = readFileSync(join(PAGES, `${page}.md`), "utf8");
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  const commands = [...(section ?? "").matchAll(/^```sh \S+\n(.*?)^```$/gms)].map((block) => block[1] ?? "");
  if (commands.length === 0) throw new Error(`docs/runbooks/${page}.md has no command under "## ${heading}"`);
  return commands;
}
