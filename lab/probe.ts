// Probes spaces like a browser on this machine: through the host's port, with TLS. It trusts the lab's own authority.
import { readFile } from "node:fs/promises";
import { request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { rootCertificate } from "./lets-encrypt.ts";
import type { Lab } from "./lab.ts";

export interface Answer {
  /** 0 if nothing answers. */
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** Sends one request to a host name of the lab. */
export async function probe(
  lab: Lab,
  port: number,
  host: string,
  path = "/",
  headers: Record<string, string> = {},
): Promise<Answer> {
  const ca = await readFile(rootCertificate(lab));
  return new Promise((resolve) => {
    const none = (error: Error) => resolve({ status: 0, headers: {}, body: error.message });
    const where = { host: "127.0.0.1", port, servername: host, path, ca, agent: false, timeout: 15_000 };
    const asked = request({ ...where, headers: { host: `${host}:${port}`, ...headers } }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
      response.on("error", none);
    });
    asked.on("error", none).on("timeout", () => asked.destroy(new Error("no answer in 15 s")));
    asked.end();
  });
}

/** Probes a space until it answers with one of the statuses, or the seconds are over. Returns the last answer. */
export async function probeUntil(
  lab: Lab,
  port: number,
  host: string,
  statuses: readonly number[],
  seconds: number,
): Promise<Answer> {
  for (const end = Date.now() + seconds * 1000; ; await sleep(300)) {
    const last = await probe(lab, port, host);
    if (statuses.includes(last.status) || Date.now() > end) return last;
  }
}
