// The tunnel to the spaces' databases and buckets, which have private addresses: a SOCKS proxy through ops-1.
import { execa } from "execa";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../../validation/user-error.ts";

/**
 * Opens the tunnel, and sets ALL_PROXY and HTTPS_PROXY to it for this process and its children. If ALL_PROXY is set
 * already, it uses that tunnel as it is. Resolves to a function that closes the tunnel. Throws a UserError if the
 * tunnel does not open.
 * @param host Address of ops-1.
 * @param hostKey Its public host key, `ssh-ed25519 …`.
 */
export async function openTunnel(host: string, hostKey: string): Promise<() => Promise<void>> {
  if (process.env.ALL_PROXY) return async () => {};
  const folder = await mkdtemp(join(tmpdir(), "framaspace-tunnel-"));
  await writeFile(join(folder, "known_hosts"), `ops-1 ${hostKey}\n`);
  const port = await freePort();
  const options = [
    "ExitOnForwardFailure=yes",
    "HostKeyAlias=ops-1",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=10",
    `UserKnownHostsFile=${join(folder, "known_hosts")}`,
  ];
  const words = [
    "-N",
    "-D",
    `127.0.0.1:${port}`,
    ...options.flatMap((option) => ["-o", option]),
    `root@${host}`,
  ];
  const ssh = execa("ssh", words, { stdin: "inherit", stdout: "ignore", stderr: "inherit", reject: false });
  const end = new AbortController();
  void ssh.finally(() => end.abort());
  const close = async () => {
    ssh.kill();
    await ssh;
    await rm(folder, { recursive: true });
  };
  while (!(await isOpen(port))) {
    if (end.signal.aborted) {
      await close();
      throw new UserError(
        `ssh root@${host} does not open the way to databases and buckets; nothing was changed.`,
      );
    }
    await sleep(100);
  }
  const proxy = `socks5://127.0.0.1:${port}`;
  Object.assign(process.env, { ALL_PROXY: proxy, HTTPS_PROXY: proxy });
  return close;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
