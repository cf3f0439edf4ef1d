// Asks the lab's endpoint, from the host: over its socket, because its port is in the admin's namespace.
import { request } from "node:http";
import { join } from "node:path";
import type { Lab } from "../lab.ts";

/** As Pulumi.lab.yaml has it. */
export const ENDPOINT_PORT = 8080;

export function endpointSocket(lab: Lab): string {
  return join(lab.directory, "endpoint.sock");
}

/** One request. Rejects with what the endpoint says where it refuses. */
export function ask(lab: Lab, method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const where = { socketPath: endpointSocket(lab), method, path: `/v1/${path}`, headers };
    // A connection for each request: while the program is evaluated, nothing here sees the endpoint close an idle one.
    const asked = request({ ...where, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("error", reject);
      response.on("end", () => {
        const answer: unknown = JSON.parse(text);
        const { statusCode = 500 } = response;
        if (statusCode < 400) resolve(answer);
        else reject(new Error(`${method} ${path}: ${text}`));
      });
    });
    asked.on("error", reject);
    asked.end(body === undefined ? "" : JSON.stringify(body));
  });
}
