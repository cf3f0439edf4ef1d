// Sends requests to the lab's endpoint from the host: through its socket, because its port is in the admin's namespace.
import { request } from "node:http";
import { join } from "node:path";
import type { Lab } from "../lab.ts";

/** The port in Pulumi.lab.yaml. */
export const ENDPOINT_PORT = 8080;

export function endpointSocket(lab: Lab): string {
  return join(lab.directory, "endpoint.sock");
}

/** Sends one request. If the endpoint refuses it, rejects with the endpoint's answer. */
export function ask(lab: Lab, method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const where = { socketPath: endpointSocket(lab), method, path: `/v1/${path}`, headers };
    // One connection for each request: during the program's evaluation, this process cannot see that the endpoint
    // closes an idle one.
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
