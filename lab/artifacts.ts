// Serves the files that machines of a lab download: releases and binaries whose paths the user gave.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { posix } from "node:path";
import { pipeline } from "node:stream/promises";

/** Serves each file of `files` under its name: `http://ADDRESS/NAME`. */
export function serveArtifacts(
  files: Readonly<Record<string, string>>,
  host: string,
  port: number,
): Promise<Server> {
  const server = createServer((request, response) => {
    // apt asks for `/FOLDER/./InRelease`.
    const path = files[posix.normalize(decodeURIComponent(request.url ?? "/")).slice(1)];
    send(path).catch((error: unknown) => {
      console.error(request.url, error);
      response.headersSent ? response.destroy() : response.writeHead(404).end();
    });

    async function send(file: string | undefined) {
      if (file === undefined) return void response.writeHead(404).end();
      response.writeHead(200, { "content-length": (await stat(file)).size });
      await pipeline(createReadStream(file), response);
    }
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve(server));
  });
}
