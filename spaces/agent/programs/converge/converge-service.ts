// converge-space as a service. A program of Node takes 0.1 s to start, which is longer than an unchanged space takes.
//   POST /            converges the space that the body says is wanted
//   POST /again/ID    takes what was wanted last
// The answer is lines: `error TEXT` and `output TEXT`, which are the program's standard error and output, and `status N`
// at its end. Who hears no status must not take the work for done.
import { mkdirSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { dirname } from "node:path";
import { workingFor } from "../../../../infra/machine/programs/callers.ts";
import { resultOf, type Result } from "../../../../infra/machine/programs/program.ts";
import type { Places } from "../places.ts";
import { convergeSpace } from "./converge.ts";

/**
 * Serves until SIGTERM, and then ends the work that is under way. Whoever asks meanwhile finds no socket, and runs the
 * program for itself.
 */
export async function serveConverging(places: Places, patienceSeconds?: number): Promise<Result> {
  const socket = places.convergeSocket;
  const server = createServer((request, response) => {
    void answer(request, response, (words) =>
      convergeSpace(places, words, { input: request, ...(patienceSeconds && { patienceSeconds }) }),
    );
  });
  mkdirSync(dirname(socket), { recursive: true });
  // What a killed one left.
  rmSync(socket, { force: true });
  // Requests have secrets: the socket is root's alone.
  const umask = process.umask(0o077);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(socket, resolve);
  });
  process.umask(umask);
  await new Promise<void>((resolve) => {
    server.once("close", resolve);
    process.once("SIGTERM", () => server.close());
  });
  return { output: "", status: 0 };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  converge: (words: readonly string[]) => Promise<Result>,
): Promise<void> {
  const [, id] = /^\/again\/(.*)$/.exec(request.url ?? "") ?? [];
  const errors = new Lines((line) => response.write(`error ${line}\n`));
  // Node would keep the connection for a next request, and wait for it at its end.
  response.setHeader("Connection", "close");
  const { output, status } = await workingFor(
    (text) => {
      errors.add(text);
    },
    () => resultOf(() => converge(id === undefined ? [] : ["--again", id])),
  );
  errors.end();
  const outputs = new Lines((line) => response.write(`output ${line}\n`));
  outputs.add(output);
  outputs.end();
  response.end(`status ${status}\n`);
}

/** Cuts a text that comes in parts into its lines. */
class Lines {
  readonly #take: (line: string) => void;
  #rest = "";

  constructor(take: (line: string) => void) {
    this.#take = take;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#take(line);
  }

  /** A last line may have no new line. */
  end(): void {
    if (this.#rest !== "") this.#take(this.#rest);
    this.#rest = "";
  }
}
