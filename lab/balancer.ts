// Runs the load balancer: HAProxy in its own namespace, with the configuration from haproxy.ts. A change reloads
// HAProxy; the old worker finishes what it has begun.
import { execa } from "execa";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../validation/user-error.ts";
import type { State } from "./hcloud/document.ts";
import { renderBalancer, type Rendered } from "./haproxy.ts";
import { inside, isPopulated, killGroup, logOf, startProcess, type Lab } from "./lab.ts";

/** Namespace of the load balancer. */
export const BALANCER = "lb";
const PROCESS = "balancer";

/** File with the log of HAProxy. */
export function balancerLog(lab: Lab): string {
  return logOf(lab, PROCESS);
}

/** Socket on which the load balancer listens for clients on the host. */
export function balancerSocket(lab: Lab): string {
  return join(lab.directory, "balancer.sock");
}

const directoryOf = (lab: Lab) => join(lab.directory, "haproxy");
const configurationOf = (lab: Lab) => join(directoryOf(lab), "haproxy.cfg");
const masterOf = (lab: Lab) => join(directoryOf(lab), "master.sock");

/** The configuration that the document asks for; undefined if no load balancer has a service. */
export function renderFor(lab: Lab, state: State): Rendered | undefined {
  return renderBalancer(state, { socket: balancerSocket(lab), certificates: directoryOf(lab) });
}

/** Starts or reloads HAProxy. Rejects, and changes nothing, if HAProxy refuses the configuration. */
export async function runBalancer(lab: Lab, rendered: Rendered): Promise<void> {
  await write(lab, rendered);
  // A process without that socket has just started, or is from a lab of an older version. It is started again.
  if (isPopulated(lab, PROCESS) && existsSync(masterOf(lab))) return reload(lab);
  await rm(masterOf(lab), { force: true });
  const words = ["haproxy", "-W", "-S", `${masterOf(lab)},mode,600`, "-f", configurationOf(lab)];
  await startProcess(lab, PROCESS, [...inside(lab, BALANCER), ...words]);
}

export function isBalancing(lab: Lab): boolean {
  return isPopulated(lab, PROCESS);
}

export async function stopBalancer(lab: Lab): Promise<void> {
  await killGroup(lab, PROCESS);
}

async function write(lab: Lab, { configuration, certificates }: Rendered): Promise<void> {
  await mkdir(directoryOf(lab), { recursive: true, mode: 0o700 });
  for (const [path, pem] of certificates) await writeFile(path, pem, { mode: 0o600 });
  const draft = `${configurationOf(lab)}.new`;
  await writeFile(draft, configuration);
  const { failed, all } = await execa("haproxy", ["-c", "-f", draft], { all: true, reject: false });
  if (failed) throw new UserError(`HAProxy refuses ${draft}:\n${all}`);
  await rename(draft, configurationOf(lab));
}

/** Seconds that HAProxy may take until it accepts commands. */
const PATIENCE = 10;

/** Reloads with a command, not with a signal: a signal that arrives before HAProxy expects it would end HAProxy. */
async function reload(lab: Lab): Promise<void> {
  for (const end = Date.now() + PATIENCE * 1000; ; await sleep(50)) {
    const socket = connect(masterOf(lab));
    try {
      await once(socket, "connect");
      socket.resume().end("reload\n");
      await once(socket, "close");
      return;
    } catch (error) {
      if (Date.now() > end)
        throw new UserError(`HAProxy takes no commands: ${String(error)}; see its log, ${PROCESS}.log.`);
    }
  }
}
