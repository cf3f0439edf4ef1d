// nginx itself, with the configuration of a gateway or a web server, on this machine's loopback. It writes into a
// folder instead of the machine. PHP is played by a few lines of FastCGI.
import { execa, execaSync } from "execa";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request, type IncomingHttpHeaders } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Debian keeps it outside the PATH of users who are not root. */
export const NGINX = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].find((path) => existsSync(path)) ?? "nginx";

/** Whether this machine has nginx. */
export const hasNginx = execaSync(NGINX, ["-v"], { reject: false }).exitCode === 0;

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** One nginx, and the folder that replaces its machine. */
export interface NginxServer {
  port: number;
  /** Where a path of the machine is. */
  path(path: string): string;
  /** Writes a file at its path on the machine. */
  put(path: string, text: string): void;
  /** The text of a file at its path on the machine, or of `access.log` and `error.log`. */
  read(path: string): string;
  /** Sends a request, by default GET without a header but Host, and reads the whole answer. */
  ask(
    host: string,
    path: string,
    options?: { method?: string; headers?: Record<string, string> },
  ): Promise<Answer>;
  stop(): Promise<void>;
}

/** A port of the loopback that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts nginx.
 * @param configuration nginx.conf, as it is rendered for a machine.
 * @param files Path on the machine → text: what the configuration includes, and serves.
 * @param upstreams Address and port on the machines → port on the loopback, for the servers that it passes requests to.
 */
export async function startNginx(
  configuration: string,
  files: Readonly<Record<string, string>> = {},
  upstreams: Readonly<Record<string, number>> = {},
): Promise<NginxServer> {
  const root = mkdtempSync(join(tmpdir(), "framaspace-nginx-"));
  // Root's nginx has workers of another user.
  chmodSync(root, 0o755);
  const port = await freePort();
  const at = (text: string) =>
    Object.entries(upstreams)
      .reduce((all, [address, to]) => all.replaceAll(`server ${address} `, `server 127.0.0.1:${to} `), text)
      .replaceAll(/(?<=[ ":])\/(srv|run|etc\/nginx|usr\/local)\//g, `${root}/$1/`);
  const put = (path: string, text: string) => {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  for (const path of ["/run", "/tmp", "/srv/spaces", "/etc/nginx"])
    mkdirSync(join(root, path), { recursive: true });
  for (const [path, text] of Object.entries(files))
    put(path, path.startsWith("/etc/nginx/") ? at(text) : text);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${root}/tmp/${kind};`,
  );
  put(
    "/etc/nginx/nginx.conf",
    at(configuration)
      .replace(/^user .*/m, process.getuid?.() === 0 ? "user root;" : "")
      .replace("worker_processes auto;", "worker_processes 1;")
      .replace(/worker_rlimit_nofile .*/, "")
      .replace(/worker_connections \d+/, "worker_connections 512")
      .replaceAll(/(access|error)_log syslog:[^ ]*/g, (_, kind) => `${kind}_log ${root}/${kind}.log`)
      .replaceAll(/listen [0-9.]+:\d+/g, `listen 127.0.0.1:${port}`)
      .replace("http {", `http {\n${temporary.join("\n")}`),
  );
  const nginx = execa(
    NGINX,
    ["-p", root, "-c", `${root}/etc/nginx/nginx.conf`, "-e", `${root}/error.log`, "-g", "daemon off;"],
    {
      reject: false,
      all: true,
    },
  );
  let output: string | undefined;
  const ended = nginx.then(({ all }) => (output = all));
  const ask: NginxServer["ask"] = (host, path, { method = "GET", headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      request(
        {
          host: "127.0.0.1",
          port,
          path,
          method,
          headers: { ...headers, host },
          agent: false,
          maxHeaderSize: 65_536,
        },
        (answer) => {
          const parts: Buffer[] = [];
          answer.on("data", (part: Buffer) => parts.push(part));
          answer.on("error", reject);
          answer.on("end", () =>
            resolve({
              status: answer.statusCode ?? 0,
              headers: answer.headers,
              text: Buffer.concat(parts).toString(),
            }),
          );
        },
      )
        .on("error", reject)
        .end();
    });
  const stop = async () => {
    nginx.kill();
    await ended;
    rmSync(root, { recursive: true });
  };
  for (let attempt = 0; ; attempt++)
    try {
      await ask("nobody.test", "/");
      break;
    } catch {
      if (output === undefined && attempt < 100) await sleep(50);
      else {
        const said = output ?? "it does not answer";
        await stop();
        throw new Error(`nginx did not start: ${said}`);
      }
    }
  return {
    port,
    path: (path) => join(root, path),
    put,
    read: (path) => readFileSync(join(root, path), "utf8"),
    ask,
    stop,
  };
}
