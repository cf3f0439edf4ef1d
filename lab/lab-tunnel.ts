// Opens the administrators' tunnel to private addresses: a SOCKS proxy through ops-1, as `npm run pulumi` does.
import { execa } from "execa";
import { inside, isPopulated, killGroup, startProcess, type Lab } from "./lab.ts";
import { ADMIN } from "./namespaces.ts";
import { sshTo } from "./ssh.ts";
import { UserError } from "../validation/user-error.ts";

/** Port of the proxy, on the loopback of the admin's namespace. */
export const PROXY_PORT = 1080;

/** Opens the tunnel and waits until it accepts connections. */
export async function openTunnel(lab: Lab): Promise<void> {
  if (isPopulated(lab, "tunnel")) return;
  const forward = [
    "-N",
    "-D",
    `127.0.0.1:${PROXY_PORT}`,
    "-o",
    "ControlMaster=no",
    "-o",
    "ControlPath=none",
    "-o",
    "ExitOnForwardFailure=yes",
  ];
  const ssh = await sshTo(lab, "ops-1", forward);
  // Drop the words that put ssh into the cgroup of short-lived connections: startProcess gives it its own.
  await startProcess(lab, "tunnel", ssh.slice(ssh.indexOf("nsenter")));
  const script = `until (exec 3<>/dev/tcp/127.0.0.1/${PROXY_PORT}) 2>/dev/null; do sleep 0.1; done`;
  const [command, ...words] = [...inside(lab, ADMIN), "timeout", "15", "bash", "-c", script];
  const { failed } = await execa(`${command}`, words, { reject: false, stdin: "ignore" });
  if (failed) throw new UserError("the tunnel through ops-1 did not open; see `npm run lab -- logs ops-1`.");
}

export async function closeTunnel(lab: Lab): Promise<void> {
  await killGroup(lab, "tunnel");
}
