// What every machine says of itself, and what this one sees of its clock and certificates.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { basename } from "node:path";
import { run } from "../../machine/programs/run-command.ts";
import { ask, linesIn, type LookedAt } from "./looked-at.ts";

const CERTIFICATES = [
  "/usr/local/share/ca-certificates/framaspace.crt",
  "/etc/framaspace/tls/cert.pem",
] as const;

export async function certificateProblems({ root, certificateDays }: LookedAt): Promise<string[]> {
  return CERTIFICATES.flatMap((file) => {
    const { validTo } = new X509Certificate(readFileSync(`${root}${file}`));
    if (Date.parse(validTo) - Date.now() > certificateDays * 86_400_000) return [];
    return [
      `certificate ${basename(file)}: ends ${validTo}, like all of the platform's own; raise framaspace:certificates.years and run up`,
    ];
  });
}

/** Probes all machines, this one included, at the same time. Each reported problem gets the machine's name in front. */
export async function machineProblems(lookedAt: LookedAt): Promise<string[]> {
  const { machines } = lookedAt.settings;
  return (await Promise.all(machines.map((name) => problemsOf(lookedAt, name)))).flat();
}

async function problemsOf({ root, clockSeconds }: LookedAt, name: string): Promise<string[]> {
  const before = Date.now() / 1000;
  const configuration = `${root}/etc/framaspace/health/ssh_config`;
  const { status, output } =
    name === hostname()
      ? await run("machine-health", [])
      : await ask(30, "ssh", ["-F", configuration, name], { errors: "ignore" });
  const after = Date.now() / 1000;
  if (status !== 0)
    return name === hostname()
      ? [`${name} health: machine-health ended with status ${status}; type it, and see why`]
      : [`${name} unreachable: ops-1 does not reach it`];
  const [clock, ...problems] = output.split("\n");
  const off = secondsOff(Number(clock), before, after);
  return [
    ...(Math.abs(off) <= clockSeconds
      ? []
      : [
          `${name} clock: ${Math.trunc(Math.abs(off))} seconds ${off < 0 ? "behind" : "ahead of"} that of ops-1; timedatectl timesync-status on both`,
        ]),
    ...linesIn(problems.join("\n")).map((problem) => `${name} ${problem}`),
  ];
}

/**
 * A clock may be right if it shows a time between request and answer. Storage refuses requests only at 15 minutes off,
 * but the order of log lines and the moment of a restore need clocks that agree to the second.
 */
function secondsOff(clock: number, before: number, after: number): number {
  if (clock < before) return clock - before;
  return clock > after ? clock - after : 0;
}
