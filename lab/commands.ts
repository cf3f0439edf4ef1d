// The commands of `npm run lab` besides `up`. Each receives the named lab.
import { execa } from "execa";
import { runMain, UserError } from "../validation/user-error.ts";
import { removeUnused } from "./image.ts";
import { openLab, type Lab } from "./lab.ts";
import { BALANCER, balancerLog } from "./balancer.ts";
import { exists, lockLab, takeDown } from "./lifecycle.ts";
import { mails } from "./mail.ts";
import { consoleLog, insideMachine, isRunning } from "./machine.ts";
import {
  configurationFile,
  findPulumi,
  type FLEET_COMMANDS,
  handToFleetCommand,
  handToPulumi,
  isEveryday,
} from "./pulumi-engine.ts";
import { sshTo } from "./ssh.ts";
import { closeTunnel, openTunnel } from "./lab-tunnel.ts";

/** Runs a command on the lab with that name, as root. If this process is not root, it runs itself again with sudo. */
export async function runOnLab(name: string, act: (lab: Lab) => Promise<void>): Promise<void> {
  if (process.getuid?.() !== 0) return becomeRoot();
  // The last line on the terminal may be an unfinished line of progress.
  await runMain(() => act(openLab(name)), "\n");
}

/** Runs the same command with sudo, which asks for the password if it needs one. */
async function becomeRoot(): Promise<void> {
  const command = ["env", `PATH=${process.env.PATH}`, process.execPath, ...process.argv.slice(1)];
  console.error("The lab makes namespaces and mounts, so it needs root. Asking sudo.");
  const { exitCode, failed } = await execa("sudo", command, { stdio: "inherit", reject: false });
  if (failed && exitCode === undefined)
    console.error(`There is no sudo here. As root: ${command.slice(2).join(" ")}`);
  process.exitCode = exitCode ?? 1;
}

/** Removes the lab; with `image`, also cached base images that no lab uses. */
export async function down(lab: Lab, { image = false }: { image?: boolean }): Promise<void> {
  const lock = await lockLab(lab);
  const found = await exists(lab);
  await takeDown(lab);
  lock.close();
  console.log(found ? `Lab "${lab.name}" is gone.` : `There is no lab "${lab.name}".`);
  if (image) console.log(`Removed: ${(await removeUnused()).join(", ") || "no image"}`);
  else if (found)
    console.log(
      "The base image stays in /var/cache/framaspace-lab for the next one (down --image removes it).",
    );
}

/** Prints a machine's journal, or the load balancer's log. `options` are journalctl's, or tail's. */
export async function logs(lab: Lab, machine: string, options: readonly string[]): Promise<void> {
  // The load balancer is a process of the lab, without a journal.
  if (machine === BALANCER)
    return handOver(["tail", ...(options.length > 0 ? options : ["--lines=200"]), balancerLog(lab)]);
  if (!isRunning(lab, machine))
    throw new UserError(
      `${machine} does not run; its console's last output is in ${consoleLog(lab, machine)}`,
    );
  const words = options.length > 0 ? options : ["--lines=200"];
  await handOver([...(await insideMachine(lab, machine)), "journalctl", "--no-pager", ...words]);
}

/** Prints the mails that the spaces have sent, oldest first. */
export async function mail(lab: Lab): Promise<void> {
  await assertThere(lab);
  const all = await mails(lab);
  console.log(all.length === 0 ? "No mails." : all.join(`\n${"─".repeat(80)}\n`));
}

/** Opens SSH to a machine, with a shell or a command. */
export async function ssh(lab: Lab, machine: string, command: readonly string[]): Promise<void> {
  await assertThere(lab);
  await handOver([...(await sshTo(lab, machine)), ...command]);
}

/** Words that run SSH to ops-1 of the lab with that name. Throws a UserError if there is no such lab. */
export async function sshToOps(name: string): Promise<string[]> {
  const lab = openLab(name);
  if (process.getuid?.() !== 0) throw new UserError("a lab is root's: run this as root.");
  await assertThere(lab);
  return sshTo(lab, "ops-1");
}

/** Runs `npm run pulumi` on the lab's stacks. Passes all other commands to the CLI unchanged. */
export async function pulumi(lab: Lab, words: readonly string[]): Promise<void> {
  // Whether MinIO's provider is needed depends on the stack. The CLI itself checks that.
  const found = await findPulumi({ storage: false });
  if ("missing" in found) throw new UserError(`${found.missing}; ${found.remedy}.`);
  await assertThere(lab);
  const rest = isEveryday(words) ? [...words, "--config-file", configurationFile(lab)] : words;
  // The platform's stack needs no tunnel, and it may be the one that creates ops-1.
  if (words.some((word) => /-spaces-\d{3}$/.test(word))) await openTunnel(lab);
  try {
    process.exitCode = await handToPulumi(lab, found.cli, rest);
  } finally {
    await closeTunnel(lab);
  }
}

/** Runs one of the commands that work on all stacks, on the lab's. */
export async function runOnFleet(
  lab: Lab,
  command: (typeof FLEET_COMMANDS)[number],
  options: readonly string[],
): Promise<void> {
  const found = await findPulumi({ storage: false });
  if ("missing" in found) throw new UserError(`${found.missing}; ${found.remedy}.`);
  await assertThere(lab);
  const place = ["--env", "lab", "--config-file", configurationFile(lab)];
  // It looks at spaces through ops-1.
  if (command === "rollout") place.push("--lab", lab.name);
  await openTunnel(lab);
  try {
    process.exitCode = await handToFleetCommand(lab, found.cli, command, [...options, ...place]);
  } finally {
    await closeTunnel(lab);
  }
}

async function assertThere(lab: Lab): Promise<void> {
  if (!(await exists(lab)))
    throw new UserError(`there is no lab "${lab.name}"; bring it up with: npm run lab`);
}

/** Gives the terminal to another program, and passes on its exit status. */
async function handOver(words: string[]): Promise<void> {
  const { exitCode } = await execa(`${words[0]}`, words.slice(1), { stdio: "inherit", reject: false });
  process.exitCode = exitCode ?? 1;
}
