// The summary of a lab, for people: the tables at the end of `up`, which `status` prints too.
import { markdownTable } from "markdown-table";
import { readFileSync } from "node:fs";
import * as z from "zod";
import { BALANCER } from "./balancer.ts";
import { ask } from "./hcloud/client.ts";
import { machineGroup, processesIn, type Lab } from "./lab.ts";
import { isRunning } from "./machine.ts";
import { readSettings, type Settings } from "./settings.ts";
import { probeUntil } from "./probe.ts";
import type { TenantsFile } from "../spaces/fleet/fleet.ts";
import { rootCertificate } from "./lets-encrypt.ts";

/** How a space answered. */
export interface SpaceAnswer {
  name: string;
  host: string;
  url: string;
  state: string;
  status: number;
  asExpected: boolean;
}

/** The HTTP statuses of a space in each state, for an anonymous request. */
const ANSWERS = { active: [200, 302], suspended: [503], archived: [410, 404] } as const;

/** Probes every space until it answers as its state says, or until the seconds are over. */
export function probeSpaces(
  lab: Lab,
  { port, domain }: Pick<Settings, "port" | "domain">,
  tenantsFiles: readonly TenantsFile[],
  seconds: number,
): Promise<SpaceAnswer[]> {
  return Promise.all(
    tenantsFiles.flatMap(({ entries }) =>
      entries.map(async ({ id, name, state }) => {
        const host = `${id}.${domain}`;
        const expected: readonly number[] = ANSWERS[state];
        const { status } = await probeUntil(lab, port, host, expected, seconds);
        return {
          name,
          host,
          url: `https://${host}:${port}/`,
          state,
          status,
          asExpected: expected.includes(status),
        };
      }),
    ),
  );
}

const servers = z.object({
  servers: z.array(
    z.object({
      name: z.string(),
      public_net: z.object({ ipv4: z.object({ ip: z.string() }).nullable() }),
      private_net: z.array(z.object({ ip: z.string() })),
    }),
  ),
});

/** Machines, spaces, what is left out, and what to type next. */
export async function summary(lab: Lab, answers: readonly SpaceAnswer[]): Promise<string> {
  const settings = readSettings(lab);
  const known = servers.parse(await ask(lab, "GET", "servers"));
  const machines = [
    ...known.servers.map(({ name, public_net, private_net }) => ({
      name,
      publicAddress: public_net.ipv4?.ip ?? "",
      privateAddress: private_net[0]?.ip ?? "",
    })),
    ...(settings?.dedicated ?? []).map(({ name, address, privateAddress }) => ({
      name,
      publicAddress: address,
      privateAddress,
    })),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
  const memory = machines.map(({ name }) => memoryOf(lab, name));
  const total = memory.reduce((sum, bytes) => sum + bytes, 0);
  const table = markdownTable([
    ["machine", "runs", "private address", "public address", "memory"],
    ...machines.map(({ name, privateAddress, publicAddress }, index) => [
      name,
      isRunning(lab, name) ? "yes" : "NO",
      privateAddress,
      publicAddress,
      megabytes(memory[index] ?? 0),
    ]),
    ["all", "", "", "", megabytes(total)],
  ]);
  const spaces = markdownTable([
    ["space", "state", "answers", "open"],
    ...answers.map(({ name, state, status, asExpected, url }) => [
      name,
      state,
      `${status}${asExpected ? "" : " (wrong)"}`,
      url,
    ]),
  ]);
  const leftOut = settings?.leftOut.map(({ what, why }) => `  ${what}: ${why}.`) ?? [];
  const option = lab.name === "lab" ? "" : ` --name ${lab.name}`;
  return [
    table,
    "",
    spaces,
    "",
    ...(leftOut.length > 0 ? ["Left out:", ...leftOut, ""] : []),
    `A browser warns of the certificate: it is the lab's own (${rootCertificate(lab)}).`,
    `A machine's log:  npm run lab --${option} logs web-1`,
    `The load balancer's: npm run lab --${option} logs ${BALANCER}`,
    `A shell on it:    npm run lab --${option} ssh web-1`,
    `Stop and remove:  npm run lab --${option} down`,
    "",
  ].join("\n");
}

/** Bytes of memory that a machine's processes use. Each process counts its share of shared pages. */
function memoryOf(lab: Lab, machine: string): number {
  return processesIn(lab, machineGroup(machine)).reduce((sum, pid) => sum + proportionalSize(pid), 0);
}

function proportionalSize(pid: string): number {
  try {
    const kilobytes = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    return 0;
  }
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MB`;
