// platform-health, on ops-1: prints one line for each problem, and exits with 1 if there is any. A timer runs it every
// five minutes with --report: new and solved problems, and once a day all that remain, go to the log and by mail to the
// administrators. docs/runbooks/alarms.md says what to do about each line.
import { readFileSync } from "node:fs";
import type { Result } from "../../machine/programs/program.ts";
import { reportAlarms } from "./alarm-report.ts";
import { backupProblems, postgresProblems } from "./database-health.ts";
import type { HealthSettings } from "./health-settings.ts";
import type { LookedAt } from "./looked-at.ts";
import { certificateProblems, machineProblems } from "./machine-problems.ts";
import { redisProblems } from "./redis-health.ts";
import { jobProblems, spaceProblems, storageProblems } from "./spaces-health.ts";

/** Each gives its problems as `name: details`. The name identifies a problem from one run to the next. */
const LOOKS: Readonly<Record<string, (lookedAt: LookedAt) => Promise<string[]>>> = {
  postgres: postgresProblems,
  backups: backupProblems,
  redis: redisProblems,
  storage: storageProblems,
  spaces: spaceProblems,
  "background jobs": jobProblems,
  certificates: certificateProblems,
  machines: machineProblems,
};

/** @param root The folder in the machine's place; on the machine "". */
export async function platformHealth(root: string, [option]: readonly string[]): Promise<Result> {
  const settings = readFileSync(`${root}/etc/framaspace/health/settings`, "utf8");
  const lookedAt: LookedAt = {
    root,
    settings: JSON.parse(settings) as HealthSettings,
    clockSeconds: 5,
    certificateDays: Number(process.env["CERTIFICATE_DAYS"] ?? 30),
  };
  const looks = Object.entries(LOOKS).map(([name, look]) => lookAt(name, () => look(lookedAt)));
  const problems = [...new Set((await Promise.all(looks)).flat())].sort();
  if (option === "--report") {
    await reportAlarms(lookedAt, problems);
    return { output: "", status: 0 };
  }
  return { output: problems.map((line) => `${line}\n`).join(""), status: problems.length > 0 ? 1 : 0 };
}

/** A look that fails is a problem itself, and hides no other one. */
async function lookAt(name: string, look: () => Promise<string[]>): Promise<string[]> {
  try {
    return await look();
  } catch (error) {
    return [`health ${name}: could not be looked at: ${String(error).replaceAll("\n", " ")}`];
  }
}
