// What `check` finds in the data, as forges show it beside the lines of a change.
import { createHash } from "node:crypto";
import { sayProblem, type Problem } from "../validation/positions.ts";

/** GitHub shows ten annotations of a step, and fifty of a run. The others are in the log and in the summary. */
const MOST_ANNOTATIONS = 10;

/**
 * The first problems as GitHub's workflow commands, one a line. GitHub reads a command from any line of a log, so what
 * could end one early, or begin another, is escaped as its runner undoes it.
 */
export function renderAnnotations(problems: readonly Problem[]): string[] {
  return problems
    .slice(0, MOST_ANNOTATIONS)
    .map(
      (problem) =>
        `::error file=${inProperty(problem.file)},line=${problem.line},col=${problem.column}::${inMessage(sayProblem(problem))}`,
    );
}

function inMessage(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function inProperty(text: string): string {
  return inMessage(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}

/** Problems as GitLab's code quality report: a JSON list. A fingerprint is equal wherever the same problem moves to. */
export function renderCodeQuality(problems: readonly Problem[]): string {
  const seen = new Map<string, number>();
  const findings = problems.map((problem) => {
    const said = `${problem.file}\n${sayProblem(problem)}`;
    const earlier = seen.get(said) ?? 0;
    seen.set(said, earlier + 1);
    return {
      description: sayProblem(problem),
      check_name: "npm run check",
      fingerprint: createHash("sha256").update(`${said}\n${earlier}`).digest("hex"),
      severity: "major",
      location: { path: problem.file, lines: { begin: problem.line } },
    };
  });
  return `${JSON.stringify(findings, undefined, 2)}\n`;
}

/** Text for a log from which GitHub must read no command. `token` is a word that the text's author cannot know. */
export function withoutCommands(text: string, token: string): string {
  return `::stop-commands::${token}\n${text.trimEnd()}\n::${token}::\n`;
}
